import { describe, expect, it } from 'vitest';
import { judge } from './judge.ts';
import { judgeWholeWrites } from './judge-whole-writes.ts';
import { type SampleFetch, sampleInput, withNode } from './sample-reports.ts';

/** One write of two words, from 1 to 2 µs; words 100 and 101 are of one group of four. */
const WRITE = { word: 100, values: [7, 8], node: 0, begin: 1_000_000, end: 2_000_000 };

const fetch = (word: number, number: number, cpu: number, issue: number): SampleFetch => ({
  word,
  cpu,
  number,
  value: number === 0 ? 0xd503_201f : WRITE.values[word - WRITE.word]!,
  issue,
  end: issue + 10,
});

/** A run whose protocol says that writes are seen whole. */
const whole = (fetches: readonly SampleFetch[]) => {
  const input = sampleInput(2, 'ordered', [WRITE], fetches);
  return { ...input, spec: { ...input.spec, wholeWrites: true } };
};

const messages = (input: ReturnType<typeof whole>): string[] =>
  judge(input).violations.flatMap(({ id, message }) => (id === 'R6' ? [message] : []));

describe('R6', () => {
  it('holds if a fetch of the other word that misses the write was issued before the fetch that saw it ended', () => {
    const input = whole([fetch(100, 1, 0, 1_500_000), fetch(101, 0, 2, 1_500_010), fetch(101, 1, 2, 1_500_020)]);
    expect(messages(input)).toEqual([]);
    expect(judge(input).rules.find(({ id }) => id === 'R6')!.evidence).toBeGreaterThan(0);
  });

  it('is broken if it was issued later', () => {
    const input = whole([fetch(100, 1, 0, 1_500_000), fetch(101, 0, 2, 1_500_011)]);
    expect(messages(input)).toEqual([
      expect.stringMatching(/^write 1 by CPU 0 to 2 words from word 100.*CPU 2 issued/),
    ]);
    // In the other direction too.
    expect(messages(whole([fetch(101, 1, 0, 1_500_000), fetch(100, 0, 2, 1_500_011)]))).toHaveLength(1);
  });

  it('holds if words sampled together have both seen the write, or neither has', () => {
    const sampled = (...numbers: number[]) =>
      withNode(whole([]), 1, () => ({ groups: [{ group: 25, numbers, cpus: [3], times: [1_500_000], highest: 1 }] }));
    expect(messages(sampled(0, 0, 0, 0) as ReturnType<typeof whole>)).toEqual([]);
    expect(messages(sampled(1, 1, 0, 0) as ReturnType<typeof whole>)).toEqual([]);
    const [torn] = messages(sampled(1, 0, 0, 0) as ReturnType<typeof whole>);
    expect(torn).toMatch(/CPU 3 sampled at 1500.000 ns word 100 of write 1 together with word 101 of write 0/);
    expect(messages(sampled(0, 1, 0, 0) as ReturnType<typeof whole>)).toHaveLength(1);
    // Words that the write does not cover may be of any age.
    expect(messages(sampled(1, 1, 1, 0) as ReturnType<typeof whole>)).toEqual([]);
  });

  it('asks nothing of protocols that do not say so, and of writes of one word', () => {
    const input = sampleInput(2, 'ordered', [WRITE], [fetch(100, 1, 0, 1_500_000), fetch(101, 0, 2, 1_500_011)]);
    expect(judge(input).violations).toEqual([]);
    const { tests } = judgeWholeWrites({ writes: [], sightsOf: new Map(), groups: [], writerOf: () => 0 });
    expect(tests).toBe(0);
  });
});
