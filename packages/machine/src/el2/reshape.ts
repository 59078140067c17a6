/**
 * Taking a leaf apart. Part of a block, or part of a contiguous group, can only change if the whole block or group is broken
 * and built anew: a new tree for a block that the edited range cuts, single leaves for the members of a group. The new tree
 * is complete before it is linked, so one break-before-make does it.
 */
import { leafAttributes, leafHi, leafLo, S2_HI_CONTIGUOUS } from '../arm/index.ts';
import { LOCKED_HI, LOCKED_LO } from './invalid-entry.ts';
import type { PendingInvalidation } from './invalidation.ts';
import { ENTRY_BYTES, type TableCore, withoutContiguous } from './table-core.ts';
import type { TableOp } from './table-ops.ts';

/** What becomes of the entries inside the edited range: nothing (to be filled or left unmapped) or changed leaves. */
export interface InsideEdit {
  /** True: entries become zero. False: leaves stay, with bits cleared and set. */
  readonly remove: boolean;
  readonly loClear: number;
  readonly loSet: number;
  readonly hiClear: number;
  readonly hiSet: number;
}

/** Leaves inside stay as they are. */
export const KEEP: InsideEdit = Object.freeze({ remove: false, loClear: 0, loSet: 0, hiClear: 0, hiSet: 0 });
/** Leaves inside disappear. */
export const REMOVE: InsideEdit = Object.freeze({ remove: true, loClear: 0, loSet: 0, hiClear: 0, hiSet: 0 });

/** An edit that concerns the input addresses [start, end). */
export interface RangeEdit {
  readonly start: number;
  readonly end: number;
  readonly inside: InsideEdit;
  /** Whether leaves outside the range are built again (else they are left to be faulted in). Annotations always are. */
  readonly rebuild: boolean;
}

export const editedLo = (inside: InsideEdit, lo: number): number => ((lo & ~inside.loClear) | inside.loSet) >>> 0;
export const editedHi = (inside: InsideEdit, hi: number): number => ((hi & ~inside.hiClear) | inside.hiSet) >>> 0;

/**
 * Builds, unlinked, the table of `level` that replaces the entry `(lo, hi)` of the level above at `base`. Groups that lie
 * wholly inside or wholly outside the range get the contiguous hint. Pages come from the operation's reservation.
 */
export const buildSubtree = (
  core: TableCore,
  level: number,
  base: number,
  lo: number,
  hi: number,
  edit: RangeEdit,
): number => {
  const table = core.newTable(level, base);
  const size = core.size(level);
  const groupBytes = core.group(level) * size;
  const valid = (lo & 1) !== 0;
  const pa = valid ? core.output(lo, hi, level - 1) : 0;
  const attrs = leafAttributes(core.config, lo, withoutContiguous(hi));
  for (let i = 0, at = base; i < core.entries; i++, at += size) {
    const entry = table + i * ENTRY_BYTES;
    const inside = at >= edit.start && at + size <= edit.end;
    const outside = at >= edit.end || at + size <= edit.start;
    if (inside && edit.inside.remove) continue;
    if (outside && valid && !edit.rebuild) continue;
    const leafWordLo = valid ? leafLo(core.config, pa + (at - base), level, attrs) : lo;
    let leafWordHi = valid ? leafHi(core.config, pa + (at - base), level, attrs) : hi;
    if (!inside && !outside) {
      core.link(entry, level, at, buildSubtree(core, level + 1, at, leafWordLo, leafWordHi, edit));
      continue;
    }
    if (valid && groupBytes > size) {
      const group = at - (at % groupBytes);
      const groupInside = group >= edit.start && group + groupBytes <= edit.end;
      const groupOutside = group >= edit.end || group + groupBytes <= edit.start;
      if (groupInside || groupOutside) leafWordHi = (leafWordHi | S2_HI_CONTIGUOUS) >>> 0;
    }
    if (inside && valid)
      core.write(entry, level, at, editedLo(edit.inside, leafWordLo), editedHi(edit.inside, leafWordHi));
    else core.write(entry, level, at, leafWordLo, leafWordHi);
  }
  return table;
};

/** Whether the leaf in `hi` at `level` is a member of a contiguous group. */
export const isGrouped = (core: TableCore, hi: number, level: number): boolean =>
  core.group(level) > 1 && (hi & S2_HI_CONTIGUOUS) !== 0;

/** First input address of what has to be broken to change the leaf at `at`: its group's, or its own. */
export const unitStart = (core: TableCore, hi: number, level: number, at: number): number => {
  const bytes = core.size(level) * (isGrouped(core, hi, level) ? core.group(level) : 1);
  return at - (at % bytes);
};

/** How {@link reshape} treats what is inside the range. */
export const MAKE_LEAVES = 0;
export const KEEP_LOCKED = 1;
export const MAKE_TABLE = 2;

/**
 * Rebuilds the leaf of `level` at `at`, with the other members of its contiguous group, so that the range of `edit` can be
 * changed: breaks all members (LOCKED), performs the maintenance together with what was `pending`, makes them again without
 * the hint. Members wholly inside the range get their edit; with `remove` they become zero, or by KEEP_LOCKED stay LOCKED,
 * to be made by the caller at once. Members that the range cuts become tables, and by MAKE_TABLE the one at `at` anyway.
 */
export function* reshape(
  core: TableCore,
  pending: PendingInvalidation,
  table: number,
  level: number,
  at: number,
  edit: RangeEdit,
  mode: typeof MAKE_LEAVES | typeof KEEP_LOCKED | typeof MAKE_TABLE,
): Generator<TableOp, void> {
  const size = core.size(level);
  const first = core.entryPa(table, level, at);
  const start = unitStart(core, core.hi(first), level, at);
  const count = isGrouped(core, core.hi(first), level) ? core.group(level) : 1;
  const words: number[] = [];
  for (let i = 0; i < count; i++) {
    const ipa = start + i * size;
    const entry = core.entryPa(table, level, ipa);
    let lo = core.lo(entry);
    let hi = withoutContiguous(core.hi(entry));
    const tabled = mode === MAKE_TABLE && ipa <= at && at < ipa + size;
    if (!tabled && ipa >= edit.start && ipa + size <= edit.end) {
      if (edit.inside.remove) {
        lo = mode === KEEP_LOCKED ? LOCKED_LO : 0;
        hi = mode === KEEP_LOCKED ? LOCKED_HI : 0;
      } else {
        lo = editedLo(edit.inside, lo);
        hi = editedHi(edit.inside, hi);
      }
      words.push(lo, hi, -1);
    } else if (ipa >= edit.end || ipa + size <= edit.start) {
      words.push(lo, hi, -1);
    } else {
      words.push(0, 0, buildSubtree(core, level + 1, ipa, lo, hi, edit));
    }
  }
  for (let i = 0; i < count; i++) {
    const ipa = start + i * size;
    core.lock(core.entryPa(table, level, ipa), level, ipa);
    pending.leaf(ipa, level);
  }
  // Bug 26: the new tree is linked while TLBs still hold the old leaf.
  if (!core.splitsUnflushed) yield* pending.run();
  for (let i = 0; i < count; i++) {
    const ipa = start + i * size;
    const entry = core.entryPa(table, level, ipa);
    const child = words[3 * i + 2]!;
    if (child >= 0) core.link(entry, level, ipa, child);
    else if (words[3 * i + 1] !== LOCKED_HI || words[3 * i] !== LOCKED_LO) {
      core.write(entry, level, ipa, words[3 * i]!, words[3 * i + 1]!);
    }
  }
}
