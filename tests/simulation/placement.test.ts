/** Where the processes of a machine live, and how long windows are, changes nothing that happens. */
import { isDeepStrictEqual } from 'node:util';
import {
  buildSpec,
  drawSchedule,
  type JudgedRun,
  loadScenario,
  type PreparedMachine,
  runMachine,
} from '@numalab/coordinator';
import { describe, expect, it } from 'vitest';

const CHECKS = { minEvidence: 1, expect: [] };

const SETTINGS = [
  'machine.coresPerNode=2',
  'workload.duration=40us',
  'workload.duty=0.2',
  'kernel.writers=[{kind: jump-label, rate: 400k/s}, {kind: ftrace, rate: 200k/s, batch: 2}, {kind: synthetic, writes: 12, rate: 300k/s}]',
];

const SCENARIO = loadScenario('default', { set: SETTINGS });

/** Machines of one scenario object share what does not depend on the seed. */
const machine = (seed: number, ...more: string[]): PreparedMachine =>
  buildSpec(more.length === 0 ? SCENARIO : loadScenario('default', { set: [...SETTINGS, ...more] }), seed);

const inline = ({ spec, watch }: PreparedMachine, windowDivisor = 1): Promise<JudgedRun> =>
  runMachine(spec, watch, CHECKS, { placement: 'inline', threads: null, windowDivisor });

const threaded = ({ spec, watch }: PreparedMachine, threads: number, windowDivisor = 1): Promise<JudgedRun> =>
  runMachine(spec, watch, CHECKS, { placement: 'threads', threads, windowDivisor });

const expectSame = (run: JudgedRun, reference: JudgedRun): void => {
  expect(run.digest).toBe(reference.digest);
  // The digest covers what decides; reports are compared as well, so that it cannot cover too little. Not by toEqual, which
  // takes seconds for these.
  for (const [id, node] of reference.raw.nodes.entries()) {
    for (const key of Object.keys(node) as (keyof typeof node)[]) {
      expect([id, key, isDeepStrictEqual(run.raw.nodes[id]![key], node[key])]).toEqual([id, key, true]);
    }
  }
  expect(isDeepStrictEqual(run.raw.hypervisor, reference.raw.hypervisor)).toBe(true);
  expect(run.raw.endPs).toBe(reference.raw.endPs);
  expect(run.judgement.verdict).toBe(reference.judgement.verdict);
};

describe('the same scenario and seed', () => {
  it.each([1, 2, 7])('give one result in one thread and in 4, 3, 2 or 1, seed %i', async (seed) => {
    const prepared = machine(seed);
    const reference = await inline(prepared);
    expect(reference.raw.hypervisor.journal.length).toBeGreaterThan(20);
    for (const threads of [4, 3, 2, 1]) expectSame(await threaded(prepared, threads), reference);
  });

  it('give one result again', async () => {
    expectSame(await inline(machine(3)), await inline(machine(3)));
    expectSame(await threaded(machine(3), 2), await threaded(machine(3), 2));
  });

  it('give one result with windows of a half and a fifth', async () => {
    const prepared = machine(4);
    const reference = await inline(prepared);
    for (const divisor of [2, 5]) {
      const halved = await inline(prepared, divisor);
      expect(halved.raw.windows).toBeGreaterThan(reference.raw.windows);
      expectSame(halved, reference);
      expectSame(await threaded(prepared, 2, divisor), reference);
    }
  });

  it.each([
    ['without replication', ['replication.strategy=none']],
    ['with a protocol that does not wait', ['replication.protocol=post']],
    ['with the order under a lock that moves', ['hypervisor.serialisation=lock']],
    ['with the hypervisor on the last node', ['hypervisor.node=3']],
    ['with an odd number of nodes', ['machine.nodes=3']],
    ['with stop_machine', ['kernel.writers=[{kind: kprobe, rate: 100k/s}, {kind: ftrace-literal, rate: 100k/s}]']],
  ])('give one result %s', async (_, settings) => {
    const prepared = machine(5, ...settings);
    const reference = await inline(prepared);
    for (const threads of [2, 3]) expectSame(await threaded(prepared, threads), reference);
  });

  it('give one result with more threads asked for than there are nodes', async () => {
    const prepared = machine(6);
    expectSame(await threaded(prepared, 100), await inline(prepared));
  });

  it.each(['pct', 'starvation'] as const)(
    'give one result under a schedule, %s, which only adds delay',
    async (scheduler) => {
      const { nodes, coresPerNode } = SCENARIO.machine;
      const schedule = drawSchedule({ nodes, coresPerNode, horizonPs: 40e6 }, 5, scheduler);
      expect(schedule.length).toBeGreaterThan(0);
      const prepared = buildSpec(SCENARIO, 5, { schedule });
      const reference = await inline(prepared);
      expect(reference.judgement.verdict).toBe('pass');
      expect(reference.digest).not.toBe((await inline(machine(5))).digest);
      expectSame(await threaded(prepared, 3), reference);
      for (const divisor of [2, 5]) expectSame(await inline(prepared, divisor), reference);
    },
  );
});

describe('different seeds', () => {
  it('give different results in every placement', async () => {
    const digests = new Set<string>();
    for (const seed of [1, 2, 3, 4, 5]) digests.add((await inline(machine(seed))).digest);
    for (const seed of [11, 12]) digests.add((await threaded(machine(seed), 2)).digest);
    expect(digests.size).toBe(7);
  });
});
