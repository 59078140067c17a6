/**
 * Mapping and annotating: the rules of Linux kvm/hyp/pgtable.c. At every address the largest leaf that is legal, aligned in
 * the input and (if there is one) the output address, and inside the range.
 */
import { assert } from '@numalab/base';
import { LAST_LEVEL, leafHi, leafLo, S2_HI_CONTIGUOUS } from '../arm/index.ts';
import { EAGAIN, ENOMEM } from './errno.ts';
import { LOCKED_HI, LOCKED_LO } from './invalid-entry.ts';
import { PendingInvalidation } from './invalidation.ts';
import {
  buildSubtree,
  isGrouped,
  KEEP_LOCKED,
  MAKE_TABLE,
  type RangeEdit,
  REMOVE,
  reshape,
  unitStart,
} from './reshape.ts';
import { ENTRY_BYTES, type TableCore } from './table-core.ts';
import { DSB_ISHST, type TableOp } from './table-ops.ts';

/** What a mapping operation may do. */
export interface MapOptions {
  /** Only last-level entries, each on its own (no contiguous hint). Default false. */
  readonly forcePages?: boolean;
  /** The contiguous hint where it is legal. Default true, false with `forcePages`. */
  readonly contiguous?: boolean;
  /** Build the rest of a block again that the range cuts; if not, it is left to be faulted in, as pKVM does. Default false. */
  readonly rebuild?: boolean;
  /** Pass over leaves that already map the same with other permissions or none other, instead of -EAGAIN. Default false. */
  readonly ignoreEagain?: boolean;
  /** Fill what is zero and pass over all else: leaves, annotations, and tables (which are descended into). Default false. */
  readonly onlyHoles?: boolean;
}

/** One mapping or annotating operation: its parameters and where it stands. */
export class MapOperation {
  private readonly core: TableCore;
  private readonly pending: PendingInvalidation;
  /** Output minus input address; meaningless for an annotation. */
  private readonly delta: number;
  private readonly attrs: number;
  private readonly annotationLo: number;
  private readonly annotationHi: number;
  private readonly annotate: boolean;
  private readonly start: number;
  private readonly end: number;
  private readonly forcePages: boolean;
  private readonly groups: boolean;
  private readonly rebuild: boolean;
  private readonly ignoreEagain: boolean;
  private readonly onlyHoles: boolean;
  /** By level (from -1): below this address no group is formed, because one of its members has to stay. */
  private readonly ungroupedEnd = [0, 0, 0, 0, 0];
  private wrote = false;

  private constructor(
    core: TableCore,
    ipa: number,
    bytes: number,
    options: MapOptions,
    what: {
      pa: number;
      attrs: number;
      lo: number;
      hi: number;
    },
  ) {
    this.core = core;
    this.pending = new PendingInvalidation(core);
    this.annotate = what.pa < 0;
    this.delta = what.pa - ipa;
    this.attrs = what.attrs;
    this.annotationLo = what.lo;
    this.annotationHi = what.hi;
    this.start = ipa;
    this.end = ipa + bytes;
    this.forcePages = options.forcePages ?? false;
    this.groups = !this.annotate && (options.contiguous ?? !this.forcePages);
    this.rebuild = options.rebuild ?? false;
    this.ignoreEagain = options.ignoreEagain ?? false;
    this.onlyHoles = options.onlyHoles ?? false;
  }

  /** A mapping of [ipa, ipa + bytes) to `pa` on with `attrs`. */
  static map(
    core: TableCore,
    ipa: number,
    bytes: number,
    pa: number,
    attrs: number,
    options: MapOptions,
  ): MapOperation {
    return new MapOperation(core, ipa, bytes, options, { pa, attrs, lo: 0, hi: 0 });
  }

  /** An invalid entry `(lo, hi)` for all of [ipa, ipa + bytes). */
  static annotate(
    core: TableCore,
    ipa: number,
    bytes: number,
    lo: number,
    hi: number,
    options: MapOptions,
  ): MapOperation {
    return new MapOperation(core, ipa, bytes, options, { pa: -1, attrs: 0, lo, hi });
  }

  /** 0, -ENOMEM before anything changed, or -EAGAIN with the part below the offending leaf done. */
  *run(): Generator<TableOp, number> {
    const { core, start, end } = this;
    const { rootPa, startLevel } = core.config;
    const needed = this.tablesNeeded(rootPa, startLevel, start, end);
    if (!core.pool.reserve(needed)) return -ENOMEM;
    const before = core.tablesMade;
    const result = yield* this.inTable(rootPa, startLevel, start, end);
    core.pool.unreserve(needed - (core.tablesMade - before));
    if (this.wrote) yield DSB_ISHST;
    return result;
  }

  /** Whether one entry of `level` can hold the whole of its range: leaf legal, aligned, inside, congruent. */
  private fits(level: number, at: number, end: number): boolean {
    const size = this.core.size(level);
    return (
      (level === LAST_LEVEL || (!this.forcePages && this.core.leafAllowed(level))) &&
      at % size === 0 &&
      at + size <= end &&
      (this.annotate || this.delta % size === 0)
    );
  }

  /** Entries that are written together at `at`: a contiguous group where it is aligned, congruent and inside, else one. */
  private unit(level: number, at: number, end: number): number {
    const count = this.core.group(level);
    if (!this.groups || count === 1 || at < this.ungroupedEnd[level + 1]!) return 1;
    const bytes = count * this.core.size(level);
    return at % bytes === 0 && at + bytes <= end && this.delta % bytes === 0 ? count : 1;
  }

  /** Table pages that [at, end) of `table` (-1: a table yet to be made) will take. */
  private tablesNeeded(table: number, level: number, at: number, end: number): number {
    const { core } = this;
    const size = core.size(level);
    let needed = 0;
    let next = at;
    while (next < end) {
      const from = next;
      const to = Math.min(from - (from % size) + size, end);
      next = to;
      if (this.fits(level, from, end)) {
        // So do all whole entries from here on. Only a hole-filling operation keeps tables that stand there.
        next = end - ((end - from) % size);
        if (this.onlyHoles && table >= 0 && level < LAST_LEVEL) needed += this.tablesBelow(table, level, from, next);
        continue;
      }
      const entry = table < 0 ? -1 : core.entryPa(table, level, from);
      const lo = entry < 0 ? 0 : core.lo(entry);
      const hi = entry < 0 ? 0 : core.hi(entry);
      if (core.isTable(lo, hi, level)) {
        needed += this.tablesNeeded(core.output(lo, hi, level), level + 1, from, to);
      } else if (!(this.onlyHoles && (lo | hi) !== 0)) {
        needed += 1 + this.tablesNeeded(-1, level + 1, from, to);
      }
    }
    return needed;
  }

  /** {@link tablesNeeded} of the tables that whole entries [at, end) of `table` point to. */
  private tablesBelow(table: number, level: number, at: number, end: number): number {
    const { core } = this;
    const size = core.size(level);
    const first = core.entryPa(table, level, at);
    const count = (end - at) / size;
    let needed = 0;
    for (let i = 0; i < count; i++) {
      const lo = core.lo(first + i * ENTRY_BYTES);
      if ((lo & 3) !== 3) continue;
      const child = core.output(lo, core.hi(first + i * ENTRY_BYTES), level);
      needed += this.tablesNeeded(child, level + 1, at + i * size, at + (i + 1) * size);
    }
    return needed;
  }

  private *inTable(table: number, level: number, from: number, end: number): Generator<TableOp, number> {
    const { core } = this;
    const size = core.size(level);
    let at = from;
    for (;;) {
      at = this.fill(table, level, at, end);
      if (at >= end) return 0;
      const to = Math.min(at - (at % size) + size, end);
      const entry = core.entryPa(table, level, at);
      const lo = core.lo(entry);
      const hi = core.hi(entry);
      const isTable = core.isTable(lo, hi, level);
      if (this.onlyHoles && !isTable && (lo | hi) !== 0) {
        at = to;
      } else if (this.fits(level, at, end) && !(this.onlyHoles && isTable)) {
        const verdict = yield* this.clear(table, level, at, end);
        if (verdict < 0 && !this.ignoreEagain) return verdict;
        if (verdict < 0) at = to;
      } else {
        const child = isTable ? core.output(lo, hi, level) : yield* this.descend(table, level, at, to);
        const result = yield* this.inTable(child, level + 1, at, to);
        if (result < 0) return result;
        at = to;
      }
    }
  }

  /**
   * The fast path: writes leaves (or annotations) over entries that are not valid, up to the first address where that is not
   * enough, and returns that address. No maintenance is due, because nothing valid goes away.
   */
  private fill(table: number, level: number, from: number, end: number): number {
    if (!this.fits(level, from, end)) return from;
    const { core } = this;
    const size = core.size(level);
    const whole = Math.floor((end - from) / size);
    const entry = core.entryPa(table, level, from);
    const first = (entry - table) / ENTRY_BYTES;
    const count = core.group(level);
    const grouped = this.groups && count > 1 && this.delta % (count * size) === 0;
    let i = 0;
    while (i < whole) {
      const at = from + i * size;
      const unit = grouped && ((first + i) & (count - 1)) === 0 && i + count <= whole ? count : 1;
      const n = at < this.ungroupedEnd[level + 1]! ? 1 : unit;
      if (this.blocked(entry + i * ENTRY_BYTES, n, level, at)) {
        if (n === 1 || !this.onlyHoles) return at;
        this.ungroupedEnd[level + 1] = at + n * size;
        continue;
      }
      for (const last = i + n; i < last; i++) this.make(entry + i * ENTRY_BYTES, level, from + i * size, n > 1);
    }
    return from + i * size;
  }

  /** Whether one of `count` entries from `entry` on holds what this operation must not simply write over. */
  private blocked(entry: number, count: number, level: number, ipa: number): boolean {
    const { core } = this;
    for (let at = entry; at < entry + count * ENTRY_BYTES; at += ENTRY_BYTES) {
      const lo = core.lo(at);
      // Bug 17: a leaf is replaced by another without break-before-make.
      if (
        core.overwritesLeaves &&
        this.isOther(lo, core.hi(at), level, ipa + ((at - entry) / ENTRY_BYTES) * core.size(level))
      )
        continue;
      if ((lo & 1) !== 0 || (this.onlyHoles && (lo | core.hi(at)) !== 0)) return true;
    }
    return false;
  }

  /** Whether a valid leaf maps something else than this operation wants at `ipa`. */
  private isOther(lo: number, hi: number, level: number, ipa: number): boolean {
    const { core } = this;
    if ((lo & 1) === 0 || core.isTable(lo, hi, level) || this.annotate) return false;
    return !core.sameMapping(lo, hi, level, ipa + this.delta, this.attrs);
  }

  private make(entry: number, level: number, ipa: number, grouped: boolean): void {
    const { core, attrs } = this;
    this.wrote = true;
    if (this.annotate) {
      core.write(entry, level, ipa, this.annotationLo, this.annotationHi);
      return;
    }
    const pa = ipa + this.delta;
    const hi = leafHi(core.config, pa, level, attrs);
    core.write(entry, level, ipa, leafLo(core.config, pa, level, attrs), grouped ? (hi | S2_HI_CONTIGUOUS) >>> 0 : hi);
  }

  /** Breaks what is valid in the unit at `at`, so that it can be made; -EAGAIN if it already maps as wanted. */
  private *clear(table: number, level: number, at: number, end: number): Generator<TableOp, number> {
    const { core, pending } = this;
    const size = core.size(level);
    const count = this.unit(level, at, end);
    for (let i = 0; i < count; i++) {
      const entry = core.entryPa(table, level, at + i * size);
      const lo = core.lo(entry);
      const hi = core.hi(entry);
      if ((lo & 1) === 0 || core.isTable(lo, hi, level)) continue;
      if (this.annotate || !core.sameMapping(lo, hi, level, at + i * size + this.delta, this.attrs)) continue;
      if (count === 1) return -EAGAIN;
      this.ungroupedEnd[level + 1] = at + count * size;
      return 0;
    }
    const first = core.entryPa(table, level, at);
    const hi = core.hi(first);
    if (count === 1 && (core.lo(first) & 1) !== 0 && !core.isTable(core.lo(first), hi, level)) {
      const groupEnd = unitStart(core, hi, level, at) + size * (isGrouped(core, hi, level) ? core.group(level) : 1);
      const edit = this.edit(at, Math.min(groupEnd, this.wholeEnd(level, at, end)));
      yield* reshape(core, pending, table, level, at, edit, KEEP_LOCKED);
      return 0;
    }
    for (let i = 0; i < count; i++) this.breakEntry(table, level, at + i * size);
    yield* pending.run();
    return 0;
  }

  /** End of the entries from `at` on that lie wholly before `end`. */
  private wholeEnd(level: number, at: number, end: number): number {
    const size = this.core.size(level);
    return at + Math.floor((end - at) / size) * size;
  }

  private breakEntry(table: number, level: number, ipa: number): void {
    const { core } = this;
    const entry = core.entryPa(table, level, ipa);
    const lo = core.lo(entry);
    const hi = core.hi(entry);
    if ((lo & 1) === 0) return;
    core.lock(entry, level, ipa);
    if (core.isTable(lo, hi, level)) this.pending.table(core.output(lo, hi, level), level + 1, ipa);
    else this.pending.leaf(ipa, level);
  }

  private edit(start: number, end: number): RangeEdit {
    return { start, end, inside: REMOVE, rebuild: this.rebuild };
  }

  /** Puts a table where the entry at `at` cannot be a leaf, and returns it. */
  private *descend(table: number, level: number, at: number, to: number): Generator<TableOp, number> {
    const { core } = this;
    const size = core.size(level);
    const base = at - (at % size);
    const entry = core.entryPa(table, level, at);
    const lo = core.lo(entry);
    const hi = core.hi(entry);
    assert(lo !== LOCKED_LO || hi !== LOCKED_HI, 'an entry is locked by another operation');
    this.wrote = true;
    if ((lo | hi) === 0) {
      const child = core.newTable(level + 1, base);
      core.link(entry, level, base, child);
      return child;
    }
    if ((lo & 1) === 0) {
      core.link(entry, level, base, buildSubtree(core, level + 1, base, lo, hi, this.edit(at, to)));
    } else {
      yield* reshape(core, this.pending, table, level, at, this.edit(at, to), MAKE_TABLE);
    }
    return core.output(core.lo(entry), core.hi(entry), level);
  }
}
