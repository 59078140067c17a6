import { alignDown, alignUp } from '@numalab/base';
import { asciiBytes, indexOfBytes, u16At, u32At } from './bytes.ts';
import type { KallsymsTables } from './kernel-image.ts';

/**
 * Finds the symbol tables that a kernel carries for its own use (scripts/kallsyms.c) in an Image that says nothing about
 * where they are. Every step is checked against the next one, so that a hit is a proof:
 *
 * 1. digits are tokens of themselves, so the token table holds `0\0 1\0 … 9\0`; its index of 256 offsets must fit it;
 * 2. before it lie the markers, one for every 256 names: the first is 0 and each grows by 768 to 20,480 bytes;
 * 3. before them lie the names, preceded by their count; walking them must meet every marker;
 * 4. the addresses lie before the count (up to Linux 6.3) or after the token index (from 6.4).
 */

const TOKENS = 256;
const NAMES_PER_MARKER = 256;
const MIN_GROWTH = 768;
const MAX_GROWTH = 20_480;
const DIGITS = asciiBytes(Array.from('0123456789', (digit) => `${digit}\0`).join(''));
const FIRST_DIGIT = 0x30;

interface TokenTable {
  readonly table: number;
  readonly index: number;
}

/** End of each token from the digits on, if 256 of them can be read there; the last element is the table's end. */
const tokenEnds = (bytes: Uint8Array, digits: number): number[] | null => {
  const ends: number[] = [];
  let at = digits;
  for (let token = FIRST_DIGIT; token < TOKENS; token++) {
    const end = bytes.indexOf(0, at);
    if (end < 0 || end - at > 128) return null;
    at = end + 1;
    ends.push(at);
  }
  return ends;
};

const matchTokenIndex = (bytes: Uint8Array, digits: number, ends: number[], index: number): TokenTable | null => {
  if (index + 2 * TOKENS > bytes.length || u16At(bytes, index) !== 0) return null;
  const table = digits - u16At(bytes, index + 2 * FIRST_DIGIT);
  if (table < 0 || table % 4 !== 0) return null;
  for (let token = FIRST_DIGIT + 1; token < TOKENS; token++) {
    if (table + u16At(bytes, index + 2 * token) !== ends[token - FIRST_DIGIT - 1]) return null;
  }
  for (let token = 0; token < FIRST_DIGIT; token++) {
    const start = table + u16At(bytes, index + 2 * token);
    if (bytes.indexOf(0, start) + 1 !== table + u16At(bytes, index + 2 * token + 2)) return null;
  }
  return { table, index };
};

const findTokenTable = (bytes: Uint8Array): TokenTable | null => {
  for (let at = indexOfBytes(bytes, DIGITS, 0); at >= 0; at = indexOfBytes(bytes, DIGITS, at + 1)) {
    const ends = tokenEnds(bytes, at);
    if (ends === null) continue;
    const end = ends.at(-1)!;
    // Aligned to 8 up to 6.x, to 4 since the tables lost their 64-bit member.
    const found =
      matchTokenIndex(bytes, at, ends, alignUp(end, 8)) ?? matchTokenIndex(bytes, at, ends, alignUp(end, 4));
    if (found !== null) return found;
  }
  return null;
};

/** Bytes of the length field and the name at `at`. Since 6.1 lengths above 127 take a second byte. */
const nameBytes = (bytes: Uint8Array, at: number, wide: boolean): number => {
  const length = bytes[at]!;
  return wide && length >= 0x80 ? 2 + ((length & 0x7f) | (bytes[at + 1]! << 7)) : 1 + length;
};

interface Names {
  readonly start: number;
  readonly count: number;
  readonly markers: number;
  readonly wide: boolean;
}

/** Whether walking `count` names from `start` meets every marker and ends just before them. */
const namesMatch = (bytes: Uint8Array, names: Names): boolean => {
  let at = names.start;
  for (let i = 0; i < names.count; i++) {
    if (i % NAMES_PER_MARKER === 0) {
      const marker = names.markers + 4 * (i / NAMES_PER_MARKER);
      if (at - names.start !== u32At(bytes, marker)) return false;
    }
    const step = nameBytes(bytes, at, names.wide);
    if (step < 2) return false;
    at += step;
    if (at > names.markers) return false;
  }
  return names.markers - at < 8;
};

/** The number of names that stands before `start`: a word in front of it, or one followed by a word of padding. */
const countBefore = (bytes: Uint8Array, start: number): number =>
  u32At(bytes, start - 4) !== 0 ? u32At(bytes, start - 4) : u32At(bytes, start - 8);

const findNames = (bytes: Uint8Array, markers: number, chunks: number): Names | null => {
  const lastMarker = u32At(bytes, markers + 4 * (chunks - 1));
  const from = Math.max(8, markers - lastMarker - MAX_GROWTH - 8);
  for (let start = alignDown(markers - lastMarker, 4); start >= from; start -= 4) {
    const count = countBefore(bytes, start);
    if (count <= (chunks - 1) * NAMES_PER_MARKER || count > chunks * NAMES_PER_MARKER) continue;
    for (const wide of [true, false]) {
      const names: Names = { start, count, markers, wide };
      if (namesMatch(bytes, names)) return names;
    }
  }
  return null;
};

const growth = (bytes: Uint8Array, markers: number, limit: number): number => {
  let chunks = 1;
  for (let at = markers + 4; at < limit; at += 4) {
    const step = u32At(bytes, at) - u32At(bytes, at - 4);
    if (step < MIN_GROWTH || step > MAX_GROWTH) break;
    chunks++;
  }
  return chunks;
};

const findMarkersAndNames = (bytes: Uint8Array, tokenTable: number): Names | null => {
  for (let markers = tokenTable - 4; markers >= 8; markers -= 4) {
    if (u32At(bytes, markers) !== 0) continue;
    const longest = growth(bytes, markers, tokenTable);
    if (longest < 2) continue;
    // What follows the markers may by accident look like one more of them.
    for (let chunks = longest; chunks >= Math.max(2, longest - 2); chunks--) {
      const names = findNames(bytes, markers, chunks);
      if (names !== null) return names;
    }
  }
  return null;
};

/** kallsyms as found: names and raw addresses, which a base is still to be added to. */
export interface RawKallsyms {
  readonly tables: KallsymsTables;
  readonly names: readonly string[];
  readonly types: string;
  /**
   * Layouts `6.1` and `6.4`: bytes above the relative base. Layout `7.0`: offsets from `_text`. NaN for an absolute symbol.
   */
  readonly addresses: Float64Array;
}

const expandTokens = (bytes: Uint8Array, tokens: TokenTable): string[] =>
  Array.from({ length: TOKENS }, (_, token) => {
    let text = '';
    for (let at = tokens.table + u16At(bytes, tokens.index + 2 * token); bytes[at] !== 0; at++) {
      text += String.fromCharCode(bytes[at]!);
    }
    return text;
  });

const decodeNames = (bytes: Uint8Array, names: Names, tokens: string[]): { names: string[]; types: string } => {
  const result = new Array<string>(names.count);
  const types: string[] = [];
  let at = names.start;
  for (let i = 0; i < names.count; i++) {
    const end = at + nameBytes(bytes, at, names.wide);
    let text = '';
    for (let p = at + (names.wide && bytes[at]! >= 0x80 ? 2 : 1); p < end; p++) text += tokens[bytes[p]!]!;
    // A corrupt table may expand to nothing; every name still has one type.
    types.push(text.charAt(0) || '?');
    result[i] = text.slice(1);
    at = end;
  }
  return { names: result, types: types.join('') };
};

const isMonotonic = (values: Float64Array): boolean => {
  let last = -Infinity;
  for (const value of values) {
    if (value < last) return false;
    if (!Number.isNaN(value)) last = value;
  }
  return true;
};

const signed = (bytes: Uint8Array, at: number): number => u32At(bytes, at) | 0;

/** The addresses of a table of offsets from a base, or null if they do not rise. */
const readOffsets = (bytes: Uint8Array, table: number, count: number): Float64Array | null => {
  if (table < 0 || table + 4 * count + 8 > bytes.length) return null;
  const values = Float64Array.from({ length: count }, (_, i) => u32At(bytes, table + 4 * i));
  if (isMonotonic(values)) return values;
  // KALLSYMS_ABSOLUTE_PERCPU: what is negative counts down from base - 1, the rest is absolute.
  const mixed = values.map((_, i) => {
    const value = signed(bytes, table + 4 * i);
    return value < 0 ? -1 - value : Number.NaN;
  });
  return isMonotonic(mixed) && mixed.some((value) => value >= 0) ? mixed : null;
};

const readPlaceRelative = (bytes: Uint8Array, table: number, count: number): Float64Array | null => {
  if (table + 4 * count > bytes.length) return null;
  const values = Float64Array.from({ length: count }, (_, i) => table + 4 * i + signed(bytes, table + 4 * i));
  return isMonotonic(values) && values[0]! >= 0 ? values : null;
};

/** End of `seqs_of_names` (3 bytes each, big-endian, since 6.2) if it stands at `at`; else `at`. */
const seqsEnd = (bytes: Uint8Array, at: number, count: number): number => {
  const end = at + 3 * count;
  if (end > bytes.length) return at;
  for (let p = at; p < end; p += 3)
    if (bytes[p]! * 0x1_0000 + bytes[p + 1]! * 0x100 + bytes[p + 2]! >= count) return at;
  return end;
};

type Addresses = Pick<KallsymsTables, 'layout' | 'offsets' | 'relativeBase' | 'end'> & { addresses: Float64Array };

const findAddresses = (
  bytes: Uint8Array,
  names: Names,
  tokens: TokenTable,
  isBase: (slot: number) => boolean,
): Addresses | null => {
  const { start, count } = names;
  const tokensEnd = tokens.index + 2 * TOKENS;
  const padded = alignUp(4 * count, 8);
  const newOffsets = alignUp(tokensEnd, 8);
  for (const [layout, relativeBase, offsets] of [
    ['6.1', start - 16, start - 16 - padded],
    ['6.4', newOffsets + padded, newOffsets],
  ] as const) {
    const addresses = readOffsets(bytes, offsets, count);
    if (addresses === null || !isBase(relativeBase)) continue;
    const end = layout === '6.1' ? tokensEnd : seqsEnd(bytes, relativeBase + 8, count);
    return { layout, offsets, relativeBase, end, addresses };
  }
  const offsets = alignUp(tokensEnd, 4);
  const addresses = readPlaceRelative(bytes, offsets, count);
  if (addresses === null) return null;
  return { layout: '7.0', offsets, relativeBase: -1, end: seqsEnd(bytes, offsets + 4 * count, count), addresses };
};

/**
 * Finds and decodes kallsyms. `isBase` tells whether the 8 bytes at an offset hold, or are relocated to, a kernel address.
 * Gives a string that says what is missing if they are not there or do not fit together.
 */
export const findKallsyms = (bytes: Uint8Array, isBase: (slot: number) => boolean): RawKallsyms | string => {
  const tokens = findTokenTable(bytes);
  if (tokens === null) return 'the Image has no kallsyms token table';
  const names = findMarkersAndNames(bytes, tokens.table);
  if (names === null) return 'the kallsyms names do not fit their markers';
  const found = findAddresses(bytes, names, tokens, isBase);
  if (found === null) return 'the kallsyms addresses are not where any known layout has them';
  const { addresses, ...place } = found;
  const tables: KallsymsTables = {
    ...place,
    count: names.count,
    names: names.start,
    markers: names.markers,
    tokenTable: tokens.table,
    tokenIndex: tokens.index,
  };
  return { tables, addresses, ...decodeNames(bytes, names, expandTokens(bytes, tokens)) };
};
