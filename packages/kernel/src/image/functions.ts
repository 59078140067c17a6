import type { FtraceSites, Span } from './kernel-image.ts';
import type { SymbolTable } from './symbol-table.ts';

const isCode = (words: Uint32Array, offset: number): boolean => {
  // The upper half of a UDF is zero: padding, or data between functions.
  const word = offset % 4 === 0 ? (words[offset / 4] ?? 0) : 0;
  return word >>> 16 !== 0;
};

/**
 * Sorted starts of the functions in `text`, without EL2's own text: from the text symbols, or from the ftrace sites of a
 * kernel without symbols. Places where no instruction stands (markers behind the last function of a section) are left out.
 */
export const findFunctions = (
  words: Uint32Array,
  symbols: SymbolTable,
  ftrace: FtraceSites,
  text: Span | null,
  el2Text: Span | null,
): Int32Array => {
  const starts: number[] = [];
  const isOurs = (offset: number): boolean =>
    (text === null || (offset >= text.start && offset < text.end)) &&
    (el2Text === null || offset < el2Text.start || offset >= el2Text.end) &&
    isCode(words, offset);
  if (text !== null) {
    for (let i = 0; i < symbols.count; i++) {
      if ('tTwW'.includes(symbols.types[i]!) && isOurs(symbols.offsets[i]!)) starts.push(symbols.offsets[i]!);
    }
  }
  if (starts.length === 0) for (const site of ftrace.sites) if (isOurs(site)) starts.push(site);
  return Int32Array.from(new Set(starts)).sort();
};
