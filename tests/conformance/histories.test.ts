/** What nodes note of fetches, against all fetches kept: the levels and R4 must come out the same. */
import { judgeWord, Shortest, type Version } from '@numalab/checkers';
import { Observations } from '@numalab/node-worker';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

const WORD = 40;
const NODES = 2;
const CORES = 2;

interface Fetch {
  readonly cpu: number;
  readonly issue: number;
  readonly end: number;
  readonly number: number;
  readonly isLoad: boolean;
}

interface History {
  readonly versions: readonly Version[];
  /** In the order in which they end, as nodes note them. */
  readonly fetches: readonly Fetch[];
}

/** A write that never ends has length 0. */
const spans = fc.array(fc.record({ begin: fc.nat(14), length: fc.nat(9) }), { maxLength: 4 });
const accesses = fc.array(
  fc.record({
    cpu: fc.nat(NODES * CORES - 1),
    issue: fc.nat(20),
    length: fc.nat(5),
    number: fc.nat(4),
    isLoad: fc.boolean(),
  }),
  { maxLength: 12 },
);

const histories: fc.Arbitrary<History> = fc.record({ spans, accesses }).map((drawn) => ({
  versions: [
    { number: 0, value: 0xa0, begin: -Infinity, end: -Infinity },
    ...drawn.spans.map(({ begin, length }, i) => ({
      number: i + 1,
      value: 0xa1 + i,
      begin,
      end: length === 0 ? Infinity : begin + length,
    })),
  ],
  fetches: drawn.accesses
    .map(({ cpu, issue, length, number, isLoad }) => ({
      cpu,
      issue,
      end: issue + length,
      number: number % (drawn.spans.length + 1),
      isLoad,
    }))
    .sort((a, b) => a.end - b.end),
}));

/** What the nodes of a machine note. */
const observe = ({ versions, fetches }: History): Observations[] => {
  const nodes = Array.from({ length: NODES }, (_, id) => new Observations(id * CORES, CORES));
  for (const { cpu, issue, end, number, isLoad } of fetches) {
    const node = nodes[Math.floor(cpu / CORES)]!;
    const { value } = versions[number]!;
    if (isLoad) node.loaded(WORD, value, number, cpu, issue, end);
    else node.fetched(WORD, value, number, cpu, issue, end);
  }
  return nodes;
};

const judged = (history: History): Set<string> => {
  const logs = observe(history).flatMap(({ words }) => [...words.values()]);
  const shortest = new Shortest();
  const { invented } = judgeWord(WORD, history.versions, logs, shortest);
  expect(invented).toEqual([]);
  return new Set(shortest.examples.map(({ level }) => level));
};

/** The definitions of the levels, put to every pair. */
const byDefinition = ({ versions, fetches }: History): Set<string> => {
  const refuted = new Set<string>();
  for (const fetch of fetches) {
    if (versions.some(({ number, end }) => number > fetch.number && fetch.issue > end)) refuted.add('completed');
    if (fetches.some((other) => other.number > fetch.number && other.end < fetch.issue)) refuted.add('atomic');
    if (versions.some(({ number, begin }) => number <= fetch.number && fetch.end < begin)) refuted.add('atomic');
  }
  return refuted;
};

/** Accesses that went back: one core's, of one kind, after an access that saw more. */
const goneBack = ({ fetches }: History): number =>
  fetches.filter((fetch, i) =>
    fetches
      .slice(0, i)
      .some((other) => other.cpu === fetch.cpu && other.isLoad === fetch.isLoad && other.number > fetch.number),
  ).length;

describe('a history of fetches', () => {
  it('refutes the same levels when only latest issues and earliest ends are kept', () => {
    fc.assert(
      fc.property(histories, (history) => {
        expect(judged(history)).toEqual(byDefinition(history));
      }),
      { numRuns: 5000, seed: 1 },
    );
  });

  it('counts no more evidence than there are fetches that a write had ended before, and some if there are any', () => {
    fc.assert(
      fc.property(histories, (history) => {
        const { versions, fetches } = history;
        const late = fetches.filter(({ issue }) => versions.slice(1).some(({ end }) => issue > end)).length;
        const logs = observe(history).flatMap(({ words }) => [...words.values()]);
        const { completedEvidence } = judgeWord(WORD, versions, logs);
        expect(completedEvidence).toBeLessThanOrEqual(late);
        expect(completedEvidence > 0).toBe(late > 0);
      }),
      { numRuns: 2000, seed: 2 },
    );
  });

  it('breaks R4 where a core goes back, and only there', () => {
    fc.assert(
      fc.property(histories, (history) => {
        const nodes = observe(history);
        const found = nodes.reduce((sum, { findings, dropped }) => sum + findings.length + dropped, 0);
        expect(found).toBe(goneBack(history));
        for (const { findings } of nodes) for (const { id } of findings) expect(id).toBe('R4');
      }),
      { numRuns: 2000, seed: 3 },
    );
  });

  it('is kept rule by rule: many findings of one hide none of another', () => {
    const node = new Observations(0, CORES);
    for (let i = 0; i < 100; i++) node.report('R3', `flood ${i}`, i);
    node.report('ordered', 'node 0 applied write 2 after write 0', 200);
    expect(node.findings.at(-1)).toMatchObject({ id: 'ordered' });
    expect(node.findings).toHaveLength(9);
  });
});
