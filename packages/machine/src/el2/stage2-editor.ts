/**
 * The editor of one node's stage-2 tables: what software at EL2 does (Linux kvm/hyp/pgtable.c). It shares the descriptor
 * format with the walker, which is hardware, and nothing else.
 *
 * Operations are generators: they store at once and yield the barriers and invalidations that must complete before they go
 * on. Only one may be under way on a table at a time ({@link Stage2Editor.busy}); EL2's lock of the table sees to that. Every
 * one returns 0 or a negated error number. Addresses must be multiples of the granule (-EINVAL) and lie inside the IPA and
 * output address sizes (-ERANGE). Table pages an operation may need are reserved before its first store, so that -ENOMEM
 * always means that nothing has changed.
 */
import { alignDown, assert } from '@numalab/base';
import {
  LAST_LEVEL,
  rootAlignment,
  S2_HI_DBM,
  S2_HI_XN,
  S2_LO_AF,
  S2_LO_READ,
  S2_LO_WRITE,
  type Stage2Config,
} from '../arm/index.ts';
import type { WordMemory } from '../memory/index.ts';
import { EditOperation } from './edit-range.ts';
import { EINVAL, ENOENT, ERANGE } from './errno.ts';
import { DONATION_HI, donationLo } from './invalid-entry.ts';
import { MapOperation, type MapOptions } from './map-range.ts';
import type { PagePool } from './page-pool.ts';
import { type InsideEdit, isGrouped, KEEP, REMOVE, unitStart } from './reshape.ts';
import { ENTRY_BYTES, TableCore } from './table-core.ts';
import { NO_OBSERVER, type TableObserver, type TableOp } from './table-ops.ts';

/** Permissions to add; see {@link Stage2Editor.relaxPermissions}. */
export interface RelaxedPermissions {
  readonly read?: boolean;
  readonly write?: boolean;
  readonly execute?: boolean;
}

/** Is shown an entry that is not zero. */
export type EntryVisitor = (entryPa: number, lo: number, hi: number, level: number, ipa: number) => void;

/**
 * Takes the root of a configuration (made with `rootPa: 0`) from the pool: contiguous zeroed pages with the alignment that
 * hardware wants. Returns its address, or -1 if the pool cannot provide it.
 */
export const allocRoot = (pool: PagePool, config: Stage2Config): number =>
  pool.allocContiguous(config.rootBytes, rootAlignment(config));

export class Stage2Editor {
  readonly config: Stage2Config;
  readonly pool: PagePool;
  /** True from the first step of an operation to its return. */
  busy = false;

  /** Results of {@link getLeaf}: the entry where the walk for an IPA ends, whatever it holds. */
  leafLevel = 0;
  leafEntryPa = 0;
  leafLo = 0;
  leafHi = 0;
  private leafTable = 0;

  private readonly core: TableCore;

  /** An editor of the tables under `config.rootPa`, which {@link allocRoot} took from `pool`. `bugs`: known ones that are switched on. */
  constructor(
    memory: WordMemory,
    config: Stage2Config,
    pool: PagePool,
    observer: TableObserver = NO_OBSERVER,
    bugs: readonly string[] = [],
  ) {
    assert(config.valid, 'tables are edited under a legal VTCR_EL2 only');
    this.config = config;
    this.pool = pool;
    this.core = new TableCore(memory, config, pool, observer, bugs);
  }

  /**
   * Maps [ipa, ipa + bytes) to `pa` on with packed attributes (`stage2Attributes`), by the largest legal leaves, with the
   * contiguous hint where a group is aligned in the input and output address. Annotations are overwritten: whoever calls
   * decides on ownership. A valid leaf with another output address, type or size is replaced by break-before-make; one that
   * differs in permissions alone, or not at all, stays and ends the operation with -EAGAIN. Tables that the new leaf makes
   * superfluous are freed.
   */
  *map(ipa: number, bytes: number, pa: number, attrs: number, options: MapOptions = {}): Generator<TableOp, number> {
    const bad = this.badRange(ipa, bytes) || this.badOutput(pa, bytes);
    return bad || (yield* this.exclusively(MapOperation.map(this.core, ipa, bytes, pa, attrs, options).run()));
  }

  /**
   * Unmaps exactly [ipa, ipa + bytes), annotations included; tables that become empty are freed. The operation does its own
   * TLB maintenance, batched over the range.
   */
  *unmap(ipa: number, bytes: number): Generator<TableOp, number> {
    return yield* this.edit(ipa, bytes, REMOVE);
  }

  /** Takes write permission (and DBM, by which hardware could give it back) from every leaf, TLB maintenance included. */
  *writeProtect(ipa: number, bytes: number): Generator<TableOp, number> {
    return yield* this.edit(ipa, bytes, { ...KEEP, loClear: S2_LO_WRITE, hiClear: S2_HI_DBM });
  }

  /** Adds permissions to every leaf, TLB maintenance included: a stale entry would merely fault once more, but it might. */
  *relaxPermissions(ipa: number, bytes: number, allow: RelaxedPermissions): Generator<TableOp, number> {
    return yield* this.edit(ipa, bytes, {
      ...KEEP,
      loSet: (allow.read === true ? S2_LO_READ : 0) | (allow.write === true ? S2_LO_WRITE : 0),
      hiClear: allow.execute === true ? S2_HI_XN : 0,
    });
  }

  /**
   * Marks [ipa, ipa + bytes) as owned by `owner` (1 to 7, never the host): invalid entries of type DONATION at the largest
   * aligned level. Valid leaves are broken first. Of a block that the range cuts, the rest is dropped (to be faulted in) or,
   * with `rebuild`, built again.
   */
  *annotate(
    ipa: number,
    bytes: number,
    owner: number,
    options: Pick<MapOptions, 'rebuild'> = {},
  ): Generator<TableOp, number> {
    const bad = this.badRange(ipa, bytes) || (owner >= 1 && owner <= 7 ? 0 : -EINVAL);
    const run = MapOperation.annotate(this.core, ipa, bytes, donationLo(owner), DONATION_HI, options).run();
    return bad || (yield* this.exclusively(run));
  }

  /**
   * Splits the block that holds `ipa` until a leaf of `level` maps it; every leaf of the block is built again with the same
   * meaning. 0 also if the leaf is at `level` or below already; -ENOENT if nothing is mapped there.
   */
  *split(ipa: number, level: number): Generator<TableOp, number> {
    if (level > LAST_LEVEL || !this.core.leafAllowed(level)) return -EINVAL;
    const start = alignDown(ipa, this.core.size(level));
    const bad = this.badRange(start, this.core.size(level));
    if (bad !== 0) return bad;
    if ((this.find(ipa) & 1) === 0) return -ENOENT;
    if (this.leafLevel >= level) return 0;
    const edit = { start, end: start + this.core.size(level), inside: KEEP, rebuild: true };
    return yield* this.exclusively(new EditOperation(this.core, edit, true).run());
  }

  /** Bytes of one entry at `level`. */
  levelBytes(level: number): number {
    return this.core.size(level);
  }

  /** Whether a leaf may stand at `level`: pages, and blocks where the format has them. */
  leafAllowed(level: number): boolean {
    return this.core.leafAllowed(level);
  }

  /** Sets the access flag of the leaf (or group) at `ipa`; false if there is none. Needs no TLB maintenance. */
  makeYoung(ipa: number): boolean {
    return this.age(ipa, true) >= 0;
  }

  /**
   * Clears the access flag of the leaf (or group) at `ipa` and returns whether it was set. The leaf may stay in TLBs: whoever
   * wants to see the next access invalidates.
   */
  makeOld(ipa: number): boolean {
    return this.age(ipa, false) === 1;
  }

  /**
   * Looks up the entry that decides about `ipa`: a leaf, an annotation or a hole. Returns its level; the other `leaf…`
   * fields hold the entry itself. -ERANGE beyond the IPA size.
   */
  getLeaf(ipa: number): number {
    if (!(ipa >= 0 && ipa < 2 ** this.config.ipaBits)) return -ERANGE;
    this.find(ipa);
    return this.leafLevel;
  }

  /** Shows `visitor` every entry that is not zero, tables before what they hold, in order of input address. */
  forEachEntry(visitor: EntryVisitor): void {
    const { rootPa, startLevel, rootBytes } = this.config;
    this.visit(rootPa, startLevel, 0, rootBytes / ENTRY_BYTES, visitor);
  }

  private visit(table: number, level: number, ipa: number, entries: number, visitor: EntryVisitor): void {
    const { core } = this;
    for (let i = 0; i < entries; i++) {
      const entry = table + i * ENTRY_BYTES;
      const lo = core.lo(entry);
      const hi = core.hi(entry);
      if ((lo | hi) === 0) continue;
      const at = ipa + i * core.size(level);
      visitor(entry, lo, hi, level, at);
      if (core.isTable(lo, hi, level)) this.visit(core.output(lo, hi, level), level + 1, at, core.entries, visitor);
    }
  }

  private find(ipa: number): number {
    const { core } = this;
    let table = this.config.rootPa;
    for (let level = this.config.startLevel; ; level++) {
      const entry = core.entryPa(table, level, ipa);
      const lo = core.lo(entry);
      const hi = core.hi(entry);
      if (core.isTable(lo, hi, level)) {
        table = core.output(lo, hi, level);
        continue;
      }
      this.leafLevel = level;
      this.leafEntryPa = entry;
      this.leafLo = lo;
      this.leafHi = hi;
      this.leafTable = table;
      return lo;
    }
  }

  /** -1 if no leaf is there, else whether the flag was set before. */
  private age(ipa: number, young: boolean): number {
    const { core } = this;
    if ((this.find(ipa) & 1) === 0) return -1;
    const level = this.leafLevel;
    const was = (this.leafLo & S2_LO_AF) !== 0 ? 1 : 0;
    const count = isGrouped(core, this.leafHi, level) ? core.group(level) : 1;
    let at = unitStart(core, this.leafHi, level, ipa);
    for (let i = 0; i < count; i++, at += core.size(level)) {
      const entry = core.entryPa(this.leafTable, level, at);
      const lo = core.lo(entry);
      const next = young ? lo | S2_LO_AF : lo & ~S2_LO_AF;
      if (next >>> 0 !== lo) core.write(entry, level, at, next >>> 0, core.hi(entry));
    }
    return was;
  }

  private *edit(ipa: number, bytes: number, inside: InsideEdit): Generator<TableOp, number> {
    const bad = this.badRange(ipa, bytes);
    if (bad !== 0) return bad;
    const edit = { start: ipa, end: ipa + bytes, inside, rebuild: true };
    return yield* this.exclusively(new EditOperation(this.core, edit).run());
  }

  private *exclusively(operation: Generator<TableOp, number>): Generator<TableOp, number> {
    assert(!this.busy, 'two operations edit one table at the same time');
    this.busy = true;
    try {
      return yield* operation;
    } finally {
      this.busy = false;
    }
  }

  private badRange(ipa: number, bytes: number): number {
    const page = this.core.pageBytes;
    if (ipa % page !== 0 || bytes % page !== 0 || bytes <= 0) return -EINVAL;
    return ipa >= 0 && ipa + bytes <= 2 ** this.config.ipaBits ? 0 : -ERANGE;
  }

  private badOutput(pa: number, bytes: number): number {
    if (pa % this.core.pageBytes !== 0) return -EINVAL;
    return pa >= 0 && pa + bytes <= 2 ** this.config.oaBits ? 0 : -ERANGE;
  }
}
