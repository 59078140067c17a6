/** What judging costs: near-linear in the history, and no more than the budget. */
import { describe, expect, it } from 'vitest';
import { type JudgeInput, judge } from './judge.ts';
import { type SampleFetch, type SampleWrite, sampleInput } from './sample-reports.ts';

/** The checkers themselves know no clock. */
declare const performance: { now(): number };

const WORDS = 64;
const STEP = 10_000;

/**
 * A history of so many writes of two words, all of few places, so that each word has many versions; every write is
 * fetched by both nodes, synchronised, and compared with first.
 */
const historyOf = (count: number): JudgeInput => {
  const writes: SampleWrite[] = [];
  const fetches: SampleFetch[] = [];
  for (let i = 0; i < count; i++) {
    const [word, begin, end] = [1024 + 4 * (i % WORDS), i * STEP, i * STEP + 900];
    writes.push({ word, values: [i + 1, i + 2], node: i % 2, begin, end });
    for (const cpu of [0, 2]) fetches.push({ word, cpu, issue: end + 10, end: end + 20, number: i + 1, value: i + 1 });
    fetches.push({ word: word + 1, cpu: 3, issue: end + 10, end: end + 20, number: i + 1, value: i + 2 });
  }
  const input = sampleInput(2, 'completed', writes, fetches);
  const nodes = input.nodes.map((node) => {
    const own = writes.flatMap((write, i) => (write.node === node.id ? [{ ...write, i }] : []));
    const cpu = 2 * node.id;
    return {
      ...node,
      synchronisations: own.map(({ word, end }) => ({ word, time: end + 100, cpu, isStopped: false })),
      comparisons: own.map(({ word, begin, i }) => {
        const number = Math.max(0, i - WORDS + 1);
        const value = number === 0 ? input.valueAtBoot(word) : number;
        return { word, cpu, issue: begin - 50, end: begin - 10, value, number, expected: -1 };
      }),
      groups: Array.from({ length: WORDS }, (_, at) => {
        const seen = writes.flatMap(({ word }, i) => (word === 1024 + 4 * at ? [i + 1] : []));
        return {
          group: 256 + at,
          numbers: seen.flatMap((number) => [number, number, 0, 0]),
          cpus: seen.map(() => cpu),
          times: seen.map((number) => (number - 1) * STEP + 950),
          highest: seen.at(-1) ?? 0,
        };
      }),
    };
  });
  return { ...input, nodes, spec: { ...input.spec, wholeWrites: true } };
};

/** Judges it, and gives back how long that took, in milliseconds. */
const timeOf = (input: JudgeInput): number => {
  const began = performance.now();
  const { violations, rules } = judge(input);
  const time = performance.now() - began;
  expect(violations).toEqual([]);
  for (const id of ['R1', 'R2', 'R4', 'R6', 'X1', 'K1']) {
    expect([id, rules.find((rule) => rule.id === id)!.evidence > 0]).toEqual([id, true]);
  }
  return time;
};

describe('judging a history', () => {
  it('four times as long takes not much more than four times as long', () => {
    const histories = [4000, 16_000].map(historyOf);
    const least = histories.map(() => Infinity);
    // In turn, and the least of each: what else the machine does only adds.
    for (let round = 0; round < 8; round++) {
      for (const [i, history] of histories.entries()) least[i] = Math.min(least[i]!, timeOf(history));
    }
    // Measured: 4.1. Quadratic would be 16.
    expect(least[1]! / least[0]!).toBeLessThan(8);
  });

  it('beyond the budget is unknown, with what was found until then', () => {
    const history = historyOf(400);
    const enough = { ...history, budget: 1_000_000 };
    expect(judge(enough)).toMatchObject({ verdict: 'pass', held: 'atomic' });
    const short = judge({ ...history, budget: 500 });
    expect(short.verdict).toBe('unknown');
    expect(short.reason).toContain('budget of 500');
    const incomplete = short.rules.filter(({ complete }) => !complete).map(({ id }) => id);
    expect(incomplete).toEqual(['R3', 'R5', 'R6', 'X1', 'K1']);
    // A rule that is broken is broken, whatever is left to judge.
    const [first, ...others] = history.nodes;
    const lost = { ...first!, copy: { ...first!.copy!, values: first!.copy!.values.map(() => 1) } };
    expect(judge({ ...history, nodes: [lost, ...others], budget: 500 })).toMatchObject({ verdict: 'fail' });
  });
});
