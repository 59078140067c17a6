import { loadScenario } from '@numalab/coordinator';
import { describe, expect, it } from 'vitest';
import { runWith, swarm } from './faults.ts';

const seeds = Array.from({ length: 8 }, (_, i) => i + 1);

/** Two nodes that execute all the time and are patched often. */
const busy = (faults: readonly object[], ...set: readonly string[]) =>
  loadScenario('small', {
    set: [
      `faults=${JSON.stringify(faults)}`,
      'workload.duty=1',
      'workload.duration=200us',
      'kernel.writers=[{ kind: synthetic, width: 4, rate: 200k/s, sites: 4 }]',
      ...set,
    ],
  });

describe('late invalidations, full queues, exhausted pools and flips under ECC', () => {
  it.each(['ack', 'bbm', 'collapse'])('break no rule of %s', async (protocol) => {
    const { broken } = await swarm(protocol, ['tlbi-late', 'queue', 'pool', 'flip-replica'], seeds);
    expect(broken).toEqual([]);
  });

  it('are told of', async () => {
    const faults = [
      { kind: 'queue', target: 1, nth: 2 },
      { kind: 'tlbi-late', target: 1, nth: 1 },
      { kind: 'flip-replica', target: 1, at: '50us' },
    ];
    const run = await runWith(busy(faults, 'replication.protocol=bbm'), 1);
    expect(run.judgement.violations).toEqual([]);
    expect(run.faults.map(({ outcome }) => outcome)).toEqual(['repaired', 'masked', 'repaired']);
  });
});

describe('a fault that nothing survives', () => {
  it('is booked the rules that it breaks, and the run passes', async () => {
    const writers = 'kernel.writers=[{ kind: jump-label, rate: 200k/s, keys: 3, batch: 1, cpus: [0, 2] }]';
    const run = await runWith(busy([{ kind: 'maint-lost', probability: 1 }], writers), 1);
    expect(run.faults).toMatchObject([{ outcome: 'silent', survivable: false }]);
    expect(run.faults[0]!.broke).toContain('R5');
    expect(run.judgement).toMatchObject({ verdict: 'pass', violations: [] });
  });

  it.each(['flip-replica', 'flip-l1i'])('%s shows as a word that nobody wrote', async (kind) => {
    const flips = Array.from({ length: 12 }, (_, i) => ({ kind, target: 1, at: `${100 + 5 * i}us` }));
    const run = await runWith(busy(flips, 'machine.ecc=none'), 1);
    expect(run.faults.some(({ outcome }) => outcome === 'silent')).toBe(true);
    expect(new Set(run.faults.flatMap(({ broke }) => broke))).toContain('R3');
    expect(run.judgement.verdict).toBe('pass');
  });

  it.each([
    ['valid', ['T1']],
    ['oa', ['T2']],
    ['s2ap', ['T2']],
    ['xn', ['T1']],
  ])('flip-descriptor of %s shows in the tables', async (field, rules) => {
    const run = await runWith(busy([{ kind: 'flip-descriptor', target: `1.${field}`, at: '50us' }]), 1);
    expect(run.faults).toMatchObject([{ fired: 1, survivable: false, outcome: 'silent' }]);
    expect(run.faults[0]!.broke).toEqual(expect.arrayContaining(rules));
    expect(run.judgement.violations).toEqual([]);
  });

  it('does not excuse what it cannot have broken', async () => {
    const faults = [{ kind: 'maint-lost', target: 1, nth: 1_000_000 }];
    const { judgement } = await runWith(busy(faults), 1);
    expect(judgement.reason).not.toContain('by faults');
  });
});
