import {
  ACCESS_READ,
  checkStage1,
  FSC_PERMISSION_L,
  type NodeMemory,
  Stage1Walk,
  type Stage2Walker,
  TLB_EXECUTE,
  TLB_READ,
  TLB_WRITE,
  WALK_CONTINUE,
} from '@numalab/machine';
import type { MachineSpec } from '../spec.ts';
import type { Stage1Map } from '../stage1-map.ts';
import type { LiveCpu } from './live-cpu.ts';
import type { MaintenanceWords } from './maintenance-words.ts';
import { TLBI, TLBI_ALL, TLBI_STAGE2, TLBI_VA } from './shared-words.ts';

/** A block as large as a TLB knows them: where stage 2 is off, IPA and PA are the same everywhere. */
const WHOLE_SHIFT = 39;

const NEEDED: readonly number[] = [TLB_READ, TLB_WRITE, TLB_EXECUTE, TLB_WRITE];
/** Where a cached leaf of stage 2 keeps its level, above its permissions. */
const LEVEL_SHIFT = 3;

/** log2 of a power of two below 2^53. Not Math.log2, whose value the language does not fix. */
const log2 = (bytes: number): number => (bytes >= 2 ** 31 ? 62 - Math.clz32(bytes / 2 ** 31) : 31 - Math.clz32(bytes));

/** The descriptors of a walk that are fetched at once, because each by itself would cost a way to another process. */
export interface FarTables {
  /** Fetches those that a walk for `va` passes. */
  fetch(va: number): void;
  /** Whether that at `pa` is among them: then {@link lo} and {@link hi} are its words. */
  holds(pa: number): boolean;
  readonly lo: number;
  readonly hi: number;
}

/**
 * Translation for the cores of one node in a live run: the two-dimensional walk over the tables as they are in shared memory at
 * this moment. Stage-1 descriptors are read from whichever node holds them; stage 2 is the node's own. Nothing waits, so
 * nothing is a task.
 */
export class LiveMmu {
  readonly stage1: Stage1Map;
  private readonly spec: MachineSpec;
  private readonly walker: Stage2Walker | null;
  private readonly memories: readonly NodeMemory[];
  private readonly words: Int32Array;
  private readonly maintenance: MaintenanceWords;
  private readonly own: NodeMemory;
  private readonly walk = new Stage1Walk();
  /** The kernel's tables, if they lie in memory of another process. */
  private readonly farTables: FarTables | null;
  private readonly managesDirty: boolean;
  private stage1Ipa = 0;
  private stage1Shift = 0;
  private stage1Permissions = 0;
  private stage2Pa = 0;
  private stage2Shift = 0;
  private stage2Permissions = 0;
  walks = 0;
  reads = 0;
  localReads = 0;
  remoteReads = 0;

  constructor(
    id: number,
    spec: MachineSpec,
    stage1: Stage1Map,
    walker: Stage2Walker | null,
    memories: readonly NodeMemory[],
    words: Int32Array,
    maintenance: MaintenanceWords,
    farTables: FarTables | null,
  ) {
    this.spec = spec;
    this.stage1 = stage1;
    this.walker = walker;
    this.memories = memories;
    this.own = memories[id]!;
    this.words = words;
    this.maintenance = maintenance;
    this.farTables = farTables;
    this.managesDirty = walker?.config.ha === true && walker.config.hd;
  }

  /** The memory that holds `pa`. */
  memoryOf(pa: number): NodeMemory {
    return this.memories[Math.floor((pa - this.spec.base) / this.spec.memoryPerNode)]!;
  }

  /** Takes the TLBIs that were broadcast since the core took the last. */
  synchronise(cpu: LiveCpu): void {
    const { words } = this;
    // This one first: what is issued from here on changes it again.
    cpu.tlbi = Atomics.load(words, TLBI);
    const all = Atomics.load(words, TLBI_ALL);
    const stage2 = Atomics.load(words, TLBI_STAGE2);
    if (stage2 !== cpu.tlbiStage2) cpu.stage2Leaves.invalidateAll();
    const byVa = Atomics.load(words, TLBI_VA);
    const vas = all === cpu.tlbiAll ? this.maintenance.vas(cpu.tlbiVa, byVa) : null;
    if (vas === null) {
      cpu.tlb.invalidateAll();
      cpu.stage1Leaves.invalidateAll();
    } else {
      for (const va of vas) {
        cpu.tlb.invalidate(va);
        cpu.stage1Leaves.invalidate(va);
      }
    }
    cpu.tlbiAll = all;
    cpu.tlbiStage2 = stage2;
    cpu.tlbiVa = byVa;
    cpu.microEnd = -1;
  }

  /** Looks `va` up in the TLB. False too if the entry does not permit the access. */
  hit(cpu: LiveCpu, va: number, access: number): boolean {
    const { tlb } = cpu;
    const index = tlb.lookup(va);
    if (index < 0 || (tlb.permissions[index]! & NEEDED[access]!) === 0) return false;
    cpu.translatedShift = tlb.shift[index]!;
    cpu.translatedPa = tlb.to[index]! + (va - tlb.from[index]!);
    return true;
  }

  /**
   * Translates `va`, by what is cached of each stage or by walks. 0, and the TLB has the translation; or a fault status code,
   * and the `fault` fields of the core hold. A cached leaf that forbids the access faults without a walk, as the architecture
   * allows: whoever changes a leaf invalidates it.
   */
  translate(cpu: LiveCpu, va: number, access: number): number {
    cpu.faultStage2 = false;
    cpu.faultS1ptw = false;
    if (!this.cachedStage1(cpu, va, access)) {
      this.walks++;
      const status = this.walkStage1(cpu, va);
      if (status !== 0) return status;
      const stage1Fault = checkStage1(this.walk, access);
      if (stage1Fault !== 0) return stage1Fault;
    }
    const ipa = this.stage1Ipa;
    const fault = this.stage2(cpu, ipa, access);
    if (fault !== 0) {
      cpu.faultStage2 = true;
      cpu.faultIpa = ipa;
      return fault;
    }
    const shift = Math.min(this.stage2Shift, this.stage1Shift);
    cpu.tlb.insert(va, this.stage2Pa, shift, this.stage2Permissions & this.stage1Permissions);
    cpu.translatedPa = this.stage2Pa;
    cpu.translatedShift = shift;
    return 0;
  }

  /** Stage 1 from a leaf that the core has cached. False: there is none, or it forbids the access. */
  private cachedStage1({ stage1Leaves }: LiveCpu, va: number, access: number): boolean {
    const index = stage1Leaves.lookup(va);
    if (index < 0 || (stage1Leaves.permissions[index]! & NEEDED[access]!) === 0) return false;
    this.stage1Ipa = stage1Leaves.to[index]! + (va - stage1Leaves.from[index]!);
    this.stage1Shift = stage1Leaves.shift[index]!;
    this.stage1Permissions = stage1Leaves.permissions[index]!;
    return true;
  }

  private walkStage1(cpu: LiveCpu, va: number): number {
    const { walk, farTables } = this;
    cpu.faultStage2 = false;
    cpu.faultS1ptw = false;
    farTables?.fetch(va);
    let status = walk.begin(this.stage1.config, va);
    while (status === WALK_CONTINUE) {
      const ipa = walk.descriptorIpa;
      const fault = this.stage2(cpu, ipa, ACCESS_READ);
      if (fault !== 0) {
        cpu.faultStage2 = true;
        cpu.faultS1ptw = true;
        cpu.faultIpa = ipa;
        return fault;
      }
      const pa = this.stage2Pa;
      const memory = this.memoryOf(pa);
      this.reads++;
      if (memory === this.own) this.localReads++;
      else this.remoteReads++;
      if (farTables?.holds(pa) === true) status = walk.feed(farTables.lo, farTables.hi);
      else status = walk.feed(memory.load32(pa), memory.load32(pa + 4));
    }
    if (status !== 0) return status;
    this.stage1Ipa = walk.ipa;
    this.stage1Shift = log2(walk.leafBytes);
    this.stage1Permissions = TLB_READ | (walk.writable ? TLB_WRITE : 0) | (walk.executable ? TLB_EXECUTE : 0);
    cpu.stage1Leaves.insert(va, walk.ipa, this.stage1Shift, this.stage1Permissions);
    return 0;
  }

  /**
   * AT S1E1R or S1E1W: stage 1 alone. The IPA of `va`, or -1: stage 1 does not permit it, or else stage 2 faults on its walk,
   * and `cpu.faultStage2` and `faultIpa` say so.
   */
  addressTranslate(cpu: LiveCpu, va: number, access: number = ACCESS_READ): number {
    if (Atomics.load(this.words, TLBI) !== cpu.tlbi) this.synchronise(cpu);
    if (this.cachedStage1(cpu, va, access)) return this.stage1Ipa;
    return this.walkStage1(cpu, va) === 0 && checkStage1(this.walk, access) === 0 ? this.walk.ipa : -1;
  }

  /** Stage 2 for a core: 0 and `pa2`, or a fault status code. */
  stage2(cpu: LiveCpu, ipa: number, access: number): number {
    const { walker } = this;
    if (walker === null) return this.withoutStage2(ipa);
    const leaves = cpu.stage2Leaves;
    const index = leaves.lookup(ipa);
    if (index >= 0) {
      const permissions = leaves.permissions[index]!;
      if ((permissions & NEEDED[access]!) !== 0) {
        this.stage2Pa = leaves.to[index]! + (ipa - leaves.from[index]!);
        this.stage2Shift = leaves.shift[index]!;
        this.stage2Permissions = permissions;
        return 0;
      }
      // Where hardware manages the dirty state, a walk may yet make the leaf writable.
      if (!this.managesDirty) return FSC_PERMISSION_L(permissions >>> LEVEL_SHIFT);
    }
    const fault = walker.walk(ipa, access);
    this.reads += walker.reads;
    this.localReads += walker.reads;
    if (fault !== 0) return fault;
    this.stage2Pa = walker.pa;
    this.stage2Shift = log2(walker.leafBytes);
    this.stage2Permissions =
      (walker.readable ? TLB_READ : 0) |
      (walker.writable ? TLB_WRITE : 0) |
      (walker.executable ? TLB_EXECUTE : 0) |
      (walker.level << LEVEL_SHIFT);
    leaves.insert(ipa, walker.pa, this.stage2Shift, this.stage2Permissions);
    return 0;
  }

  private withoutStage2(ipa: number): number {
    this.stage2Pa = ipa;
    this.stage2Shift = WHOLE_SHIFT;
    this.stage2Permissions = TLB_READ | TLB_WRITE | TLB_EXECUTE;
    return 0;
  }

  /** PA that the last {@link stage2} found. */
  get pa2(): number {
    return this.stage2Pa;
  }
}
