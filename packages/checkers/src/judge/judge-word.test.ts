import { Random } from '@numalab/base';
import { describe, expect, it } from 'vitest';
import { Shortest } from './counter-example.ts';
import { judgeWord } from './judge-word.ts';
import { BOOT_VALUE, logOf, type SampleFetch } from './sample-reports.ts';
import type { Version } from './timeline.ts';

const WORD = 100;

/** Number 0 and writes that last [begin, end]. */
const versions = (...spans: readonly (readonly [begin: number, end: number])[]): Version[] => [
  { number: 0, value: BOOT_VALUE, begin: -Infinity, end: -Infinity },
  ...spans.map(([begin, end], i) => ({ number: i + 1, value: i + 1, begin, end })),
];

const fetch = (cpu: number, number: number, issue: number, end: number = issue): SampleFetch => ({
  word: WORD,
  cpu,
  number,
  value: number === 0 ? BOOT_VALUE : number,
  issue,
  end,
});

const judgeFetches = (of: readonly Version[], ...fetches: readonly SampleFetch[]) => {
  const nodes = [...new Set(fetches.map(({ cpu }) => cpu >> 1))];
  const logs = nodes.map((node) =>
    logOf(
      WORD,
      fetches.filter(({ cpu }) => cpu >> 1 === node),
    ),
  );
  const shortest = new Shortest();
  return { ...judgeWord(WORD, of, logs, shortest), counterExamples: shortest.examples };
};

const levels = (...args: Parameters<typeof judgeFetches>): string[] =>
  judgeFetches(...args).counterExamples.map(({ level }) => level);

describe('completed', () => {
  it('holds if the old word is fetched until the write ends', () => {
    expect(levels(versions([10, 20]), fetch(0, 0, 20, 25), fetch(2, 1, 26))).toEqual([]);
  });

  it('is refuted by a fetch of the old word issued after the write ended', () => {
    const { counterExamples } = judgeFetches(versions([10, 2_000]), fetch(2, 0, 2_001));
    expect(counterExamples).toHaveLength(1);
    expect(counterExamples[0]!.level).toBe('completed');
    expect(counterExamples[0]).toMatchObject({ kind: 'late', word: WORD, write: { number: 1, end: 2_000 } });
    expect(counterExamples[0]!.fetches).toEqual([{ cpu: 2, issuePs: 2_001, endPs: 2_001, number: 0 }]);
  });

  it('does not care how long a fetch took that was issued in time', () => {
    expect(levels(versions([10, 20]), fetch(0, 0, 19, 500))).toEqual([]);
  });

  it('takes the earliest end among all later writes', () => {
    // Write 2 of another core ended before write 1 did.
    expect(levels(versions([10, 90], [12, 30]), fetch(0, 0, 40))).toEqual(['completed']);
    expect(levels(versions([10, 90], [12, 95]), fetch(0, 0, 40))).toEqual([]);
  });

  it('is not refuted by a fetch of a newer word than the one that ended', () => {
    expect(levels(versions([10, 20], [15, 60]), fetch(0, 2, 30, 31))).toEqual([]);
  });

  it('counts the fetches that were late enough to miss a write as evidence', () => {
    const of = versions([10, 20], [30, 40]);
    expect(judgeFetches(of, fetch(0, 1, 20)).completedEvidence).toBe(0);
    expect(judgeFetches(of, fetch(0, 1, 21)).completedEvidence).toBe(1);
    expect(judgeFetches(of, fetch(0, 2, 41), fetch(2, 2, 42)).completedEvidence).toBe(2);
  });
});

describe('atomic', () => {
  it('is refuted by a fetch of the old word issued after another core had fetched the new one', () => {
    const { counterExamples } = judgeFetches(versions([10, 90]), fetch(0, 1, 20, 25), fetch(2, 0, 26, 30));
    expect(counterExamples.map(({ level }) => level)).toEqual(['atomic']);
    expect(counterExamples[0]).toMatchObject({ kind: 'back', write: { number: 1 } });
    expect(counterExamples[0]!.fetches).toMatchObject([
      { cpu: 0, number: 1, endPs: 25 },
      { cpu: 2, number: 0, issuePs: 26 },
    ]);
  });

  it('holds if the two fetches overlap', () => {
    expect(levels(versions([10, 90]), fetch(0, 1, 20, 26), fetch(2, 0, 26, 30))).toEqual([]);
  });

  it('is refuted by a fetch that saw a write before it began', () => {
    expect(levels(versions([10, 90]), fetch(0, 1, 3, 9))).toEqual(['atomic']);
    expect(levels(versions([10, 90]), fetch(0, 1, 3, 10))).toEqual([]);
  });

  it('counts fetches issued after the new word was first seen as evidence', () => {
    const of = versions([10, 90]);
    expect(judgeFetches(of, fetch(0, 1, 20, 25), fetch(2, 1, 25)).atomicEvidence).toBe(0);
    expect(judgeFetches(of, fetch(0, 1, 20, 25), fetch(2, 1, 26)).atomicEvidence).toBe(1);
  });
});

describe('values', () => {
  it('are accepted if their write put them there', () => {
    expect(judgeFetches(versions([10, 20]), fetch(0, 0, 1), fetch(0, 1, 30)).invented).toEqual([]);
  });

  it('are invented if another value stands beside a number', () => {
    const { invented } = judgeFetches(versions([10, 20]), { ...fetch(1, 1, 30), value: 0xbad });
    expect(invented).toHaveLength(1);
    expect(invented[0]!.message).toBe('CPU 1 saw 0xbad in word 100 (offset 0x190), where write 1 had put 0x1');
  });

  it('are invented if no write to the word has their number', () => {
    const { invented } = judgeFetches(versions([10, 20]), { ...fetch(3, 0, 30), number: 7 });
    expect(invented).toHaveLength(1);
    expect(invented[0]!.message).toContain('CPU 3 saw word 100 (offset 0x190) with number 7');
  });
});

/** The definitions, put to every pair of fetches and writes. */
const naive = (of: readonly Version[], fetches: readonly SampleFetch[]): Set<string> => {
  const refuted = new Set<string>();
  for (const one of fetches) {
    for (const { number, begin, end } of of) {
      if (one.issue > end && one.number < number) refuted.add('completed');
      if (one.number >= number && one.end < begin) refuted.add('atomic');
    }
    for (const other of fetches) if (other.end < one.issue && one.number < other.number) refuted.add('atomic');
  }
  return refuted;
};

describe('a judgement from latest issues and earliest ends', () => {
  it('is that of all fetches and writes, pair by pair', () => {
    const seen = new Map<string, number>();
    for (let seed = 0; seed < 20_000; seed++) {
      const random = new Random(seed, 'history');
      const of = versions(
        ...Array.from({ length: random.below(4) }, (): [number, number] => {
          const begin = random.below(12);
          return [begin, random.below(8) === 0 ? Infinity : begin + random.below(8)];
        }),
      );
      const fetches = Array.from({ length: 1 + random.below(6) }, () => {
        const issue = random.below(16);
        return fetch(random.below(6), random.below(of.length), issue, issue + random.below(5));
      });
      const expected = [...naive(of, fetches)].sort();
      expect([...new Set(levels(of, ...fetches))].sort(), `seed ${seed}`).toEqual(expected);
      seen.set(expected.join(), (seen.get(expected.join()) ?? 0) + 1);
    }
    // The histories are no use unless each outcome is among them often.
    for (const outcome of ['', 'completed', 'atomic', 'atomic,completed']) {
      expect(seen.get(outcome), outcome).toBeGreaterThan(500);
    }
  });
});
