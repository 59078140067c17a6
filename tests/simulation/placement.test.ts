/** Where the processes of a machine live, and how long windows are, changes nothing that happens. */
import { buildSpec, type JudgedRun, loadScenario, type PreparedMachine, runMachine } from '@numalab/coordinator';
import { describe, expect, it } from 'vitest';

const CHECKS = { minEvidence: 1, expect: [] };

const SETTINGS = [
  'machine.coresPerNode=2',
  'workload.duration=40us',
  'workload.duty=0.2',
  'kernel.writers=[{kind: jump-label, rate: 400k/s}, {kind: ftrace, rate: 200k/s, batch: 2}, {kind: synthetic, writes: 12, rate: 300k/s}]',
];

const machine = (seed: number, ...more: string[]): PreparedMachine =>
  buildSpec(loadScenario('default', { set: [...SETTINGS, ...more] }), seed);

const inline = ({ spec, watch }: PreparedMachine, windowDivisor = 1): Promise<JudgedRun> =>
  runMachine(spec, watch, CHECKS, { placement: 'inline', threads: null, windowDivisor });

const threaded = ({ spec, watch }: PreparedMachine, threads: number, windowDivisor = 1): Promise<JudgedRun> =>
  runMachine(spec, watch, CHECKS, { placement: 'threads', threads, windowDivisor });

const expectSame = (run: JudgedRun, reference: JudgedRun): void => {
  expect(run.digest).toBe(reference.digest);
  // The digest covers what decides; reports are compared as well, so that it cannot cover too little.
  expect(run.raw.nodes).toEqual(reference.raw.nodes);
  expect(run.raw.hypervisor).toEqual(reference.raw.hypervisor);
  expect(run.raw.endPs).toBe(reference.raw.endPs);
  expect(run.judgement.verdict).toBe(reference.judgement.verdict);
};

describe('the same scenario and seed', () => {
  it.each([1, 2, 7])('give one result in one thread and in 1, 2, 3 or 4, seed %i', async (seed) => {
    const reference = await inline(machine(seed));
    expect(reference.raw.hypervisor.journal.length).toBeGreaterThan(20);
    for (const threads of [1, 2, 3, 4]) expectSame(await threaded(machine(seed), threads), reference);
  });

  it('give one result again', async () => {
    expectSame(await inline(machine(3)), await inline(machine(3)));
    expectSame(await threaded(machine(3), 2), await threaded(machine(3), 2));
  });

  it('give one result with windows of a half and a fifth', async () => {
    const reference = await inline(machine(4));
    for (const divisor of [2, 5]) {
      const halved = await inline(machine(4), divisor);
      expect(halved.raw.windows).toBeGreaterThan(reference.raw.windows);
      expectSame(halved, reference);
      expectSame(await threaded(machine(4), 2, divisor), reference);
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
    const reference = await inline(machine(5, ...settings));
    for (const threads of [2, 3]) expectSame(await threaded(machine(5, ...settings), threads), reference);
  });

  it('give one result with more threads asked for than there are nodes', async () => {
    expectSame(await threaded(machine(6), 100), await inline(machine(6)));
  });
});

describe('different seeds', () => {
  it('give different results in every placement', async () => {
    const digests = new Set<string>();
    for (const seed of [1, 2, 3, 4, 5]) digests.add((await inline(machine(seed))).digest);
    for (const seed of [11, 12]) digests.add((await threaded(machine(seed), 2)).digest);
    expect(digests.size).toBe(7);
  });
});
