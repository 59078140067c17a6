/**
 * Unmapping and changing leaves in place. Exact: where the range cuts a block or a contiguous group, the rest of it is built
 * again as it was. Permissions and the access flag change valid to valid, which needs no break (Arm ARM D8.14), but the old
 * leaf may stay in TLBs until it is invalidated.
 */
import { assert } from '@numalab/base';
import { ENOMEM } from './errno.ts';
import { LOCKED_HI, LOCKED_LO } from './invalid-entry.ts';
import { PendingInvalidation } from './invalidation.ts';
import {
  buildSubtree,
  editedHi,
  editedLo,
  isGrouped,
  MAKE_LEAVES,
  type RangeEdit,
  reshape,
  unitStart,
} from './reshape.ts';
import type { TableCore } from './table-core.ts';
import { DSB_ISHST, type TableOp } from './table-ops.ts';

/** One operation on what is mapped in a range. */
export class EditOperation {
  private readonly core: TableCore;
  private readonly pending: PendingInvalidation;
  private readonly edit: RangeEdit;
  private readonly remove: boolean;
  private readonly splitting: boolean;
  private wrote = false;
  private flushed = false;

  /** `splitting`: a leaf that the range cuts is taken apart even if nothing else changes. */
  constructor(core: TableCore, edit: RangeEdit, splitting = false) {
    this.core = core;
    this.pending = new PendingInvalidation(core);
    this.edit = edit;
    this.remove = edit.inside.remove;
    this.splitting = splitting;
  }

  /** 0, or -ENOMEM before anything changed. */
  *run(): Generator<TableOp, number> {
    const { core } = this;
    const { start, end } = this.edit;
    const { rootPa, startLevel } = core.config;
    const needed = this.tablesNeeded(rootPa, startLevel, start, end);
    if (!core.pool.reserve(needed)) return -ENOMEM;
    const before = core.tablesMade;
    yield* this.inTable(rootPa, startLevel, start, end);
    core.pool.unreserve(needed - (core.tablesMade - before));
    yield* this.flush();
    if (this.wrote && !this.flushed) yield DSB_ISHST;
    return 0;
  }

  /** Table pages needed to cut the entries at the two ends of [at, end). Whole entries in between need none. */
  private tablesNeeded(table: number, level: number, at: number, end: number): number {
    const size = this.core.size(level);
    const headEnd = at - (at % size) + size;
    const tailStart = end - (end % size);
    let needed = 0;
    if (at % size !== 0 || headEnd > end) needed += this.cutNeeded(table, level, at, Math.min(headEnd, end));
    if (end % size !== 0 && tailStart >= headEnd) needed += this.cutNeeded(table, level, tailStart, end);
    return needed;
  }

  private cutNeeded(table: number, level: number, at: number, end: number): number {
    const { core } = this;
    if (table < 0) return 1 + this.tablesNeeded(-1, level + 1, at, end);
    const entry = core.entryPa(table, level, at);
    const lo = core.lo(entry);
    const hi = core.hi(entry);
    if (core.isTable(lo, hi, level)) return this.tablesNeeded(core.output(lo, hi, level), level + 1, at, end);
    const cut = (lo & 1) !== 0 || (this.remove && (lo | hi) !== 0);
    return cut ? 1 + this.tablesNeeded(-1, level + 1, at, end) : 0;
  }

  private *inTable(table: number, level: number, from: number, end: number): Generator<TableOp, void> {
    const { core } = this;
    const size = core.size(level);
    let at = from;
    while (at < end) {
      const entry = core.entryPa(table, level, at);
      const lo = core.lo(entry);
      const hi = core.hi(entry);
      const base = at - (at % size);
      const to = Math.min(base + size, end);
      if ((lo | hi) === 0) at = to;
      else if (core.isTable(lo, hi, level)) {
        yield* this.onTable(entry, level, at, to);
        at = to;
      } else if ((lo & 1) === 0) {
        this.onInvalid(entry, level, at, to);
        at = to;
      } else at = yield* this.onLeaf(table, level, at, end);
    }
  }

  private *onTable(entry: number, level: number, at: number, to: number): Generator<TableOp, void> {
    const { core, pending } = this;
    const size = core.size(level);
    const base = at - (at % size);
    const child = core.output(core.lo(entry), core.hi(entry), level);
    if (this.remove && at === base && to === base + size) {
      core.write(entry, level, base, 0, 0);
      pending.table(child, level + 1, base);
      return;
    }
    yield* this.inTable(child, level + 1, at, to);
    if (!this.remove || !core.pool.isEmpty(child)) return;
    // The leaves below must be gone from all TLBs before the table that held them is.
    yield* this.flush();
    core.write(entry, level, base, 0, 0);
    pending.table(child, level + 1, base);
  }

  /** Annotations are cleared by an unmap and passed over by all else. */
  private onInvalid(entry: number, level: number, at: number, to: number): void {
    const { core } = this;
    const lo = core.lo(entry);
    const hi = core.hi(entry);
    assert(lo !== LOCKED_LO || hi !== LOCKED_HI, 'an entry is locked by another operation');
    if (!this.remove) return;
    const size = core.size(level);
    const base = at - (at % size);
    this.wrote = true;
    if (at === base && to === base + size) core.write(entry, level, base, 0, 0);
    else core.link(entry, level, base, buildSubtree(core, level + 1, base, lo, hi, this.edit));
  }

  /** Handles the leaf at `at`, or the group it belongs to, and returns the first address after what was handled. */
  private *onLeaf(table: number, level: number, at: number, end: number): Generator<TableOp, number> {
    const { core, pending, edit } = this;
    const size = core.size(level);
    const entry = core.entryPa(table, level, at);
    const start = unitStart(core, core.hi(entry), level, at);
    const count = isGrouped(core, core.hi(entry), level) ? core.group(level) : 1;
    const unitEnd = start + count * size;
    if (edit.start > start || edit.end < unitEnd) {
      if (!this.splitting && !this.changes(entry)) return Math.min(unitEnd, end);
      this.flushed = true;
      this.wrote = true;
      yield* reshape(core, pending, table, level, at, edit, MAKE_LEAVES);
      yield DSB_ISHST;
      return Math.min(unitEnd, end);
    }
    for (let i = 0; i < count; i++) {
      const ipa = start + i * size;
      const member = core.entryPa(table, level, ipa);
      if (!this.changes(member)) continue;
      const lo = core.lo(member);
      const hi = core.hi(member);
      if (this.remove) core.write(member, level, ipa, 0, 0);
      else core.write(member, level, ipa, editedLo(edit.inside, lo), editedHi(edit.inside, hi));
      pending.leaf(ipa, level);
    }
    return unitEnd;
  }

  /** Whether the edit makes a difference to the leaf at `entry`. */
  private changes(entry: number): boolean {
    const { inside } = this.edit;
    if (inside.remove) return true;
    const lo = this.core.lo(entry);
    const hi = this.core.hi(entry);
    return editedLo(inside, lo) !== lo || editedHi(inside, hi) !== hi;
  }

  private *flush(): Generator<TableOp, void> {
    if (this.pending.empty) return;
    this.flushed = true;
    yield* this.pending.run();
  }
}
