import {
  APPLY_COPY,
  APPLY_MAP,
  APPLY_PRIMARY,
  APPLY_STORE,
  APPLY_UNMAP,
  type ApplyEntries,
  type MachineSpec,
} from '@numalab/node-worker';
import { describe, expect, it } from 'vitest';
import { judgeApplied, WritePages } from './judge-applied.ts';

type Entry = readonly [kind: number, subject: number, number?: number];

const spec = { granule: '4K' } as unknown as MachineSpec;
const PAGE_WORDS = 1024;

/** Writes of two words at these offsets from `_text` in words, judged after these entries. */
const judged = (words: readonly number[], entries: readonly Entry[], isOver = true) => {
  const writes = words.map((word, i) => ({ number: i + 1, word, words: [1, 2], origin: 0 }));
  const log: ApplyEntries = {
    kinds: entries.map(([kind]) => kind),
    subjects: entries.map(([, subject]) => subject),
    numbers: entries.map(([, , number = 0]) => number),
    times: entries.map((_, i) => i),
  };
  const { ordered, lost, repeated } = judgeApplied(3, log, new WritePages(spec, writes), isOver);
  return { ordered: ordered?.message ?? null, lost, repeated };
};

const GOOD = { ordered: null, lost: [], repeated: [] };
/** Writes 1 and 3 are to page 0, write 2 is to page 1. */
const TWO_PAGES = [8, PAGE_WORDS + 8, 16];
const store = (number: number): Entry => [APPLY_STORE, number];

describe('what is applied to a copy', () => {
  it('is a prefix of the order if writes are stored in order', () => {
    expect(judged(TWO_PAGES, [store(1), store(2), store(3)])).toEqual(GOOD);
  });

  it('is none if a later write comes first', () => {
    const result = judged(TWO_PAGES, [store(1), store(3), store(2)]);
    expect(result).toEqual({ ...GOOD, ordered: 'node 3 applied write 3 before write 2' });
  });

  it('may miss writes to a page that is not mapped', () => {
    expect(judged(TWO_PAGES, [[APPLY_UNMAP, 1], store(1), store(3)])).toEqual(GOOD);
    expect(judged(TWO_PAGES, [[APPLY_PRIMARY, 1], store(1), store(3)])).toEqual(GOOD);
  });

  it('must have them when the page is mapped again', () => {
    const result = judged(TWO_PAGES, [[APPLY_UNMAP, 1], store(1), store(3), [APPLY_MAP, 1]]);
    expect(result).toEqual({ ordered: 'node 3 mapped page 1 without write 2', lost: [2], repeated: [] });
    expect(judged(TWO_PAGES, [[APPLY_UNMAP, 1], store(1), store(3), store(2), [APPLY_MAP, 1]])).toEqual(GOOD);
  });

  it('has what a copy of the page brought', () => {
    const entries: Entry[] = [[APPLY_UNMAP, 1], store(1), store(3), [APPLY_COPY, 1, 2], [APPLY_MAP, 1]];
    expect(judged(TWO_PAGES, entries)).toEqual(GOOD);
    const stale = entries.map((entry): Entry => (entry[0] === APPLY_COPY ? [APPLY_COPY, 1, 0] : entry));
    expect(judged(TWO_PAGES, stale).lost).toEqual([2]);
  });

  it('is judged for the part of a write that lies in a mapped page', () => {
    const crossing = PAGE_WORDS - 1;
    expect(judged([crossing, 8], [[APPLY_UNMAP, 1], store(2)]).ordered).toBe('node 3 applied write 2 before write 1');
  });

  it('shows a write that was stored again', () => {
    expect(judged([8], [store(1), store(1)])).toEqual({ ...GOOD, repeated: [1] });
    expect(judged([8], [[APPLY_COPY, 0, 1], store(1)])).toEqual(GOOD);
  });

  it('misses nothing while the run is not over', () => {
    expect(judged([8], []).lost).toEqual([1]);
    expect(judged([8], [], false).lost).toEqual([]);
  });
});
