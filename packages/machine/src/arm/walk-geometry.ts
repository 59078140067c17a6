/**
 * What a walk needs to know of a granule and a descriptor format, as numbers and typed arrays indexed by level + 1, so that
 * the walk is one loop for every granule. Shared by the walkers of both stages.
 */
import { blockAllowed, type DescriptorFormat, LAST_LEVEL, levelShift } from './granule.ts';
import { OA_DS_TOP, OA_LPA } from './output-address.ts';

/** Levels -1..3. */
const LEVELS = 5;

/** The tables of a walk. Arrays are indexed by level + 1; the four `leaf` arrays again by level + 1 + {@link groups}. */
export interface WalkGeometry {
  /** lsb(L): the lowest input address bit of the index. */
  readonly shifts: Int32Array;
  /** Mask of an index. */
  readonly indexMasks: Int32Array;
  /** Bits 1:0 of a leaf at this level; -1 where no leaf is legal. */
  readonly leafType: Int32Array;
  /** Offset in the leaf arrays of the sizes of a contiguous group. */
  readonly groups: number;
  /** Low word of the mask of output address bits that the descriptor gives; the input address gives the others. */
  readonly leafMaskLo: Int32Array;
  /** Bits 51:32 of that mask. */
  readonly leafMaskHi: Int32Array;
  readonly leafBytes: Float64Array;
  /** Low word of the mask of the address of a table. */
  readonly tableMaskLo: number;
  /** Address bits that stand in place in the high word of a descriptor. */
  readonly addressMaskHi: number;
  /** Address bits above those, as they stand in the low word ... */
  readonly topMask: number;
  /** ... and by how much they move left to become part of bits 51:32 of an address. */
  readonly topShift: number;
}

const topField = ({ ds, lpa }: DescriptorFormat): readonly [mask: number, shift: number] => {
  if (!ds && !lpa) return [0, 0];
  const [msb, lsb] = ds ? OA_DS_TOP : OA_LPA;
  return [((2 << msb) - (1 << lsb)) | 0, 51 - 32 - msb];
};

const known = new WeakMap<DescriptorFormat, Map<number, WalkGeometry>>();

/** The geometry of walks that start at `startLevel` and resolve `inputBits` bits. Made once for a format; never changed. */
export const walkGeometry = (format: DescriptorFormat, startLevel: number, inputBits: number): WalkGeometry => {
  const ofFormat = known.get(format) ?? new Map<number, WalkGeometry>();
  known.set(format, ofFormat);
  const key = inputBits * 8 + startLevel;
  const geometry = ofFormat.get(key) ?? makeWalkGeometry(format, startLevel, inputBits);
  ofFormat.set(key, geometry);
  return geometry;
};

const makeWalkGeometry = (format: DescriptorFormat, startLevel: number, inputBits: number): WalkGeometry => {
  const { granule } = format;
  const [topMask, topShift] = topField(format);
  const geometry: WalkGeometry = {
    shifts: new Int32Array(LEVELS),
    indexMasks: new Int32Array(LEVELS),
    leafType: new Int32Array(LEVELS),
    groups: LEVELS,
    leafMaskLo: new Int32Array(2 * LEVELS),
    leafMaskHi: new Int32Array(2 * LEVELS),
    leafBytes: new Float64Array(2 * LEVELS),
    tableMaskLo: -granule.bytes | 0,
    addressMaskHi: format.ds ? 0x3_ffff : 0xffff,
    topMask,
    topShift,
  };
  for (let slot = 0; slot < LEVELS; slot++) {
    const level = slot - 1;
    const shift = levelShift(granule, level);
    geometry.shifts[slot] = shift;
    geometry.indexMasks[slot] = level === startLevel ? 2 ** (inputBits - shift) - 1 : granule.entries - 1;
    geometry.leafType[slot] = level === LAST_LEVEL ? 3 : blockAllowed(granule, level, format) ? 1 : -1;
    const group = shift + (level < 0 ? 0 : granule.contiguousShift[level]!);
    for (const [at, bits] of [
      [slot, shift],
      [slot + LEVELS, group],
    ] as const) {
      geometry.leafMaskLo[at] = bits >= 32 ? 0 : -1 << bits;
      geometry.leafMaskHi[at] = bits > 32 ? -1 << (bits - 32) : -1;
      geometry.leafBytes[at] = 2 ** bits;
    }
  }
  return geometry;
};
