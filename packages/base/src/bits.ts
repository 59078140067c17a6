/** A bit field of a 64-bit register or descriptor as `[msb, lsb]`, both inclusive. */
export type Field = readonly [msb: number, lsb: number];

/** Width of a field in bits. */
export const fieldWidth = (field: Field): number => field[0] - field[1] + 1;

const maskOf = (width: number): number => (width >= 32 ? 0xffff_ffff : (1 << width) - 1) >>> 0;

/**
 * Extracts a field of at most 32 bits from the two words of a 64-bit value. The field may straddle bit 32.
 */
export const getField = (lo: number, hi: number, field: Field): number => {
  const [, lsb] = field;
  const mask = maskOf(fieldWidth(field));
  if (lsb >= 32) return ((hi >>> (lsb - 32)) & mask) >>> 0;
  if (lsb === 0) return (lo & mask) >>> 0;
  return (((lo >>> lsb) | (hi << (32 - lsb))) & mask) >>> 0;
};

/** The low word of a value whose only non-zero field is `field` = `value`. */
export const fieldLo = (field: Field, value: number): number => {
  const masked = (value & maskOf(fieldWidth(field))) >>> 0;
  return field[1] >= 32 ? 0 : (masked << field[1]) >>> 0;
};

/** The high word of a value whose only non-zero field is `field` = `value`. */
export const fieldHi = (field: Field, value: number): number => {
  const masked = (value & maskOf(fieldWidth(field))) >>> 0;
  const [, lsb] = field;
  if (lsb >= 32) return (masked << (lsb - 32)) >>> 0;
  return lsb === 0 ? 0 : masked >>> (32 - lsb);
};
