/**
 * Where the address bits of a descriptor are (Arm ARM D8.3). The only file that knows the three layouts:
 * - 48 bits: address [47:n] in bits 47:n;
 * - 64K granule with FEAT_LPA: address [51:48] in bits 15:12;
 * - 4K and 16K granules with DS=1: address [49:48] in bits 49:48 and [51:50] in bits 9:8.
 * The same at both stages, for leaves and tables.
 */
import { type Field, fieldHi, fieldLo, getField, highWord, lowWord } from '@numalab/base';
import { type DescriptorFormat, levelShift } from './granule.ts';

/** 64K with FEAT_LPA: address [51:48]. */
export const OA_LPA: Field = [15, 12];
/** DS=1: address [49:48]. */
export const OA_DS_MIDDLE: Field = [49, 48];
/** DS=1: address [51:50]. */
export const OA_DS_TOP: Field = [9, 8];
/** The highest bit of an address that stands at its own place in every format. */
export const OA_IN_PLACE_MSB = 47;

/** Bits of the high word of an address below bit 48. */
const HI_IN_PLACE = 0xffff;
const WORD = 0x1_0000_0000;

/** Address bits 51:32 of a descriptor. */
export const addressHigh = (format: DescriptorFormat, lo: number, hi: number): number => {
  const inPlace = hi & HI_IN_PLACE;
  if (format.ds) return inPlace | (getField(lo, hi, OA_DS_MIDDLE) << 16) | (getField(lo, hi, OA_DS_TOP) << 18);
  return format.lpa ? inPlace | (getField(lo, hi, OA_LPA) << 16) : inPlace;
};

/** Mask of the in-place bits of the low word of an address aligned to 2^shift. */
const lowMask = (shift: number): number => (shift >= 32 ? 0 : (-1 << shift) >>> 0);
/** Mask of address bits 63:32 of an address aligned to 2^shift. */
const highMask = (shift: number): number => (shift > 32 ? (-1 << (shift - 32)) >>> 0 : 0xffff_ffff);

const address = (format: DescriptorFormat, lo: number, hi: number, shift: number): number =>
  ((addressHigh(format, lo, hi) & highMask(shift)) >>> 0) * WORD + ((lo & lowMask(shift)) >>> 0);

/** The address that a table descriptor holds. */
export const tableAddress = (format: DescriptorFormat, lo: number, hi: number): number =>
  address(format, lo, hi, format.granule.shift);

/** The address that a block or page descriptor at `level` holds. */
export const leafOutputAddress = (format: DescriptorFormat, lo: number, hi: number, level: number): number =>
  address(format, lo, hi, levelShift(format.granule, level));

const encodeLo = (format: DescriptorFormat, pa: number, shift: number): number => {
  const top = highWord(pa) & highMask(shift);
  let lo = lowWord(pa) & lowMask(shift);
  if (format.ds) lo |= fieldLo(OA_DS_TOP, top >>> 18);
  else if (format.lpa) lo |= fieldLo(OA_LPA, top >>> 16);
  return lo >>> 0;
};

const encodeHi = (format: DescriptorFormat, pa: number, shift: number): number => {
  const top = highWord(pa) & highMask(shift);
  const inPlace = top & HI_IN_PLACE;
  return format.ds ? inPlace | fieldHi(OA_DS_MIDDLE, top >>> 16) : inPlace;
};

/** Address bits of the low word of a block or page at `level`. */
export const leafAddressLo = (format: DescriptorFormat, pa: number, level: number): number =>
  encodeLo(format, pa, levelShift(format.granule, level));
/** Address bits of the high word of a block or page at `level`. */
export const leafAddressHi = (format: DescriptorFormat, pa: number, level: number): number =>
  encodeHi(format, pa, levelShift(format.granule, level));
/** Address bits of the low word of a table descriptor. */
export const tableAddressLo = (format: DescriptorFormat, pa: number): number =>
  encodeLo(format, pa, format.granule.shift);
/** Address bits of the high word of a table descriptor. */
export const tableAddressHi = (format: DescriptorFormat, pa: number): number =>
  encodeHi(format, pa, format.granule.shift);
