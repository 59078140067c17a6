/**
 * The three translation granules and what follows from them alone. Everything else in this folder loops over levels with
 * these numbers; nothing switches on the granule's name.
 */

export type GranuleName = '4K' | '16K' | '64K';

/** A translation granule: the size of a table and of a page. */
export interface Granule {
  readonly name: GranuleName;
  /** log2 of the page size in bytes. */
  readonly shift: number;
  /** Address bits that one full table resolves: log2 of the entries of a table. */
  readonly stride: number;
  /** Size of a page and of a full table, in bytes. */
  readonly bytes: number;
  /** Descriptors of a full table. */
  readonly entries: number;
  /** log2 of the entries of a contiguous group at levels 0..3; 0 where the Contiguous bit is ignored. */
  readonly contiguousShift: readonly [number, number, number, number];
  /** Lowest level at which a block is legal without 52-bit addresses. */
  readonly firstBlockLevel: number;
  /** Encoding in VTCR_EL2.TG0 and TCR_EL1.TG0. */
  readonly tg0: number;
  /** Encoding in TCR_EL1.TG1. */
  readonly tg1: number;
}

const makeGranule = (
  name: GranuleName,
  shift: number,
  rest: Pick<Granule, 'contiguousShift' | 'firstBlockLevel' | 'tg0' | 'tg1'>,
): Granule => Object.freeze({ name, shift, stride: shift - 3, bytes: 2 ** shift, entries: 2 ** (shift - 3), ...rest });

/** The granules by name. */
export const GRANULES: Readonly<Record<GranuleName, Granule>> = Object.freeze({
  '4K': makeGranule('4K', 12, { contiguousShift: [0, 4, 4, 4], firstBlockLevel: 1, tg0: 0, tg1: 2 }),
  '16K': makeGranule('16K', 14, { contiguousShift: [0, 0, 5, 7], firstBlockLevel: 2, tg0: 2, tg1: 1 }),
  '64K': makeGranule('64K', 16, { contiguousShift: [0, 0, 5, 5], firstBlockLevel: 2, tg0: 1, tg1: 3 }),
});

/** The level of pages, the same for every granule. */
export const LAST_LEVEL = 3;

/**
 * The parts of a configuration that decide how a descriptor is laid out. `ds` (VTCR_EL2.DS, TCR_EL1.DS) is only ever true
 * for 4K and 16K, `lpa` (64K on a PE with 52-bit physical addresses) only for 64K.
 */
export interface DescriptorFormat {
  readonly granule: Granule;
  readonly ds: boolean;
  readonly lpa: boolean;
}

/** Powers of two by their logarithm: `**` with a variable exponent calls the mathematics library. */
const POWERS: Float64Array = Float64Array.from({ length: 64 }, (_, shift) => 2 ** shift);

/** Size in bytes of what `shift` address bits tell apart. */
export const sizeOfShift = (shift: number): number => POWERS[shift]!;

const RECIPROCALS: Float64Array = POWERS.map((power) => 1 / power);

/** One divided by that size, exactly: to multiply with. */
export const reciprocalOfShift = (shift: number): number => RECIPROCALS[shift]!;

/** Position of the lowest address bit that one entry at `level` (-1..3) resolves: the manual's lsb(L). */
export const levelShift = (granule: Granule, level: number): number =>
  granule.shift + granule.stride * (LAST_LEVEL - level);

/** Bytes that one entry at `level` maps. */
export const levelBytes = (granule: Granule, level: number): number => sizeOfShift(levelShift(granule, level));

/** Whether a descriptor `...01` at `level` is a block; if not, it is invalid. True for levels above the last only. */
export const blockAllowed = (
  granule: Granule,
  level: number,
  { ds, lpa }: { readonly ds: boolean; readonly lpa: boolean },
): boolean => level < LAST_LEVEL && level >= granule.firstBlockLevel - (ds || lpa ? 1 : 0);

/** Entries of a contiguous group at `level`; 1 where the Contiguous bit is ignored. */
export const contiguousEntries = (granule: Granule, level: number): number =>
  level < 0 ? 1 : 1 << granule.contiguousShift[level]!;
