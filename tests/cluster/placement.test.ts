/** A machine spread over processes of the operating system does what it does in one thread. */
import { isDeepStrictEqual } from 'node:util';
import {
  buildSpec,
  closeMembers,
  type JudgedRun,
  loadScenario,
  type PlacementOptions,
  type PreparedMachine,
  runMachine,
} from '@numalab/coordinator';
import { afterAll, describe, expect, it } from 'vitest';

const SETTINGS = [
  'machine.coresPerNode=2',
  'workload.duration=20us',
  'workload.duty=0.2',
  'kernel.writers=[{kind: jump-label, rate: 400k/s}, {kind: ftrace, rate: 200k/s, batch: 2}, {kind: synthetic, writes: 6, rate: 300k/s}]',
];

const machine = (seed: number, ...more: string[]): PreparedMachine =>
  buildSpec(loadScenario('default', { set: [...SETTINGS, ...more] }), seed);

const run = ({ spec, watch }: PreparedMachine, options: Partial<PlacementOptions>): Promise<JudgedRun> =>
  runMachine(spec, watch, { minEvidence: 1, expect: [] }, { placement: 'inline', threads: null, ...options });

const expectSame = (other: JudgedRun, reference: JudgedRun): void => {
  expect(other.digest).toBe(reference.digest);
  // Reports as well, so that the digest cannot cover too little.
  for (const [id, node] of reference.raw.nodes.entries()) {
    for (const key of Object.keys(node) as (keyof typeof node)[]) {
      expect([id, key, isDeepStrictEqual(other.raw.nodes[id]![key], node[key])]).toEqual([id, key, true]);
    }
  }
  expect(isDeepStrictEqual(other.raw.hypervisor, reference.raw.hypervisor)).toBe(true);
  expect(other.raw.endPs).toBe(reference.raw.endPs);
  expect(other.judgement.verdict).toBe(reference.judgement.verdict);
};

afterAll(closeMembers);

describe('the same scenario and seed', () => {
  it.each([1, 2])('give one result in one thread and in 1 to 4 processes, seed %i', async (seed) => {
    const prepared = machine(seed);
    const reference = await run(prepared, {});
    expect(reference.raw.hypervisor.journal.length).toBeGreaterThan(10);
    for (const [processes, threads] of [
      [1, 3],
      [2, null],
      [2, 4],
      [3, 2],
      [4, 1],
    ] as const) {
      expectSame(await run(prepared, { placement: 'cluster', processes, threads }), reference);
    }
  });

  it.each([
    ['with the hypervisor in a process of its own', [], { ownHypervisor: true }],
    ['with the order under a lock that moves', ['hypervisor.serialisation=lock'], {}],
    ['with shorter windows', ['hypervisor.node=3'], { windowDivisor: 3 }],
    ['without replication', ['replication.strategy=none'], {}],
  ] as const)('give one result %s', async (_, settings, options) => {
    const prepared = machine(3, ...settings);
    const spread = await run(prepared, { placement: 'cluster', processes: 3, ...options });
    expectSame(spread, await run(prepared, {}));
  });

  it('give one result with 16 nodes over 4 processes', async () => {
    const prepared = machine(4, 'machine.nodes=16', 'machine.coresPerNode=1', 'workload.duration=4us');
    expectSame(await run(prepared, { placement: 'cluster', processes: 4 }), await run(prepared, {}));
  });
});

describe('a built-in scenario', () => {
  it.each([
    ['small', []],
    ['default', ['workload.duration=20us']],
    ['epyc-nps4-8', ['workload.duration=3us', 'machine.coresPerNode=4']],
    ['arm64-16node', ['workload.duration=2us', 'machine.coresPerNode=2']],
  ] as const)('%s gives in several processes what it gives in one thread', async (scenario, set) => {
    const prepared = buildSpec(loadScenario(scenario, { set: [...set] }), 1);
    const processes = Math.min(4, prepared.spec.nodes);
    expectSame(await run(prepared, { placement: 'cluster', processes }), await run(prepared, {}));
  });
});

describe('a run over processes', () => {
  const LONG = ['workload.duration=100ms', 'workload.duty=1'];

  it('ends with what there is by then when told to', async () => {
    const controller = new AbortController();
    const { raw } = await run(machine(5, ...LONG), {
      placement: 'cluster',
      processes: 2,
      signal: controller.signal,
      progress: (ps) => {
        if (ps > 0) controller.abort();
      },
    });
    expect(raw.interrupted).toBe(true);
    expect(raw.nodes.map(({ id }) => id)).toEqual([0, 1, 2, 3]);
    expect(raw.nodes.reduce((sum, node) => sum + node.counts.fetches, 0)).toBeGreaterThan(0);
  });
});
