/** Fields of 64-bit system registers as BigInt; registers are made and decoded rarely. */
import type { Field } from '@numalab/base';

/** The sizes in bits that PS and IPS encode, by encoding. */
export const PA_SIZES: readonly number[] = [32, 36, 40, 42, 44, 48, 52];

/** The value of a field of at most 53 bits. */
export const takeBits = (value: bigint, [msb, lsb]: Field): number =>
  Number((value >> BigInt(lsb)) & ((1n << BigInt(msb - lsb + 1)) - 1n));

/** A register that is 0 but for one field. */
export const placeBits = ([msb, lsb]: Field, value: number): bigint =>
  (BigInt(value) & ((1n << BigInt(msb - lsb + 1)) - 1n)) << BigInt(lsb);
