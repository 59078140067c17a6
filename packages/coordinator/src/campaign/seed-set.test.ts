import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SeedSet } from './seed-set.ts';

const seedsOf = (set: SeedSet): number[] =>
  set.list().flatMap(({ from, to }) => Array.from({ length: to - from + 1 }, (_, i) => from + i));

describe('a set of seeds', () => {
  it('behaves like a set of numbers, and keeps as few ranges as can be', () => {
    const range = fc.tuple(fc.integer({ min: 0, max: 30 }), fc.integer({ min: 0, max: 6 }));
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.boolean(), range)), (steps) => {
        const set = new SeedSet();
        const model = new Set<number>();
        for (const [adds, [from, more]] of steps) {
          const seeds = Array.from({ length: more + 1 }, (_, i) => from + i);
          if (adds && seeds.every((seed) => !model.has(seed))) {
            set.add({ from, to: from + more });
            for (const seed of seeds) model.add(seed);
          } else if (!adds && seeds.every((seed) => model.has(seed))) {
            set.remove({ from, to: from + more });
            for (const seed of seeds) model.delete(seed);
          }
          expect(seedsOf(set)).toEqual([...model].sort((x, y) => x - y));
          expect(set.size).toBe(model.size);
        }
        for (const [i, { from }] of set.list().entries()) {
          if (i > 0) expect(from).toBeGreaterThan(set.list()[i - 1]!.to + 1);
        }
      }),
    );
  });

  it('refuses to hold a seed twice and to lose one that it does not have', () => {
    const set = new SeedSet({ from: 1, to: 10 });
    for (const range of [
      { from: 10, to: 12 },
      { from: 0, to: 1 },
      { from: 0, to: 11 },
      { from: 4, to: 5 },
    ]) {
      expect(() => set.add(range)).toThrow('there already');
    }
    expect(() => set.remove({ from: 10, to: 11 })).toThrow('not there');
    expect(set.list()).toEqual([{ from: 1, to: 10 }]);
  });

  it('hands out its lowest seeds first', () => {
    const set = new SeedSet({ from: 20, to: 29 }, { from: 1, to: 3 });
    expect(set.take(5)).toEqual({ from: 1, to: 3 });
    expect(set.take(5)).toEqual({ from: 20, to: 24 });
    expect(set.take(9)).toEqual({ from: 25, to: 29 });
    expect(set.take(1)).toBeNull();
  });
});
