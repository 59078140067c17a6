import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { causeOf } from './cause.ts';
import { type RunTally, Tally } from './tally.ts';

const NO_EVIDENCE = { eventual: 0, ordered: 0, completed: 0, atomic: 0 };

const run = (seed: number, times: readonly number[], failed: string | null = null, events = seed): RunTally => ({
  verdict: failed === null ? 'pass' : 'fail',
  failure: failed === null ? null : { cause: failed, invariant: 'R1', message: `seed ${seed}`, seed, events },
  sums: { events },
  evidence: { ...NO_EVIDENCE, ordered: 1 },
  rules: [{ id: 'R1', evidence: 2 }],
  faults: [{ kind: 'drop', fired: seed % 3 }],
  marks: seed % 2 === 0 ? ['even'] : [],
  times: { writeLatencyPs: times, maintainedPs: [] },
});

const tallied = (runs: readonly RunTally[]): Tally => {
  const tally = new Tally();
  for (const one of runs) tally.addRun(one);
  return tally;
};

describe('tallies', () => {
  it('add up to the tally of all runs, however they are cut and in whatever order', () => {
    const runs = fc.array(
      fc.tuple(fc.nat(50), fc.array(fc.integer({ min: 1, max: 1e13 })), fc.constantFrom(null, 'a', 'b')),
      { maxLength: 20 },
    );
    fc.assert(
      fc.property(runs, fc.nat(20), (list, cut) => {
        const all = list.map(([seed, times, failed]) => run(seed, times, failed));
        const merged = new Tally();
        for (const part of [all.slice(cut), all.slice(0, cut)]) {
          merged.add(JSON.parse(JSON.stringify(tallied(part).data())));
        }
        expect(merged.data()).toEqual(tallied(all).data());
      }),
      { numRuns: 60 },
    );
  });

  it('keep the shortest run of every cause, and the most frequent cause first', () => {
    const tally = tallied([run(9, [], 'x', 50), run(3, [], 'x', 40), run(2, [], 'x', 40), run(1, [], 'y'), run(4, [])]);
    expect(tally.failures()).toEqual([
      { cause: 'x', invariant: 'R1', message: 'seed 2', seed: 2, events: 40, count: 3 },
      { cause: 'y', invariant: 'R1', message: 'seed 1', seed: 1, events: 1, count: 1 },
    ]);
    expect(tally.runs).toEqual({ total: 5, pass: 1, fail: 4, unknown: 0, error: 0 });
  });

  it('take no more room however many causes there are', () => {
    const tally = tallied(Array.from({ length: 3000 }, (_, seed) => run(seed, [], `cause ${seed}`)));
    expect(tally.failures().length).toBe(1001);
    expect(tally.failures().reduce((sum, { count }) => sum + count, 0)).toBe(3000);
  });

  it('give percentiles to three digits over the whole range of times', () => {
    const times = Array.from({ length: 1000 }, (_, i) => (i + 1) * 1_000_003);
    const { writeLatencyPs } = tallied([run(1, times)]).histograms;
    expect(writeLatencyPs.totalCount).toBe(1000);
    expect(Math.abs(writeLatencyPs.getValueAtPercentile(50) / 500_001_500 - 1)).toBeLessThan(0.001);
    expect(Math.abs(writeLatencyPs.getValueAtPercentile(99) / 990_002_970 - 1)).toBeLessThan(0.001);
  });
});

describe('a cause', () => {
  it('is the same for the same failure of other seeds', () => {
    const one = causeOf('R5', 'completed does not hold: CPU 3 fetched write 17 of word 0x1f40 at 12.5 us');
    expect(one).toBe(causeOf('R5', 'completed does not hold: CPU 0 fetched write 2 of word 0x88 at 700 ns'));
    expect(one).toContain('R5: completed does not hold: CPU # fetched');
    expect(causeOf('L1', 'nodes 1, 2, 3 hang')).toBe(causeOf('L1', 'nodes 0, 3 hang'));
  });

  it('differs for another rule and for other words', () => {
    expect(causeOf('R1', 'node 1 lost it')).not.toBe(causeOf('R2', 'node 1 lost it'));
    expect(causeOf('R1', 'lost '.repeat(80))).toMatch(/^R1: lost .{190,200}…$/);
    expect(causeOf('R1', 'node 1 lost it')).not.toBe(causeOf('R1', 'node 1 has it'));
    expect(causeOf('T4', 'TLBI at stage2')).toContain('stage2');
  });
});
