import { describe, expect, it } from 'vitest';
import { Dealer } from './dealer.ts';
import { SeedSet, seedCount } from './seed-set.ts';

describe('a dealer', () => {
  it('begins with small leases, and then deals what takes one to two seconds', () => {
    const dealer = new Dealer([new SeedSet({ from: 1, to: 100_000 })]);
    expect(seedCount(dealer.next(2)!)).toBe(4);
    dealer.learn(0, 4, 40);
    expect(dealer.next(2)).toEqual({ cell: 0, from: 5, to: 204 });
    // Twice as slow as thought: half the way there with every lease.
    dealer.learn(0, 200, 6000);
    expect(seedCount(dealer.next(2)!)).toBe(100);
  });

  it('deals every seed of every cell once', () => {
    const dealer = new Dealer([new SeedSet({ from: 1, to: 1000 }), new SeedSet({ from: 1, to: 1000 })]);
    const dealt = [new SeedSet(), new SeedSet()];
    for (let lease = dealer.next(3); lease !== null; lease = dealer.next(3)) {
      dealt[lease.cell]!.add(lease);
      dealer.learn(lease.cell, seedCount(lease), seedCount(lease) * 30);
    }
    expect(dealt.map((set) => set.list())).toEqual([[{ from: 1, to: 1000 }], [{ from: 1, to: 1000 }]]);
    expect(dealer.remaining).toBe(0);
  });

  it('makes leases shorter towards the end, but not shorter than a second', () => {
    const dealer = new Dealer([new SeedSet({ from: 1, to: 300 })]);
    dealer.learn(0, 1, 10);
    const sizes: number[] = [];
    for (let lease = dealer.next(2); lease !== null; lease = dealer.next(2)) sizes.push(seedCount(lease));
    expect(sizes).toEqual([150, 100, 50]);
  });

  it('deals the seeds of a slow scenario one by one', () => {
    const dealer = new Dealer([new SeedSet({ from: 1, to: 3 })]);
    dealer.learn(0, 1, 60_000);
    expect([dealer.next(2), dealer.next(2), dealer.next(2)].map((lease) => seedCount(lease!))).toEqual([1, 1, 1]);
  });

  it('deals halves of what was lost before anything else, and again what was given back', () => {
    const dealer = new Dealer([new SeedSet({ from: 1, to: 20 })], 8);
    const lease = dealer.next(2)!;
    dealer.split(lease);
    expect(dealer.remaining).toBe(20);
    expect([dealer.next(2), dealer.next(2)]).toEqual([
      { cell: 0, from: 1, to: 4 },
      { cell: 0, from: 5, to: 8 },
    ]);
    dealer.giveBack(0, { from: 3, to: 4 });
    expect(dealer.next(2)).toEqual({ cell: 0, from: 3, to: 4 });
  });

  it('reserves only what is left as a whole', () => {
    const dealer = new Dealer([new SeedSet({ from: 1, to: 20 })]);
    expect(dealer.reserve({ cell: 0, from: 5, to: 8 })).toBe(true);
    expect(dealer.reserve({ cell: 0, from: 8, to: 9 })).toBe(false);
    expect(dealer.reserve({ cell: 0, from: 20, to: 21 })).toBe(false);
    expect(dealer.reserve({ cell: 1, from: 1, to: 2 })).toBe(false);
    expect(dealer.remaining).toBe(16);
  });
});
