import type { Random } from '@numalab/base';

/** Folds the low 32 bits of a word into a checksum: the mixing step of MurmurHash3, which can be undone. */
const foldWord = (sum: number, word: number): number => {
  let k = Math.imul(word, 0xcc9e_2d51);
  k = (k << 15) | (k >>> 17);
  const mixed = sum ^ Math.imul(k, 0x1b87_3593);
  return (Math.imul((mixed << 13) | (mixed >>> 19), 5) + 0xe654_6b64) | 0;
};

/** A number of 32 bits takes one step, and whichever of them is flipped, it is one still. */
const foldNumber = (sum: number, value: number): number => {
  if (value >= 0 && value < 0x1_0000_0000) return foldWord(sum, value);
  const size = Math.abs(value);
  return foldWord(foldWord(foldWord(sum, size | 0), (size / 0x1_0000_0000) | 0), value < 0 ? 1 : 0);
};

const foldList = (sum: number, list: ArrayLike<unknown>): number => {
  let folded = foldWord(sum, list.length);
  for (let i = 0; i < list.length; i++) folded = fold(folded, list[i]);
  return folded;
};

const fold = (sum: number, value: unknown): number => {
  if (typeof value === 'number') return foldNumber(sum, value);
  if (typeof value === 'string') {
    let folded = foldWord(sum, value.length);
    for (let i = 0; i < value.length; i++) folded = foldWord(folded, value.charCodeAt(i));
    return folded;
  }
  if (typeof value !== 'object' || value === null) return foldWord(sum, value === true ? 2 : 3);
  if (Array.isArray(value) || ArrayBuffer.isView(value)) return foldList(sum, value as ArrayLike<unknown>);
  let folded = sum;
  if (value instanceof Map) {
    folded = foldWord(folded, value.size);
    for (const [key, entry] of value) folded = fold(fold(folded, key), entry);
    return folded;
  }
  // Without the keys: both sides build the same shapes.
  for (const key in value) folded = fold(folded, (value as Readonly<Record<string, unknown>>)[key]);
  return folded;
};

/**
 * A checksum of plain data: 32 bits, of which every number in it is part, so that no single flipped bit goes unnoticed: each step
 * can be undone, so two values that differ in one word never come to the same.
 */
export const checksumOf = (...values: readonly unknown[]): number => {
  let sum = 0x243f_6a88;
  for (const value of values) sum = fold(sum, value);
  return sum >>> 0;
};

const numbersIn = (value: unknown): number => {
  if (typeof value === 'number') return 1;
  if (typeof value !== 'object' || value === null) return 0;
  let count = 0;
  if (value instanceof Map) for (const entry of value.values()) count += numbersIn(entry);
  else for (const key in value) count += numbersIn((value as Readonly<Record<string, unknown>>)[key]);
  return count;
};

/** A copy of `value` in which bit `bit` of its `place`-th number is the other way round. */
const flipAt = (value: unknown, place: { left: number }, bit: number): unknown => {
  if (typeof value === 'number') {
    if (place.left-- !== 0) return value;
    const low = value >>> 0;
    return value - low + ((low ^ (1 << bit)) >>> 0);
  }
  if (value instanceof Map) return new Map([...value].map(([key, entry]) => [key, flipAt(entry, place, bit)]));
  if (ArrayBuffer.isView(value)) return (value as Uint32Array).map((entry) => flipAt(entry, place, bit) as number);
  if (Array.isArray(value)) return value.map((entry) => flipAt(entry, place, bit));
  if (typeof value !== 'object' || value === null) return value;
  // Of the same shape: what reads it stays compiled for one.
  const copy = { ...value } as Record<string, unknown>;
  for (const key in copy) copy[key] = flipAt(copy[key], place, bit);
  return copy;
};

/** A copy of plain data with one bit of one of its numbers flipped; data without numbers as it is. */
export const flipBit = (value: unknown, random: Random): unknown => {
  const count = numbersIn(value);
  const [place, bit] = [random.below(Math.max(1, count)), random.below(32)];
  return count === 0 ? value : flipAt(value, { left: place }, bit);
};
