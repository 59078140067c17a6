/**
 * Addresses as branded numbers. 52 bits are exact in a double, so an address is a plain number at run time; on addresses
 * only `+ - /`, `Math.floor` and comparisons are allowed, because `& | << >> ~` cut to 32 bits.
 */

declare const brand: unique symbol;
/** A number that is not interchangeable with other numbers. */
export type Branded<Name extends string> = number & { readonly [brand]: Name };

/** Intermediate physical address: output of stage 1, input of stage 2. Below 2^52. */
export type Ipa = Branded<'Ipa'>;
/** Physical address: output of stage 2. Below 2^52. */
export type Pa = Branded<'Pa'>;
/**
 * Kernel virtual address, bits 51:0. Every VA of the emulated kernel is translated by TTBR1, so bits 63:52 are all ones
 * and are not stored; {@link formatVa} prints them.
 */
export type Va = Branded<'Va'>;

const LIMIT = 2 ** 52;

const checked = (value: number, what: string): number => {
  if (!(value >= 0 && value < LIMIT && Number.isInteger(value))) throw new RangeError(`${what} out of range: ${value}`);
  return value;
};

/** Checks that `value` is an integer in [0, 2^52) and brands it. Throws RangeError. */
export const toIpa = (value: number): Ipa => checked(value, 'IPA') as Ipa;
/** Checks that `value` is an integer in [0, 2^52) and brands it. Throws RangeError. */
export const toPa = (value: number): Pa => checked(value, 'PA') as Pa;
/** Checks that `value` is an integer in [0, 2^52) and brands it. Throws RangeError. */
export const toVa = (value: number): Va => checked(value, 'VA') as Va;

/** Moves an address by a byte count and keeps its brand. */
export const addOffset = <Address extends Ipa | Pa | Va>(address: Address, bytes: number): Address =>
  (address + bytes) as Address;

/** Bits 31:0. */
export const lowWord = (address: number): number => address >>> 0;
/** Bits 63:32 (exact below 2^53). */
export const highWord = (address: number): number => (address / 0x1_0000_0000) >>> 0;
/** The number whose words are `lo` and `hi`; exact if `hi` is below 2^21. */
export const fromWords = (lo: number, hi: number): number => (hi >>> 0) * 0x1_0000_0000 + (lo >>> 0);

/**
 * Rounds down to a multiple of `size`, a power of two or not; exact below 2^52. By division: `%` on numbers above 2^31 takes ten
 * times as long.
 */
export const alignDown = (value: number, size: number): number => Math.floor(value / size) * size;
/** Rounds up to a multiple of `size`. */
export const alignUp = (value: number, size: number): number => alignDown(value + size - 1, size);

/** `0x` and hexadecimal digits. */
export const hex = (value: number | bigint): string => `0x${value.toString(16)}`;
/** The full 64-bit VA in hexadecimal. */
export const formatVa = (va: Va): string => hex(0xfff0_0000_0000_0000n + BigInt(va));
