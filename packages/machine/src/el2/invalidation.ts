/**
 * The TLB maintenance that an operation owes for entries it broke, in the order of Linux kvm/hyp/nvhe/tlb.c. By IPA:
 * DSB ISHST; TLBI IPAS2E1IS for each; DSB ISH; TLBI VMALLE1IS; DSB ISH; ISB. The first DSB makes the stores visible to
 * walkers; the second completes the stage-2 part, without which a combined entry could be refilled from a stale stage-2
 * entry after the stage-1 part. By VMID: DSB ISHST; TLBI VMALLS12E1IS; DSB ISH; ISB.
 */
import type { TableCore } from './table-core.ts';
import { DSB_ISH, DSB_ISHST, ISB, type TableOp, TLBI_VMALLE1IS, TLBI_VMALLS12E1IS } from './table-ops.ts';

/** More leaves than this are cheaper to invalidate by VMID. */
export const MAX_TLBI_BY_IPA = 64;

/** Entries broken since the last maintenance, and the tables that may be freed after the next. */
export class PendingInvalidation {
  private readonly core: TableCore;
  private readonly ipas: number[] = [];
  private readonly levels: number[] = [];
  private readonly tables: number[] = [];
  private readonly tableLevels: number[] = [];
  private byVmid = false;

  constructor(core: TableCore) {
    this.core = core;
  }

  /** A valid leaf of `level` at `ipa` was broken or changed. */
  leaf(ipa: number, level: number): void {
    if (this.ipas.length < MAX_TLBI_BY_IPA) {
      this.ipas.push(ipa);
      this.levels.push(level);
    } else this.byVmid = true;
  }

  /** The entry at `ipa` of the table page `table` (of `level`) was broken; the page is freed once nothing can walk it. */
  table(table: number, level: number, ipa: number): void {
    // Bug 18: freed while walkers can still reach it.
    if (this.core.freesEarly) this.core.freeTree(table, level);
    else {
      this.tables.push(table);
      this.tableLevels.push(level);
    }
    // Bug 16: of all that it mapped, only the first page is invalidated.
    if (this.core.invalidatesFirst) this.leaf(ipa, level - 1);
    else this.byVmid = true;
  }

  get empty(): boolean {
    return this.ipas.length === 0 && !this.byVmid;
  }

  /** Performs what is owed, then frees detached tables. Yields nothing if nothing is owed. */
  *run(): Generator<TableOp, void> {
    if (this.empty) return;
    yield DSB_ISHST;
    if (this.byVmid) {
      yield TLBI_VMALLS12E1IS;
    } else {
      for (let i = 0; i < this.ipas.length; i++) {
        yield { op: 'tlbi', kind: 'ipas2e1is', ipa: this.ipas[i]!, level: this.levels[i]! };
      }
      yield DSB_ISH;
      yield TLBI_VMALLE1IS;
    }
    yield DSB_ISH;
    yield ISB;
    for (let i = 0; i < this.tables.length; i++) this.core.freeTree(this.tables[i]!, this.tableLevels[i]!);
    this.ipas.length = 0;
    this.levels.length = 0;
    this.tables.length = 0;
    this.tableLevels.length = 0;
    this.byVmid = false;
  }
}
