import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { buildBuiltinKernel } from '../builtin/index.ts';
import { type KernelImage, type ReplicatedRange, replicatedRanges, type Span } from './index.ts';

const builtin = buildBuiltinKernel(1);
const withBounds = (text: Span | null, el2Text: Span | null, constantRodataEnd: number | null): KernelImage => ({
  ...builtin,
  regions: { ...builtin.regions, text, rodata: null },
  el2Text,
  constantRodataEnd,
});
const plain = (ranges: readonly ReplicatedRange[]): [number, number, string][] =>
  ranges.map(({ start, end, kind }) => [start, end, kind]);

describe('the replicated range', () => {
  it('joins text and rodata around EL2 text at 4K', () => {
    expect(plain(replicatedRanges(builtin, 4096, 'text+rodata'))).toEqual([
      [0x1_0000, 0x11_d000, 'replica'],
      [0x11_d000, 0x13_3000, 'hole'],
      [0x13_3000, 0x13_4000, 'shared'],
      [0x13_4000, 0x40_8000, 'replica'],
    ]);
  });

  it('stops at the end of text when only text is wanted', () => {
    expect(replicatedRanges(builtin, 4096, 'text').at(-1)).toMatchObject({ end: 0x14_0000, kind: 'replica' });
  });

  it('shares granules on both sides of EL2 text where they are larger than its alignment', () => {
    expect(plain(replicatedRanges(builtin, 65536, 'text+rodata'))).toEqual([
      [0x1_0000, 0x11_0000, 'replica'],
      [0x11_0000, 0x12_0000, 'shared'],
      [0x12_0000, 0x13_0000, 'hole'],
      [0x13_0000, 0x14_0000, 'shared'],
      [0x14_0000, 0x40_0000, 'replica'],
    ]);
  });

  it('has no hole if EL2 text fills no granule', () => {
    const image = withBounds({ start: 0x1_0000, end: 0x10_0000 }, { start: 0x4_1000, end: 0x4_3000 }, null);
    expect(plain(replicatedRanges(image, 65536, 'text'))).toEqual([
      [0x1_0000, 0x4_0000, 'replica'],
      [0x4_0000, 0x5_0000, 'shared'],
      [0x5_0000, 0x10_0000, 'replica'],
    ]);
  });

  it('aligns IPAs, not offsets', () => {
    expect(plain(replicatedRanges(builtin, 65536, 'text', 0x20_8000))).toEqual([
      [0x1_8000, 0x11_8000, 'replica'],
      [0x11_8000, 0x13_8000, 'shared'],
    ]);
  });

  it('is empty if the bounds of text are unknown', () => {
    expect(replicatedRanges(withBounds(null, null, null), 4096, 'text+rodata')).toEqual([]);
  });

  it('says why rodata is left out', () => {
    const image = {
      ...withBounds({ start: 0, end: 0x1_0000 }, null, null),
      unknown: { constantRodataEnd: 'no such end' },
    };
    expect(replicatedRanges(image, 4096, 'text+rodata')).toEqual([
      { start: 0, end: 0x1_0000, kind: 'replica', reason: 'rodata is not replicated: no such end' },
    ]);
  });

  it('covers text exactly once, with EL2 text only in holes and shared granules', () => {
    const bytes = fc.integer({ min: 0, max: 0x4_0000 });
    const granules = fc.constantFrom(4096, 16384, 65536);
    fc.assert(
      fc.property(
        fc.tuple(bytes, bytes, bytes, bytes),
        granules,
        fc.integer({ min: 0, max: 15 }),
        (gaps, granule, pages) => {
          const [a, b, c, d] = gaps.map((gap) => gap & ~3) as [number, number, number, number];
          const text = { start: a, end: a + b + c + d };
          const el2 = { start: a + b, end: a + b + c };
          const loadIpa = 4096 * pages;
          const ranges = replicatedRanges(withBounds(text, el2, null), granule, 'text', loadIpa);
          const inside = (offset: number, span: Span): boolean => offset >= span.start && offset < span.end;
          let at = -1;
          for (const range of ranges) {
            expect((range.start + loadIpa) % granule).toBe(0);
            expect((range.end + loadIpa) % granule).toBe(0);
            expect(range.end).toBeGreaterThan(range.start);
            if (at >= 0) expect(range.start).toBe(at);
            at = range.end;
            for (let offset = range.start; offset < range.end; offset += granule) {
              const last = offset + granule - 4;
              const isOwned = c > 0 && inside(offset, el2) && inside(last, el2);
              const touches = c > 0 && offset < el2.end && offset + granule > el2.start;
              expect(range.kind).toBe(isOwned ? 'hole' : touches ? 'shared' : 'replica');
              expect(inside(offset, text) && inside(last, text)).toBe(true);
            }
          }
          const covered = ranges.reduce((sum, range) => sum + range.end - range.start, 0);
          expect(text.end - text.start - covered).toBeLessThan(2 * granule);
        },
      ),
    );
  });
});
