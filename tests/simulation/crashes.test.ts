import { loadScenario } from '@numalab/coordinator';
import { HYPERVISOR_STEPS } from '@numalab/interconnect';
import { PROTOCOLS } from '@numalab/protocols';
import { describe, expect, it } from 'vitest';
import { runWith, swarm } from './faults.ts';

const OUTAGES = ['pause', 'slow-node', 'crash', 'hyp-crash'] as const;
const seeds = Array.from({ length: 6 }, (_, i) => i + 1);
const protocols = Object.keys(PROTOCOLS);

const small = (protocol: string, faults: readonly object[], ...set: readonly string[]) =>
  loadScenario('small', { protocol, set: [`faults=${JSON.stringify(faults)}`, ...set] });

describe('nodes and hypervisors that stop, are slow, or crash and come back', () => {
  it.each(protocols)('break no rule of %s', async (protocol) => {
    expect((await swarm(protocol, OUTAGES, seeds)).broken).toEqual([]);
  });

  it('break no rule while messages are lost too', async () => {
    const { broken } = await swarm('ack', [...OUTAGES, 'drop', 'delay', 'reorder'], seeds);
    expect(broken).toEqual([]);
  });

  it('break no rule where the lock orders the writes', async () => {
    expect((await swarm('bbm', OUTAGES, seeds, ['hypervisor.serialisation=lock'])).broken).toEqual([]);
  });
});

describe('a node that crashes', () => {
  it.each(protocols)('and loses its memory catches up under %s while writes flow', async (protocol) => {
    const crash = { kind: 'crash', target: 1, at: '20us', for: '100us', memory: 'lost' };
    // A writer that synchronises with nobody goes on without the node.
    const writers = 'kernel.writers=[{ kind: synthetic, width: 8, rate: 200k/s, cpus: [0], sites: 8 }]';
    const { judgement, faults, raw } = await runWith(small(protocol, [crash], writers, 'workload.duration=150us'), 2);
    expect(judgement.violations).toEqual([]);
    expect(faults).toMatchObject([{ kind: 'crash', fired: 1, outcome: 'repaired' }]);
    expect(raw.hypervisor.journal.some(({ numbered }) => numbered > 20e6 && numbered < 120e6)).toBe(true);
  });

  it.each(protocols)('and holds the primary keeps writes from being over under %s', async (protocol) => {
    const crash = { kind: 'crash', target: 0, at: '15us', for: '100us' };
    const { judgement, raw } = await runWith(small(protocol, [crash]), 3);
    expect(judgement.violations).toEqual([]);
    const during = raw.hypervisor.journal.filter(({ retired }) => retired > 17e6 && retired < 115e6);
    expect(during).toEqual([]);
  });
});

describe('a machine all of whose nodes are down', () => {
  it.each(protocols)('ends a write that it had begun with, under %s', async (protocol) => {
    // The hypervisor has taken the store, and numbers it when its record is safe: by then nobody is up.
    const writers = 'kernel.writers=[{ kind: synthetic, width: 8, rate: 200k/s, sites: 8, inFlight: 2 }]';
    for (const at of ['31us', '33us', '36us', '40us', '45us']) {
      const crash = { kind: 'crash', target: 0, at, for: '20us' };
      const set = ['machine.nodes=1', 'hypervisor.recordTime=3us', 'workload.duration=100us', writers];
      const { judgement, faults } = await runWith(small(protocol, [crash], ...set), 1);
      expect(judgement.violations, at).toEqual([]);
      expect(faults).toMatchObject([{ fired: 1, outcome: 'repaired' }]);
    }
  });
});

describe('a node that EL2 elsewhere stores to while it is down', () => {
  // Seeds and moments between the store and its maintenance, as a hunt found them.
  it.each([
    ['what was not maintained', 390, { target: 0, at: '11552ns', for: '280us' }],
    ['lines of lost memory', 427, { target: 1, at: '17099ns', for: '160us', memory: 'lost' }],
  ])('is back without %s', async (_what, seed, crash) => {
    const set = crash.target === 0 ? [] : ['hypervisor.serialisation=lock'];
    const { judgement } = await runWith(small('direct', [{ kind: 'crash', ...crash }], ...set), seed);
    expect(judgement.violations).toEqual([]);
  });
});

describe('a hypervisor that crashes', () => {
  const steps = HYPERVISOR_STEPS.filter((step) => step !== 'recovering');

  it.each(steps)('at the step %s recovers from its journal, whatever the protocol', async (step) => {
    for (const protocol of protocols) {
      const { judgement, faults } = await runWith(small(protocol, [{ kind: 'hyp-crash', target: step, nth: 3 }]), 1);
      expect(judgement.violations, protocol).toEqual([]);
      // `direct` sends nothing, and nobody answers `post`: then there is no such step.
      if (protocol === 'ack') expect(faults[0]!.outcome).toBe('repaired');
    }
  });

  it('again while it recovers, recovers', async () => {
    const faults = [
      { kind: 'hyp-crash', target: 'journalled', nth: 2 },
      { kind: 'hyp-crash', target: 'recovering', nth: 1 },
    ];
    const run = await runWith(small('ack', faults), 1);
    expect(run.judgement.violations).toEqual([]);
    expect(run.faults.map(({ fired }) => fired)).toEqual([1, 1]);
  });

  it('without a journal never comes back, which is nobody else’s fault', async () => {
    const scenario = small('ack', [{ kind: 'hyp-crash', target: 'sent', nth: 3 }], 'hypervisor.journal=false');
    const { judgement, faults } = await runWith(scenario, 1);
    expect(faults).toMatchObject([{ outcome: 'fatal', survivable: false, fired: 1 }]);
    expect(faults[0]!.broke).toContain('L1');
    expect(judgement.violations).toEqual([]);
    expect(judgement.verdict).toBe('pass');
  });
});
