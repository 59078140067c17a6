import { BTI_C, branchWord, NOP } from './a64-words.ts';
import {
  type Alternatives,
  type FtraceSites,
  type JumpEntries,
  type Relocations,
  type Span,
  TARGET_ZERO,
} from './kernel-image.ts';
import { findSlot } from './relocations.ts';

/**
 * The three tables of patch sites. Each is read between its bounds if symbols name them; otherwise every aligned place is
 * tried and the longest run of valid records taken. A record is valid if what it names looks as the build leaves it, so
 * that in practice nothing but the table itself forms a long run.
 */

/** A run shorter than this is an accident. */
const MIN_RUN = 8;

export const NO_JUMP_ENTRIES: JumpEntries = {
  count: 0,
  table: -1,
  code: new Int32Array(0),
  target: new Int32Array(0),
  key: new Int32Array(0),
  flags: new Uint8Array(0),
};

export const NO_ALTERNATIVES: Alternatives = {
  count: 0,
  table: -1,
  orig: new Int32Array(0),
  replacement: new Int32Array(0),
  capability: new Uint16Array(0),
  callback: new Uint8Array(0),
  origLength: new Uint8Array(0),
  replacementLength: new Uint8Array(0),
};

export const NO_FTRACE: FtraceSites = {
  slots: 0,
  emptySlots: 0,
  table: -1,
  entries: new Int32Array(0),
  sites: new Int32Array(0),
  literals: new Int32Array(0),
};

/** The longest run of records that `isValid` accepts; `step` and `align` are in words. Null if none has {@link MIN_RUN}. */
const longestRun = (
  words: Uint32Array,
  step: number,
  align: number,
  isValid: (at: number) => boolean,
): { start: number; count: number } | null => {
  // Runs of different phase are interleaved: the place where each phase's current run started, and would go on.
  const phases = step / align;
  const starts = new Int32Array(phases).fill(-1);
  let best = { start: -1, count: 0 };
  for (let at = 0, phase = 0; at + step <= words.length; at += align, phase = phase + 1 === phases ? 0 : phase + 1) {
    if (!isValid(at)) {
      starts[phase] = -1;
      continue;
    }
    if (starts[phase]! < 0) starts[phase] = at;
    const count = (at - starts[phase]!) / step + 1;
    if (count > best.count) best = { start: starts[phase]!, count };
  }
  return best.count >= MIN_RUN ? best : null;
};

/** The rows between two bounds, or the longest run; a string says why there is neither. */
const locate = (
  words: Uint32Array,
  bounds: Span | null,
  step: number,
  align: number,
  isValid: (at: number) => boolean,
): { start: number; count: number } | string => {
  if (bounds === null)
    return longestRun(words, step, align, isValid) ?? 'no symbol names the table and no run of valid records was found';
  const start = bounds.start / 4;
  const count = (bounds.end - bounds.start) / (4 * step);
  if (!Number.isInteger(start) || !Number.isInteger(count) || start + count * step > words.length) {
    return `the table's bounds 0x${bounds.start.toString(16)} and 0x${bounds.end.toString(16)} do not hold whole records`;
  }
  for (let i = 0; i < count; i++) {
    if (!isValid(start + i * step)) return `record ${i} of ${count} between the table's symbols is not valid`;
  }
  return { start, count };
};

/**
 * Static keys: 16-byte records of offsets relative to their own fields (`s32 code, s32 target, s64 key`). The word at `code`
 * is a NOP or a branch to exactly `target`, and the key lies in the image.
 */
export const readJumpEntries = (words: Uint32Array, imageSize: number, bounds: Span | null): JumpEntries | string => {
  const isValid = (at: number): boolean => {
    const code = 4 * at + (words[at]! | 0);
    if ((code & 3) !== 0 || code < 0 || code >= 4 * words.length) return false;
    const word = words[code >>> 2]!;
    if (word !== NOP && word >>> 26 !== 5) return false;
    const target = 4 * at + 4 + (words[at + 1]! | 0);
    if ((target & 3) !== 0 || target < 0 || target >= 4 * words.length) return false;
    if (word !== NOP && word !== branchWord(code, target)) return false;
    if (words[at + 3]! !== ((words[at + 2]! | 0) >> 31) >>> 0) return false;
    const key = 4 * at + 8 + ((words[at + 2]! & ~3) | 0);
    return key >= 0 && key < imageSize;
  };
  const run = locate(words, bounds, 4, 2, isValid);
  if (typeof run === 'string') return run;
  const { start, count } = run;
  const column = (value: (at: number) => number): Int32Array =>
    Int32Array.from({ length: count }, (_, i) => value(start + 4 * i));
  return {
    count,
    table: 4 * start,
    code: column((at) => 4 * at + (words[at]! | 0)),
    target: column((at) => 4 * at + 4 + (words[at + 1]! | 0)),
    key: column((at) => 4 * at + 8 + ((words[at + 2]! & ~3) | 0)),
    flags: Uint8Array.from({ length: count }, (_, i) => words[start + 4 * i + 2]! & 3),
  };
};

const CALLBACK = 0x8000;
/** Above every capability number in use (123 in Linux 7.2); it keeps ordinary data from looking like a record. */
const MAX_CAPABILITY = 256;

/**
 * Alternatives: 12-byte records (`s32 orig, s32 replacement, u16 capability, u8 orig_len, u8 alt_len`), offsets relative
 * to their own fields. A callback has no replacement length. Records of length 0 occur inside the table (Linux 7).
 */
export const readAlternatives = (words: Uint32Array, bounds: Span | null): Alternatives | string => {
  const limit = 4 * words.length;
  const isValid = (at: number): boolean => {
    const orig = 4 * at + (words[at]! | 0);
    if ((orig & 3) !== 0 || orig < 0 || orig >= limit || words[at]! === 0) return false;
    const tail = words[at + 2]!;
    const origLength = (tail >>> 16) & 0xff;
    const replacementLength = tail >>> 24;
    if ((origLength & 3) !== 0 || (replacementLength !== origLength && replacementLength !== 0)) return false;
    if ((tail & 0x7fff) >= MAX_CAPABILITY) return false;
    const replacement = 4 * at + 4 + (words[at + 1]! | 0);
    return (replacement & 3) === 0 && replacement >= 0 && replacement < limit;
  };
  const run = locate(words, bounds, 3, 1, isValid);
  if (typeof run === 'string') return run;
  let { start, count } = run;
  if (bounds === null) {
    // A record of length 0 at an edge is more likely padding than a record.
    const isEmpty = (at: number): boolean => ((words[at + 2]! >>> 16) & 0xff) === 0;
    while (count > 0 && isEmpty(start + 3 * (count - 1))) count--;
    for (; count > 0 && isEmpty(start); count--) start += 3;
  }
  const rows = { length: count };
  return {
    count,
    table: 4 * start,
    orig: Int32Array.from(rows, (_, i) => 4 * (start + 3 * i) + (words[start + 3 * i]! | 0)),
    replacement: Int32Array.from(rows, (_, i) => 4 * (start + 3 * i) + 4 + (words[start + 3 * i + 1]! | 0)),
    capability: Uint16Array.from(rows, (_, i) => words[start + 3 * i + 2]! & 0x7fff),
    callback: Uint8Array.from(rows, (_, i) => ((words[start + 3 * i + 2]! & CALLBACK) === 0 ? 0 : 1)),
    origLength: Uint8Array.from(rows, (_, i) => (words[start + 3 * i + 2]! >>> 16) & 0xff),
    replacementLength: Uint8Array.from(rows, (_, i) => words[start + 3 * i + 2]! >>> 24),
  };
};

/** Whether NOP, NOP stands at a byte offset. */
const isNopPair = (words: Uint32Array, offset: number): boolean =>
  offset % 4 === 0 && words[offset >>> 2] === NOP && words[(offset >>> 2) + 1] === NOP;

/** With CALL_OPS an entry names 8 bytes of literal; behind them, and a BTI C if there is one, come the patchable words. */
const siteBehindLiteral = (words: Uint32Array, entry: number): number => {
  const site = words[(entry >>> 2) + 2] === BTI_C ? entry + 12 : entry + 8;
  return entry % 8 === 0 && isNopPair(words, site) ? site : -1;
};

const makeFtraceSites = (words: Uint32Array, table: number, targets: number[]): FtraceSites => {
  const entries = Int32Array.from(targets.filter((target) => target !== TARGET_ZERO));
  const behind = entries.map((entry) => siteBehindLiteral(words, entry));
  const hasLiterals = entries.length > 0 && behind.every((site) => site >= 0);
  return {
    slots: targets.length,
    emptySlots: targets.length - entries.length,
    table,
    entries,
    sites: hasLiterals ? behind : entries,
    literals: hasLiterals ? entries : new Int32Array(0),
  };
};

/** The longest run of neighbouring slots that hold the address of a NOP pair; zero slots may stand in front. */
const longestSiteRun = (
  words: Uint32Array,
  { slots, targets }: Relocations,
): { first: number; count: number } | null => {
  let best = { first: -1, count: 0, live: 0 };
  let first = 0;
  let live = 0;
  for (let i = 0; i < slots.length; i++) {
    const isZero = targets[i]! === TARGET_ZERO;
    const isSite = targets[i]! >= 0 && isNopPair(words, targets[i]!);
    const continues = i > first && slots[i]! === slots[i - 1]! + 8;
    if (!continues || (!isZero && !isSite) || (isZero && live > 0)) {
      first = isZero || isSite ? i : i + 1;
      live = 0;
    }
    if (isSite) live++;
    if (live > best.live) best = { first, count: i - first + 1, live };
  }
  return best.live >= MIN_RUN ? best : null;
};

/**
 * `__mcount_loc`: 8-byte addresses. They are relocated, so that the Image itself may hold zeros there; an address of zero
 * after relocation is a slot that the build has emptied.
 */
export const readFtraceSites = (
  words: Uint32Array,
  relocations: Relocations,
  bounds: Span | null,
): FtraceSites | string => {
  const { slots, targets } = relocations;
  if (bounds === null) {
    const run = longestSiteRun(words, relocations);
    if (run === null) return 'no symbol names the table and no run of addresses of NOP pairs was found';
    return makeFtraceSites(words, slots[run.first]!, Array.from(targets.subarray(run.first, run.first + run.count)));
  }
  const rows: number[] = [];
  for (let slot = bounds.start; slot < bounds.end; slot += 8) {
    const index = findSlot(slots, slot);
    const isEmpty = words[slot / 4] === 0 && words[slot / 4 + 1] === 0;
    const target = index >= 0 ? targets[index]! : isEmpty ? TARGET_ZERO : Number.NaN;
    if (target !== TARGET_ZERO && !(target >= 0 && target % 4 === 0)) {
      return `slot ${rows.length} between the table's symbols holds no address of the image`;
    }
    rows.push(target);
  }
  return makeFtraceSites(words, bounds.start, rows);
};
