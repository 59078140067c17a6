/** Addresses [start, end). */
export interface AddressRange {
  readonly start: number;
  readonly end: number;
}

/** Index of the first of the disjoint, ordered ranges that ends after `address`. */
export const firstEndingAfter = (ranges: readonly AddressRange[], address: number): number => {
  let low = 0;
  let high = ranges.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (ranges[middle]!.end > address) high = middle;
    else low = middle + 1;
  }
  return low;
};

/** The parts of the disjoint, ordered ranges that lie in [start, end), as `visit(range, from, to)`. */
export const forEachOverlap = <Range extends AddressRange>(
  ranges: readonly Range[],
  start: number,
  end: number,
  visit: (range: Range, from: number, to: number) => void,
): void => {
  for (let i = firstEndingAfter(ranges, start); i < ranges.length; i++) {
    const range = ranges[i]!;
    if (range.start >= end) return;
    visit(range, Math.max(range.start, start), Math.min(range.end, end));
  }
};

/** The parts of [start, end) that no range covers. */
export const forEachGap = (
  ranges: readonly AddressRange[],
  start: number,
  end: number,
  visit: (from: number, to: number) => void,
): void => {
  let at = start;
  forEachOverlap(ranges, start, end, (_range, from, to) => {
    if (from > at) visit(at, from);
    at = to;
  });
  if (at < end) visit(at, end);
};

/** The same addresses as disjoint ranges in order, touching ones joined. */
export const mergeRanges = (ranges: readonly AddressRange[]): AddressRange[] => {
  const merged: { start: number; end: number }[] = [];
  for (const { start, end } of [...ranges].sort((a, b) => a.start - b.start)) {
    const last = merged.at(-1);
    if (last !== undefined && start <= last.end) last.end = Math.max(last.end, end);
    else if (end > start) merged.push({ start, end });
  }
  return merged;
};
