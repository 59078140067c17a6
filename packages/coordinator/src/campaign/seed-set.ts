import { assert } from '@numalab/base';

/** Seeds from `from` to `to`, both included. */
export interface SeedRange {
  readonly from: number;
  readonly to: number;
}

/** How many seeds a range has. */
export const seedCount = ({ from, to }: SeedRange): number => to - from + 1;

/** A set of seeds as disjoint ranges in rising order, so that a billion of them take no room. */
export class SeedSet {
  private ranges: SeedRange[] = [];

  constructor(...ranges: readonly SeedRange[]) {
    for (const range of ranges) this.add(range);
  }

  /** How many seeds it has. */
  get size(): number {
    return this.ranges.reduce((sum, range) => sum + seedCount(range), 0);
  }

  /** Its ranges, in rising order; no two touch. */
  list(): readonly SeedRange[] {
    return this.ranges;
  }

  /** Whether it has every seed of the range. */
  has({ from, to }: SeedRange): boolean {
    return this.ranges.some((range) => range.from <= from && to <= range.to);
  }

  /** Adds seeds, none of which it may have. */
  add({ from, to }: SeedRange): void {
    assert(from <= to, `seeds ${from}..${to} are none`);
    const at = this.ranges.findIndex((range) => range.from > from);
    const place = at < 0 ? this.ranges.length : at;
    const before = this.ranges[place - 1];
    const after = this.ranges[place];
    assert(
      (before === undefined || before.to < from) && (after === undefined || to < after.from),
      `of seeds ${from}..${to} some are there already`,
    );
    const joinsBefore = before !== undefined && before.to + 1 === from;
    const joinsAfter = after !== undefined && to + 1 === after.from;
    const joined = { from: joinsBefore ? before.from : from, to: joinsAfter ? after.to : to };
    this.ranges.splice(joinsBefore ? place - 1 : place, Number(joinsBefore) + Number(joinsAfter), joined);
  }

  /** Removes seeds, all of which it must have. */
  remove({ from, to }: SeedRange): void {
    const at = this.ranges.findIndex((range) => range.from <= from && to <= range.to);
    const range = this.ranges[at];
    assert(range !== undefined && from <= to, `of seeds ${from}..${to} some are not there`);
    const left: SeedRange[] = [];
    if (range.from < from) left.push({ from: range.from, to: from - 1 });
    if (to < range.to) left.push({ from: to + 1, to: range.to });
    this.ranges.splice(at, 1, ...left);
  }

  /** Removes the lowest seeds that lie together, at most `count`, and returns them; null if there are none. */
  take(count: number): SeedRange | null {
    const first = this.ranges[0];
    if (first === undefined) return null;
    const taken = { from: first.from, to: Math.min(first.to, first.from + count - 1) };
    this.remove(taken);
    return taken;
  }
}
