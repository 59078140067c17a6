import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  Digest,
  DONE,
  type Field,
  fieldHi,
  fieldLo,
  fromWords,
  getField,
  highWord,
  lowWord,
  Random,
  type Step,
  TaskRun,
  WAIT,
} from './index.ts';

const field = fc
  .tuple(fc.integer({ min: 0, max: 63 }), fc.integer({ min: 0, max: 31 }))
  .map(([lsb, extra]): Field => [Math.min(63, lsb + extra), lsb]);

describe('fields', () => {
  it('agree with BigInt shifts wherever they lie', () => {
    fc.assert(
      fc.property(field, fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (f, value) => {
        const lo = Number(value & 0xffff_ffffn);
        const hi = Number(value >> 32n);
        const width = BigInt(f[0] - f[1] + 1);
        const expected = (value >> BigInt(f[1])) & ((1n << width) - 1n);
        expect(BigInt(getField(lo, hi, f))).toBe(expected);
        const rebuilt = (BigInt(fieldHi(f, Number(expected))) << 32n) | BigInt(fieldLo(f, Number(expected)));
        expect(rebuilt).toBe(expected << BigInt(f[1]));
      }),
    );
  });
});

describe('addresses', () => {
  it('survive the split into words', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), (n) => {
        expect(fromWords(lowWord(n), highWord(n))).toBe(n);
      }),
    );
  });
});

describe('random streams', () => {
  it('are equal for equal names and differ for others', () => {
    const draw = (seed: number, name: string, index: number): string => {
      const random = new Random(seed, name, index);
      return Array.from({ length: 8 }, () => random.next()).join();
    };
    const all = [
      draw(1, 'walk', 0),
      draw(2, 'walk', 0),
      draw(1, 'walk', 1),
      draw(1, 'jitter', 0),
      draw(2 ** 32 + 1, 'walk', 0),
    ];
    expect(new Set(all).size).toBe(all.length);
    expect(draw(1, 'walk', 0)).toBe(all[0]);
  });

  it('fill every bucket of a small range about equally', () => {
    const random = new Random(7, 'buckets');
    const counts = new Array<number>(10).fill(0);
    for (let i = 0; i < 100_000; i++) counts[random.below(10)]! += 1;
    for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(500);
  });
});

describe('digest', () => {
  it('depends on value and order', () => {
    const of = (...words: number[]): string => {
      const digest = new Digest();
      for (const word of words) digest.number(word);
      return digest.hex();
    };
    const all = [of(), of(0), of(0, 0), of(1, 2), of(2, 1), of(2 ** 40), of(2 ** 40 + 1)];
    expect(new Set(all).size).toBe(all.length);
    expect(of(1, 2)).toBe(of(1, 2));
  });
});

describe('a task', () => {
  it('calls what it yields, also what is over already, and says how much time passes', () => {
    const inner = function* (): Step<number> {
      yield 5;
      return 7;
    };
    const seen: unknown[] = [];
    const outer = function* (): Step<void> {
      seen.push(yield inner());
      seen.push(yield DONE);
      yield* DONE;
      yield WAIT;
      seen.push('over');
    };
    const run = new TaskRun(outer());
    expect([run.resume(), run.resume(), run.resume()]).toEqual([5, WAIT, null]);
    expect(seen).toEqual([7, undefined, 'over']);
    run.restart(DONE);
    expect([run.resume(), new TaskRun(DONE).resume()]).toEqual([null, null]);
  });
});
