/** Little-endian loads from a byte array. The caller keeps offsets inside the array. */

/** 16 bits at any offset. */
export const u16At = (bytes: Uint8Array, offset: number): number => bytes[offset]! | (bytes[offset + 1]! << 8);

/** 32 bits at any offset, unsigned. */
export const u32At = (bytes: Uint8Array, offset: number): number =>
  (u16At(bytes, offset) | (u16At(bytes, offset + 2) << 16)) >>> 0;

/** 64 bits at any offset, as a number: exact below 2^53. */
export const u64At = (bytes: Uint8Array, offset: number): number =>
  u32At(bytes, offset + 4) * 0x1_0000_0000 + u32At(bytes, offset);

/** A string that ends at a NUL or after `limit` bytes. */
export const stringAt = (bytes: Uint8Array, offset: number, limit: number): string => {
  let text = '';
  const end = Math.min(bytes.length, offset + limit);
  for (let i = offset; i < end && bytes[i] !== 0; i++) text += String.fromCharCode(bytes[i]!);
  return text;
};

/** The bytes of an ASCII string. */
export const asciiBytes = (text: string): Uint8Array => Uint8Array.from(text, (char) => char.charCodeAt(0));

/**
 * Offset of `pattern` in `bytes` at or after `from`, or -1. Horspool's search: it looks at one byte in `pattern.length`
 * where that byte occurs nowhere in the pattern, which makes a pass over a 30 MB kernel cheap.
 */
export const indexOfBytes = (bytes: Uint8Array, pattern: Uint8Array, from: number): number => {
  const last = pattern.length - 1;
  const skip = new Uint8Array(256).fill(pattern.length);
  for (let i = 0; i < last; i++) skip[pattern[i]!] = last - i;
  for (let at = from; at + last < bytes.length; at += skip[bytes[at + last]!]!) {
    let i = last;
    while (i >= 0 && bytes[at + i] === pattern[i]) i--;
    if (i < 0) return at;
  }
  return -1;
};

/** The bytes as words, for which they are copied if they are not 4-aligned. A tail of 1 to 3 bytes is padded with zeros. */
export const asWords = (bytes: Uint8Array): { bytes: Uint8Array; words: Uint32Array } => {
  if (bytes.byteOffset % 4 === 0 && bytes.length % 4 === 0) {
    return { bytes, words: new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4) };
  }
  const words = new Uint32Array(Math.ceil(bytes.length / 4));
  const copy = new Uint8Array(words.buffer);
  copy.set(bytes);
  return { bytes: copy, words };
};
