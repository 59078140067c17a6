import { Digest, type Random } from '@numalab/base';

const fold = (digest: Digest, value: unknown): void => {
  if (typeof value === 'number') {
    digest.number(Math.abs(value));
    digest.word(value < 0 ? 1 : 0);
  } else if (typeof value === 'string') {
    digest.word(value.length);
    for (let i = 0; i < value.length; i++) digest.word(value.charCodeAt(i));
  } else if (value instanceof Map) {
    digest.word(value.size);
    for (const [key, entry] of value) {
      fold(digest, key);
      fold(digest, entry);
    }
  } else if (Array.isArray(value) || ArrayBuffer.isView(value)) {
    const list = value as ArrayLike<unknown>;
    digest.word(list.length);
    for (let i = 0; i < list.length; i++) fold(digest, list[i]);
  } else if (typeof value === 'object' && value !== null) {
    // Without the keys: both sides build the same shapes.
    for (const key in value) fold(digest, (value as Readonly<Record<string, unknown>>)[key]);
  } else digest.word(value === true ? 2 : 3);
};

/** A checksum of plain data: 32 bits, of which every number in it is part, so that no single flipped bit goes unnoticed. */
export const checksumOf = (...values: readonly unknown[]): number => {
  const digest = new Digest();
  for (const value of values) fold(digest, value);
  // One lane alone: each of its steps can be undone, so two values that differ in one word never come to the same.
  return digest.words()[0] >>> 0;
};

const numbersIn = (value: unknown): number => {
  if (typeof value === 'number') return 1;
  if (value instanceof Map) return [...value.values()].reduce<number>((sum, entry) => sum + numbersIn(entry), 0);
  if (typeof value !== 'object' || value === null) return 0;
  return Object.values(value).reduce<number>((sum, entry) => sum + numbersIn(entry), 0);
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
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, flipAt(entry, place, bit)]));
};

/** A copy of plain data with one bit of one of its numbers flipped; data without numbers as it is. */
export const flipBit = (value: unknown, random: Random): unknown => {
  const count = numbersIn(value);
  const [place, bit] = [random.below(Math.max(1, count)), random.below(32)];
  return count === 0 ? value : flipAt(value, { left: place }, bit);
};
