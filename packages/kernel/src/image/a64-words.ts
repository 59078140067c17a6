/** The few A64 encodings that the readers of patch tables must recognise. */

export const NOP = 0xd503_201f;
/** BTI C: a landing pad that may precede the patchable words of a function. */
export const BTI_C = 0xd503_245f;

/** B from `from` to `to` (byte offsets, at most 128 MiB apart). */
export const branchWord = (from: number, to: number): number =>
  (0x1400_0000 | (((to - from) >> 2) & 0x03ff_ffff)) >>> 0;
