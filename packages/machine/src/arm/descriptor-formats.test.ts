import type { Field } from '@numalab/base';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  blockAllowed,
  contiguousEntries,
  type DescriptorFormat,
  descriptorKind,
  GRANULES,
  KIND_BLOCK,
  KIND_INVALID,
  KIND_PAGE,
  KIND_TABLE,
  type Layout,
  leafAttributes,
  leafHi,
  leafLo,
  levelBytes,
  levelShift,
  outputAddress,
  stage1Attributes,
  stage1LeafAttributes,
  stage1LeafHi,
  stage1LeafLayout,
  stage1LeafLo,
  stage1TableHi,
  stage1TableLayout,
  stage1TableLo,
  stage2Attributes,
  stage2LeafLayout,
  stage2TableLayout,
  tableHi,
  tableLo,
  unpackStage1Attributes,
  unpackStage2Attributes,
} from './index.ts';

const FORMATS: readonly DescriptorFormat[] = [
  { granule: GRANULES['4K'], ds: false, lpa: false },
  { granule: GRANULES['4K'], ds: true, lpa: false },
  { granule: GRANULES['16K'], ds: false, lpa: false },
  { granule: GRANULES['16K'], ds: true, lpa: false },
  { granule: GRANULES['64K'], ds: false, lpa: false },
  { granule: GRANULES['64K'], ds: false, lpa: true },
];
const nameOf = ({ granule, ds, lpa }: DescriptorFormat): string =>
  `${granule.name}${ds ? ' DS=1' : ''}${lpa ? ' LPA' : ''}`;
const LEVELS = [-1, 0, 1, 2, 3];
const leafLevels = (format: DescriptorFormat): number[] =>
  LEVELS.filter((level) => level === 3 || blockAllowed(format.granule, level, format));

/** The blocks that D8.3 allows, written out. */
const BLOCKS: Readonly<Record<string, readonly number[]>> = {
  '4K': [1, 2],
  '4K DS=1': [0, 1, 2],
  '16K': [2],
  '16K DS=1': [1, 2],
  '64K': [2],
  '64K LPA': [1, 2],
};

const bits = (field: Field): number[] => Array.from({ length: field[0] - field[1] + 1 }, (_, i) => field[1] + i);
const coverage = (layout: Layout): number[] =>
  Object.values(layout)
    .flatMap(bits)
    .sort((a, b) => a - b);
const ALL_BITS = Array.from({ length: 64 }, (_, i) => i);

describe.each(FORMATS.map((format) => [nameOf(format), format] as const))('descriptors of %s', (name, format) => {
  it('have fields that do not overlap and account for all 64 bits', () => {
    for (const level of leafLevels(format)) {
      expect(coverage(stage2LeafLayout(format, level)), `stage-2 leaf, level ${level}`).toEqual(ALL_BITS);
      expect(coverage(stage1LeafLayout(format, level)), `stage-1 leaf, level ${level}`).toEqual(ALL_BITS);
    }
    expect(coverage(stage2TableLayout(format))).toEqual(ALL_BITS);
    expect(coverage(stage1TableLayout(format))).toEqual(ALL_BITS);
  });

  it.each(LEVELS)('are decoded by type at level %i', (level) => {
    const block = BLOCKS[name]!.includes(level) ? KIND_BLOCK : KIND_INVALID;
    expect(descriptorKind(format, 0, 0, level)).toBe(KIND_INVALID);
    expect(descriptorKind(format, 0xffff_fffe, 0xffff_ffff, level)).toBe(KIND_INVALID);
    expect(descriptorKind(format, 0xffff_fffd, 0xffff_ffff, level)).toBe(block);
    expect(descriptorKind(format, 1, 0, level)).toBe(block);
    expect(descriptorKind(format, 3, 0, level)).toBe(level === 3 ? KIND_PAGE : KIND_TABLE);
  });

  const topBit = format.ds || format.lpa ? 52 : 48;
  const addresses = fc.maxSafeNat().map((n) => n % 2 ** topBit);

  it('give back the address and the attributes they were made of', () => {
    const anyAttributes = fc.integer({ min: 0, max: 2 ** 19 - 1 }).map((n) => n & ~3);
    fc.assert(
      fc.property(addresses, anyAttributes, fc.constantFrom(...leafLevels(format)), (address, attrs, level) => {
        const pa = address - (address % levelBytes(format.granule, level));
        const lo = leafLo(format, pa, level, attrs);
        const hi = leafHi(format, pa, level, attrs);
        expect(outputAddress(format, lo, hi, level)).toBe(pa);
        expect(descriptorKind(format, lo, hi, level)).toBe(level === 3 ? KIND_PAGE : KIND_BLOCK);
        expect(leafAttributes(format, lo, hi)).toBe(format.ds ? attrs & ~0x300 : attrs);
        expect(stage2Attributes(unpackStage2Attributes(attrs))).toBe(attrs);
        const table = address - (address % format.granule.bytes);
        expect(outputAddress(format, tableLo(format, table), tableHi(format, table), 0)).toBe(table);
      }),
    );
  });

  it('give back the address and the attributes at stage 1 too', () => {
    const anyAttributes = fc.integer({ min: 0, max: 2 ** 21 - 1 }).map((n) => n & ~0x23);
    fc.assert(
      fc.property(addresses, anyAttributes, fc.constantFrom(...leafLevels(format)), (address, attrs, level) => {
        const ipa = address - (address % levelBytes(format.granule, level));
        const lo = stage1LeafLo(format, ipa, level, attrs);
        const hi = stage1LeafHi(format, ipa, level, attrs);
        expect(outputAddress(format, lo, hi, level)).toBe(ipa);
        expect(stage1LeafAttributes(format, lo, hi)).toBe(format.ds ? attrs & ~0x300 : attrs);
        expect(stage1Attributes(unpackStage1Attributes(attrs))).toBe(attrs);
        const table = address - (address % format.granule.bytes);
        expect(outputAddress(format, stage1TableLo(format, table), stage1TableHi(format, table), 0)).toBe(table);
      }),
    );
  });

  it('keep address and attributes in bits that are theirs', () => {
    const everything = stage2Attributes({
      ...{ read: true, write: true, execute: 'el1', memAttr: 0xf, sh: 3, af: true, dbm: true },
      ...{ contiguous: true, software: 0xf },
    });
    for (const level of leafLevels(format)) {
      const pa = 2 ** topBit - levelBytes(format.granule, level);
      const addressBits =
        (BigInt(leafHi(format, pa, level, 0)) << 32n) | BigInt((leafLo(format, pa, level, 0) & ~3) >>> 0);
      const attributeBits =
        (BigInt(leafHi(format, 0, level, everything)) << 32n) |
        BigInt((leafLo(format, 0, level, everything) & ~3) >>> 0);
      expect(addressBits & attributeBits).toBe(0n);
      const named = Object.entries(stage2LeafLayout(format, level)).filter(([field]) => field.startsWith('ADDRESS'));
      const mask = named.flatMap(([, field]) => bits(field)).reduce((sum, at) => sum | (1n << BigInt(at)), 0n);
      expect(addressBits).toBe(mask);
    }
  });
});

describe('stage-2 attributes', () => {
  it('of Linux are the well-known constants', () => {
    const format = FORMATS[0]!;
    const low = (write: boolean, level: number): number =>
      leafLo(format, 0, level, stage2Attributes({ read: true, write, execute: 'all' }));
    expect([low(true, 3), low(false, 3), low(true, 2), low(false, 2)]).toEqual([0x7ff, 0x77f, 0x7fd, 0x77d]);
    const asStage1 = stage2Attributes({ read: true, write: false, execute: 'none', memAttr: 7 });
    expect(leafLo(format, 0, 3, asStage1)).toBe(0x75f);
    expect(leafHi(format, 0, 3, asStage1)).toBe(0x0040_0000);
  });
});

describe('geometry', () => {
  it('is that of the three granules', () => {
    const shifts = (['4K', '16K', '64K'] as const).map((name) =>
      LEVELS.map((level) => levelShift(GRANULES[name], level)),
    );
    expect(shifts).toEqual([
      [48, 39, 30, 21, 12],
      [58, 47, 36, 25, 14],
      [68, 55, 42, 29, 16],
    ]);
  });

  it('has contiguous groups where the Contiguous bit is not ignored', () => {
    const groups = (['4K', '16K', '64K'] as const).map((name) =>
      LEVELS.map((level) => contiguousEntries(GRANULES[name], level)),
    );
    expect(groups).toEqual([
      [1, 1, 16, 16, 16],
      [1, 1, 1, 32, 128],
      [1, 1, 1, 32, 32],
    ]);
  });
});
