import { type Relocations, TARGET_OUTSIDE, TARGET_ZERO } from './kernel-image.ts';
import type { LinkBase } from './system-map.ts';

/**
 * Dynamic relocations of a position-independent kernel: 24-byte RELA records (`r_offset, r_info, r_addend`), and RELR (an
 * even word names a slot, an odd one is a bitmap over the 63 slots that follow). Linked with
 * `--no-apply-dynamic-relocs`, a RELA slot holds zero in the Image and its value is the addend; a RELR slot holds its value.
 * They are read so that tables of pointers can be; the text itself is never relocated here.
 */

const R_AARCH64_ABS64 = 0x101;
const R_AARCH64_GLOB_DAT = 0x401;
const R_AARCH64_RELATIVE = 0x403;
const RECORD_WORDS = 6;
const RELR_BITS = 63;
/** All kernel VAs have ones there. */
const VA_TOP = 0xffff_0000;
/** Linux links its image at a multiple of 2 MiB (plus text_offset). */
const LINK_ALIGNMENT = 0x20_0000;

/** The RELATIVE records of the RELA table, as word indices into the Image. */
export interface RelaTable {
  readonly start: number;
  readonly count: number;
  /** Word index of the end of the table, other records included. */
  readonly end: number;
}

const relaEnd = (words: Uint32Array, from: number): number => {
  let end = from;
  for (let at = from; at + RECORD_WORDS <= words.length; at += RECORD_WORDS) {
    const type = words[at + 2]!;
    const isNone = type === 0 && words[at]! === 0 && words[at + 3]! === 0;
    if (type === R_AARCH64_ABS64 || type === R_AARCH64_GLOB_DAT || type === R_AARCH64_RELATIVE) end = at + RECORD_WORDS;
    else if (!isNone) break;
  }
  return end;
};

/** The longest run of RELATIVE records, wherever it lies; null if no two stand together. */
export const findRela = (words: Uint32Array): RelaTable | null => {
  let best = { start: 0, count: 0 };
  let start = 0;
  let next = -1;
  let count = 0;
  for (let info = 2; info + 3 < words.length; info += 2) {
    if (words[info]! !== R_AARCH64_RELATIVE || words[info + 1]! !== 0 || words[info - 1]! < VA_TOP) continue;
    if (info - 2 === next) count++;
    else {
      start = info - 2;
      count = 1;
    }
    next = info - 2 + RECORD_WORDS;
    if (count > best.count) best = { start, count };
  }
  if (best.count < 2) return null;
  return { ...best, end: relaEnd(words, best.start + RECORD_WORDS * best.count) };
};

/** `(hi, lo) - base` in bytes. */
const distance = (hi: number, lo: number, base: LinkBase): number => (hi - base.hi) * 0x1_0000_0000 + (lo - base.lo);

/** Whether slots hold zero or their own addend at `base`, for all records but a few (the GOT is filled in). */
const relaFits = (words: Uint32Array, rela: RelaTable, base: LinkBase, imageSize: number): boolean => {
  let misfits = 0;
  for (let i = 0; i < rela.count; i++) {
    const at = rela.start + RECORD_WORDS * i;
    const slot = distance(words[at + 1]!, words[at]!, base);
    if (slot < 0 || slot + 8 > imageSize) return false;
    const index = slot / 4;
    if (slot % 4 !== 0 || index + 1 >= words.length) continue;
    const [lo, hi] = [words[index]!, words[index + 1]!];
    if ((lo | hi) !== 0 && (lo !== words[at + 4]! || hi !== words[at + 5]!) && ++misfits > rela.count / 1000)
      return false;
  }
  return true;
};

/**
 * The link VA of `_text` that the RELA records imply: a multiple of 2 MiB (plus text_offset) below which no slot and no more
 * than the image's size above which none lies, and at which the slots hold what the linker leaves there. Null unless
 * exactly one fits.
 */
export const baseFromRela = (
  words: Uint32Array,
  rela: RelaTable,
  imageSize: number,
  textOffset: number,
): LinkBase | null => {
  if (rela.count < 64) return null;
  const hi = words[rela.start + 1]!;
  let min = Infinity;
  let max = 0;
  for (let i = 0; i < rela.count; i++) {
    const at = rela.start + RECORD_WORDS * i;
    const slot = distance(words[at + 1]!, words[at]!, { hi, lo: 0 });
    min = Math.min(min, slot);
    max = Math.max(max, slot);
  }
  const found: LinkBase[] = [];
  let lo = Math.floor((min - textOffset) / LINK_ALIGNMENT) * LINK_ALIGNMENT + textOffset;
  for (; lo >= 0 && lo + imageSize > max; lo -= LINK_ALIGNMENT) {
    if (relaFits(words, rela, { hi, lo }, imageSize)) found.push({ hi, lo });
  }
  return found.length === 1 ? found[0]! : null;
};

/**
 * A guess at the link VA of `_text` for an Image without RELA records and without kallsyms: pointers into the image
 * crowd in a window of its size, and the first 2 MiB of that window hold `_text`. Null if they do not crowd.
 */
export const baseFromPointers = (words: Uint32Array, imageSize: number, textOffset: number): LinkBase | null => {
  const buckets = new Map<number, number>();
  for (let at = 0; at + 1 < words.length; at += 2) {
    const hi = words[at + 1]!;
    if (hi < VA_TOP || hi === 0xffff_ffff) continue;
    const bucket = (hi - VA_TOP) * 2048 + (words[at]! >>> 21);
    buckets.set(bucket, (buckets.get(bucket) ?? 0) + 1);
  }
  const window = Math.ceil(imageSize / LINK_ALIGNMENT) + 1;
  let best = { bucket: -1, sum: 0 };
  for (const bucket of [...buckets.keys()].sort((a, b) => a - b)) {
    let sum = 0;
    for (let i = 0; i < window; i++) sum += buckets.get(bucket + i) ?? 0;
    if (sum > best.sum) best = { bucket, sum };
  }
  if (best.sum < 1000) return null;
  return { hi: VA_TOP + Math.floor(best.bucket / 2048), lo: (best.bucket % 2048) * LINK_ALIGNMENT + textOffset };
};

interface Slots {
  readonly slots: number[];
  readonly end: number;
}

/** 32 bits at any even byte offset: packed structures hold pointers at odd places. */
const wordAt = (words: Uint32Array, offset: number): number => {
  const index = offset >>> 2;
  return (offset & 2) === 0 ? words[index]! : ((words[index]! >>> 16) | (words[index + 1]! << 16)) >>> 0;
};

/** Whether the quad at a byte offset is zero or some kernel VA (a pointer may lie beside the image, as an array's bias does). */
const holdsPointer = (words: Uint32Array, slot: number): boolean => {
  if (slot < 0 || slot + 10 > 4 * words.length || slot % 2 !== 0) return false;
  const hi = wordAt(words, slot + 4);
  return hi >= VA_TOP || (hi | wordAt(words, slot)) === 0;
};

const readRelr = (words: Uint32Array, from: number, base: LinkBase): Slots => {
  const slots: number[] = [];
  let next = -1;
  let at = from;
  for (; at + 1 < words.length; at += 2) {
    const [lo, hi] = [words[at]!, words[at + 1]!];
    if ((lo & 1) === 0) {
      const slot = distance(hi, lo, base);
      // It may lie in the reach of the last bitmap, if its alignment kept it out of that.
      if (slot <= (slots.at(-1) ?? -1) || !holdsPointer(words, slot)) break;
      slots.push(slot);
      next = slot + 8;
    } else {
      if (next < 0 || !bitmapFits(words, lo, hi, next)) break;
      for (let bit = 0; bit < RELR_BITS; bit++) if (bitmapBit(lo, hi, bit)) slots.push(next + 8 * bit);
      next += 8 * RELR_BITS;
    }
  }
  return { slots, end: at };
};

const bitmapBit = (lo: number, hi: number, bit: number): boolean =>
  bit < 31 ? ((lo >>> (bit + 1)) & 1) !== 0 : ((hi >>> (bit - 31)) & 1) !== 0;

const bitmapFits = (words: Uint32Array, lo: number, hi: number, next: number): boolean => {
  for (let bit = 0; bit < RELR_BITS; bit++) {
    if (bitmapBit(lo, hi, bit) && !holdsPointer(words, next + 8 * bit)) return false;
  }
  return true;
};

/** The RELR table that names the most slots, if it names 64 or more: every slot must hold zero or a VA of the image. */
const findRelr = (words: Uint32Array, base: LinkBase, imageSize: number): Slots | null => {
  let best: Slots | null = null;
  for (let at = 0; at + 3 < words.length; at += 2) {
    const [lo, hi] = [words[at]!, words[at + 1]!];
    // A table starts with an address, and a kernel has no use for one that names a single slot.
    if (hi < VA_TOP || (lo & 7) !== 0) continue;
    const slot = distance(hi, lo, base);
    if (slot < 0 || slot >= imageSize || !holdsPointer(words, slot)) continue;
    const found = readRelr(words, at, base);
    if (found.slots.length >= 64 && found.slots.length > (best?.slots.length ?? 0)) best = found;
    if (found.end > at + 2) at = found.end - 2;
  }
  return best;
};

/** What a slot holds, as offset from `_text`. */
const targetOf = (hi: number, lo: number, base: LinkBase, imageSize: number): number => {
  if ((lo | hi) === 0) return TARGET_ZERO;
  const target = distance(hi, lo, base);
  return target >= 0 && target <= imageSize ? target : TARGET_OUTSIDE;
};

const sortedColumns = (keys: number[], targets: number[]): { slots: Int32Array; targets: Int32Array } => {
  const order = Float64Array.from(keys, (slot, i) => slot * 0x40_0000 + i).sort();
  return {
    slots: Int32Array.from(order, (key) => Math.floor(key / 0x40_0000)),
    targets: Int32Array.from(order, (key) => targets[key % 0x40_0000]!),
  };
};

/** Without relocations every aligned quad that holds a VA of the image may be a pointer. */
const plainPointers = (words: Uint32Array, base: LinkBase, imageSize: number): Relocations => {
  const slots: number[] = [];
  const targets: number[] = [];
  for (let at = 0; at + 1 < words.length; at += 2) {
    if (words[at + 1]! < VA_TOP) continue;
    const target = targetOf(words[at + 1]!, words[at]!, base, imageSize);
    if (target < 0) continue;
    slots.push(4 * at);
    targets.push(target);
  }
  return { slots: Int32Array.from(slots), targets: Int32Array.from(targets), end: -1, rela: 0, relr: 0 };
};

/** All relocated slots, with what they hold when `_text` is at `base`. */
export const readRelocations = (
  words: Uint32Array,
  rela: RelaTable | null,
  base: LinkBase,
  imageSize: number,
): Relocations => {
  const slots: number[] = [];
  const targets: number[] = [];
  const relaCount = rela?.count ?? 0;
  for (let i = 0; i < relaCount; i++) {
    const at = rela!.start + RECORD_WORDS * i;
    slots.push(distance(words[at + 1]!, words[at]!, base));
    targets.push(targetOf(words[at + 5]!, words[at + 4]!, base, imageSize));
  }
  // Tables with many RELATIVE records of the long form have no RELR table beside them.
  const relr = relaCount < 1000 ? findRelr(words, base, imageSize) : null;
  for (const slot of relr?.slots ?? []) {
    slots.push(slot);
    targets.push(targetOf(wordAt(words, slot + 4), wordAt(words, slot), base, imageSize));
  }
  if (relr === null && relaCount < 64) return plainPointers(words, base, imageSize);
  const end = Math.max(rela === null ? -1 : 4 * rela.end, relr === null ? -1 : 4 * relr.end);
  return { ...sortedColumns(slots, targets), end, rela: relaCount, relr: relr?.slots.length ?? 0 };
};

/** Index of `slot` in the sorted column, or -1. */
export const findSlot = (slots: Int32Array, slot: number): number => {
  let low = 0;
  let high = slots.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (slots[middle]! < slot) low = middle + 1;
    else high = middle;
  }
  return low < slots.length && slots[low] === slot ? low : -1;
};

/** The addend of the RELATIVE record for `slot` as words of a VA, if the table has one at that distance from `base`. */
export const relaAddend = (words: Uint32Array, rela: RelaTable, base: LinkBase, slot: number): LinkBase | null => {
  for (let i = 0; i < rela.count; i++) {
    const at = rela.start + RECORD_WORDS * i;
    if (distance(words[at + 1]!, words[at]!, base) === slot) return { hi: words[at + 5]!, lo: words[at + 4]! };
  }
  return null;
};
