import { assert } from '@numalab/base';
import type { BuiltSymbol, ImageBuilder } from './image-builder.ts';
import { LINK_BASE } from './layout.ts';
import { FREQUENT_PARTS } from './names.ts';

/** Which order the tables of kallsyms have: up to Linux 6.3, from 6.4, and where offsets are relative to their place. */
export type KallsymsLayout = '6.1' | '6.4' | '7.0';

const NAMES_PER_MARKER = 256;

/** What each token stands for: printable characters for themselves, the codes that are left for frequent parts of names. */
const TOKENS: readonly string[] = (() => {
  const tokens = Array.from({ length: 256 }, (_, code) =>
    code >= 0x21 && code < 0x7f ? String.fromCharCode(code) : '',
  );
  const free = tokens.flatMap((token, code) => (token === '' ? [code] : []));
  FREQUENT_PARTS.forEach((part, i) => {
    if (free[i] !== undefined) tokens[free[i]] = part;
  });
  return tokens;
})();

/** Codes of the tokens by their first character, longest token first. */
const BY_FIRST: ReadonlyMap<string, readonly number[]> = (() => {
  const map = new Map<string, number[]>();
  TOKENS.forEach((token, code) => {
    if (token !== '') map.set(token.charAt(0), [...(map.get(token.charAt(0)) ?? []), code]);
  });
  for (const codes of map.values()) codes.sort((a, b) => TOKENS[b]!.length - TOKENS[a]!.length);
  return map;
})();

const encode = (text: string): number[] => {
  const codes: number[] = [];
  for (let at = 0; at < text.length; ) {
    const code = BY_FIRST.get(text.charAt(at))?.find((candidate) => text.startsWith(TOKENS[candidate]!, at));
    assert(code !== undefined, `builtin kernel: no token for a character of ${text}`);
    codes.push(code);
    at += TOKENS[code]!.length;
  }
  return codes;
};

const emitNames = (builder: ImageBuilder, symbols: readonly BuiltSymbol[], alignment: number): number[] => {
  const markers: number[] = [];
  const start = builder.at;
  symbols.forEach((symbol, i) => {
    if (i % NAMES_PER_MARKER === 0) markers.push(builder.at - start);
    const codes = encode(symbol.type + symbol.name);
    // Lengths above 127 take two bytes since Linux 6.1.
    const length = codes.length < 0x80 ? [codes.length] : [0x80 | (codes.length & 0x7f), codes.length >> 7];
    builder.emitBytes([...length, ...codes]);
  });
  builder.align(alignment);
  return markers;
};

const emitTokens = (builder: ImageBuilder, alignment: number): void => {
  const start = builder.at;
  const index = TOKENS.map((token) => {
    const at = builder.at - start;
    builder.emitString(token);
    return at;
  });
  builder.align(alignment);
  builder.emitBytes(index.flatMap((at) => [at & 0xff, at >> 8]));
};

/** Three bytes for each symbol: the order by name. */
const emitSeqs = (builder: ImageBuilder, symbols: readonly BuiltSymbol[]): void => {
  const order = symbols.map((_, i) => i).sort((a, b) => (symbols[a]!.name < symbols[b]!.name ? -1 : 1));
  builder.emitBytes(order.flatMap((seq) => [seq >> 16, (seq >> 8) & 0xff, seq & 0xff]));
  builder.align(8);
};

/**
 * Writes kallsyms for `symbols`, which are sorted by offset. Returns the place of the relative base, whose value (the address of
 * the first symbol) is left to the relocations; -1 if the layout has none.
 */
export const emitKallsyms = (
  builder: ImageBuilder,
  symbols: readonly BuiltSymbol[],
  layout: KallsymsLayout,
): number => {
  const alignment = layout === '7.0' ? 4 : 8;
  const first = symbols[0]!.offset;
  let relativeBase = -1;
  const emitOffsets = (): void => {
    for (const { offset } of symbols) builder.emit((layout === '7.0' ? offset - builder.at : offset - first) >>> 0);
    builder.align(alignment);
    if (layout === '7.0') return;
    relativeBase = builder.at;
    builder.emit(0, 0);
  };
  if (layout === '6.1') emitOffsets();
  builder.emit(symbols.length);
  builder.align(alignment);
  const markers = emitNames(builder, symbols, alignment);
  builder.emit(...markers);
  builder.align(alignment);
  if (layout === '6.1') emitSeqs(builder, symbols);
  emitTokens(builder, alignment);
  builder.align(alignment);
  if (layout === '6.1') return relativeBase;
  emitOffsets();
  emitSeqs(builder, symbols);
  return relativeBase;
};

/** VA of an offset from `_text`, as words. */
export const linkAddress = (offset: number): { hi: number; lo: number } => ({
  hi: LINK_BASE.hi,
  lo: (LINK_BASE.lo + offset) >>> 0,
});
