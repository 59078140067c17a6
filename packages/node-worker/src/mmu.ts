import type { Step } from '@numalab/base';
import {
  ACCESS_READ,
  checkStage1,
  levelBytes,
  type Stage2Walker,
  TLB_EXECUTE,
  TLB_READ,
  TLB_WRITE,
  WALK_CONTINUE,
} from '@numalab/machine';
import type { NodeProcess } from './node.ts';
import type { Vcpu } from './vcpu.ts';

const NEEDED: readonly number[] = [TLB_READ, TLB_WRITE, TLB_EXECUTE, TLB_WRITE];

/** Of {@link Mmu.translate}: begin again. No fault status code is negative. */
export const TRY_AGAIN = -1;

/** A core that faults so often on one access, each time to be told to try again, makes no progress (L1). */
export const FAULTS_BOUND = 256;

/** log2 of a power of two below 2^53. Not Math.log2, whose value the language does not fix. */
const log2 = (bytes: number): number => (bytes >= 2 ** 31 ? 62 - Math.clz32(bytes / 2 ** 31) : 31 - Math.clz32(bytes));

/**
 * Translation for the cores of one node: TLB, walk cache, and the two-dimensional walk, whose stage-1 reads go through stage
 * 2 to wherever the kernel's tables lie, and whose stage-2 reads stay on the node.
 */
export class Mmu {
  private readonly node: NodeProcess;
  private readonly walker: Stage2Walker | null;
  private readonly nested: boolean;
  private stage2Shift = 0;
  private stage2Permissions = 0;
  private stage2Pa = 0;
  private cost = 0;

  constructor(node: NodeProcess, walker: Stage2Walker | null) {
    this.node = node;
    this.walker = walker;
    this.nested = node.spec.nestedTlb && walker !== null;
  }

  /**
   * Translates `va` for core `cpu`, letting EL2 handle what traps. True: `cpu.translatedPa` and its companions hold. False:
   * EL1 took an abort.
   */
  *access(cpu: Vcpu, va: number, access: number): Step<boolean> {
    for (let faults = 0; ; faults++) {
      if (this.hit(cpu, va, access)) return true;
      const status = (yield this.translate(cpu, va, access)) as number;
      if (status === 0) return true;
      if (status === TRY_AGAIN) continue;
      cpu.faults++;
      if (!cpu.faultStage2) return false;
      if (faults >= FAULTS_BOUND) return this.node.giveUpAccess(cpu, cpu.faultIpa);
      if (!(yield this.node.el2.abort(cpu, va, access, status))) return false;
    }
  }

  /** Looks `va` up in the TLB. False too if the entry does not permit the access: the walk finds out what to report. */
  hit(cpu: Vcpu, va: number, access: number): boolean {
    const { tlb } = cpu;
    const index = tlb.lookup(va);
    if (index < 0 || (tlb.permissions[index]! & NEEDED[access]!) === 0) return false;
    cpu.translatedShift = tlb.shift[index]!;
    cpu.translatedPermissions = tlb.permissions[index]!;
    cpu.translatedPa = tlb.to[index]! + (va - tlb.from[index]!);
    return !this.nested || this.hitStage2(cpu, access);
  }

  /** With a nested TLB an entry leads to an IPA, and stage 2 must be cached too. */
  private hitStage2(cpu: Vcpu, access: number): boolean {
    const leaves = cpu.stage2Leaves;
    const ipa = cpu.translatedPa;
    const index = leaves.lookup(ipa);
    if (index < 0 || (leaves.permissions[index]! & NEEDED[access]!) === 0) return false;
    cpu.translatedPa = leaves.to[index]! + (ipa - leaves.from[index]!);
    cpu.translatedShift = Math.min(cpu.translatedShift, leaves.shift[index]!);
    cpu.translatedPermissions &= leaves.permissions[index]!;
    return true;
  }

  /**
   * Walks both stages. 0, and the TLB has the translation; or a fault status code, with `cpu.faultStage2`, `faultS1ptw` and
   * `faultIpa` set; or {@link TRY_AGAIN}.
   */
  *translate(cpu: Vcpu, va: number, access: number): Step<number> {
    const { node } = this;
    const { coherence } = node;
    const { walk } = node.hardware.cores[cpu.core]!;
    const { config } = node.stage1;
    const { invalidations } = cpu;
    cpu.walks++;
    cpu.faultStage2 = false;
    cpu.faultS1ptw = false;
    let status = walk.begin(config, va);
    // Descriptors above the table that the walk cache knows are taken from it: they cost nothing and are not read again.
    const cached = this.cachedTable(cpu, va);
    while (status === WALK_CONTINUE) {
      const ipa = walk.descriptorIpa;
      const level = walk.level;
      const known = level < cached ? this.knownTable(cpu, va, level) : null;
      if (known !== null) {
        status = walk.feed(known.lo, known.hi);
        continue;
      }
      const fault = this.stage2(cpu, ipa, ACCESS_READ);
      const pa = this.stage2Pa;
      if (this.cost > 0) {
        const spent = this.takeCost();
        if (!node.passes(cpu, spent)) yield spent;
      }
      if (fault !== 0) {
        cpu.faultStage2 = true;
        cpu.faultS1ptw = true;
        cpu.faultIpa = ipa;
        return fault;
      }
      this.countStage1Read(cpu, pa);
      const cost = coherence.tryAccess(cpu, pa);
      if (cost >= 0 && !node.passes(cpu, cost)) yield cost;
      // The line may have been dropped while the access took its time.
      const isHere = cost >= 0 && coherence.isPresent(pa);
      const lo = isHere ? coherence.word(cpu, pa) : ((yield coherence.load32(cpu, pa)) as number);
      const hi = this.node.scratchLine[((pa & 63) >>> 2) * 2 + 2]!;
      status = walk.feed(lo, hi);
      // A TLBI that came meanwhile covers this walk: what it read may be old, and must enter neither walk cache nor TLB.
      const isCurrent = cpu.invalidations === invalidations;
      if (status === WALK_CONTINUE && isCurrent) this.rememberTable(cpu, va, level, lo, hi);
    }
    if (cpu.invalidations !== invalidations) return TRY_AGAIN;
    if (status !== 0) return status;
    const stage1Fault = checkStage1(walk, access);
    if (stage1Fault !== 0) return stage1Fault;
    const fault = this.stage2(cpu, walk.ipa, access);
    const pa = this.stage2Pa;
    const shift = Math.min(this.stage2Shift, log2(walk.leafBytes));
    const stage1Permissions = TLB_READ | (walk.writable ? TLB_WRITE : 0) | (walk.executable ? TLB_EXECUTE : 0);
    const permissions = this.stage2Permissions & stage1Permissions;
    const { ipa } = walk;
    if (fault === 0) {
      if (this.nested) cpu.tlb.insert(va, ipa, log2(walk.leafBytes), stage1Permissions);
      else cpu.tlb.insert(va, pa, shift, permissions);
      cpu.translatedPa = pa;
      cpu.translatedShift = shift;
      cpu.translatedPermissions = permissions;
    } else {
      cpu.faultStage2 = true;
      cpu.faultIpa = ipa;
    }
    if (this.cost > 0) {
      const spent = this.takeCost();
      if (!node.passes(cpu, spent)) yield spent;
    }
    // What was found may be gone by now; the access has not been made yet.
    return cpu.invalidations === invalidations ? fault : TRY_AGAIN;
  }

  /** Time of the stage-2 reads since the last call. */
  takeCost(): number {
    const { cost } = this;
    this.cost = 0;
    return cost;
  }

  private countStage1Read(cpu: Vcpu, pa: number): void {
    cpu.walkReads++;
    if (this.node.memory.contains(pa)) cpu.walkReadsLocal++;
    else {
      cpu.walkReadsRemote++;
      cpu.stage1Remote++;
    }
  }

  /** The lowest level whose table the walk cache holds for `va`: descriptors above it need not be read. */
  private cachedTable(cpu: Vcpu, va: number): number {
    const { startLevel } = this.node.stage1.config;
    let level = startLevel;
    while (level < 3 && cpu.stage1Tables[level + 1]!.lookup(va) >= 0) level++;
    return level;
  }

  private readonly known = { lo: 0, hi: 0 };

  private knownTable(cpu: Vcpu, va: number, level: number): { lo: number; hi: number } | null {
    const tables = cpu.stage1Tables[level + 1]!;
    const index = tables.lookup(va);
    if (index < 0) return null;
    this.known.lo = tables.to[index]! >>> 0;
    this.known.hi = Math.floor(tables.to[index]! / 0x1_0000_0000);
    return this.known;
  }

  /** Keeps a table descriptor in the walk cache, under the range it covers. */
  private rememberTable(cpu: Vcpu, va: number, level: number, lo: number, hi: number): void {
    const { granule } = this.node.stage1.config;
    cpu.stage1Tables[level + 1]!.insertValue(va, hi * 0x1_0000_0000 + lo, log2(levelBytes(granule, level)));
  }

  /**
   * Stage 2 for core `cpu`: leaf from the walk cache, or a walk of the node's tables. The result is in `stage2Pa`,
   * `stage2Shift`, `stage2Permissions`; the time of the reads is added to `cost`.
   */
  stage2(cpu: Vcpu, ipa: number, access: number): number {
    const { walker } = this;
    if (walker === null) {
      this.stage2Pa = ipa;
      this.stage2Shift = 39;
      this.stage2Permissions = TLB_READ | TLB_WRITE | TLB_EXECUTE;
      return 0;
    }
    const leaves = cpu.stage2Leaves;
    const index = leaves.lookup(ipa);
    if (index >= 0 && (leaves.permissions[index]! & NEEDED[access]!) !== 0) {
      this.stage2Pa = leaves.to[index]! + (ipa - leaves.from[index]!);
      this.stage2Shift = leaves.shift[index]!;
      this.stage2Permissions = leaves.permissions[index]!;
      return 0;
    }
    return this.walkStage2(cpu, walker, ipa, access);
  }

  private walkStage2(cpu: Vcpu, walker: Stage2Walker, ipa: number, access: number): number {
    const { granule, startLevel } = walker.config;
    let level = 3;
    let table = -1;
    for (; level > startLevel; level--) {
      const i = cpu.stage2Tables[level + 1]!.lookup(ipa);
      if (i < 0) continue;
      table = cpu.stage2Tables[level + 1]!.to[i]!;
      break;
    }
    const first = table < 0 ? startLevel : level;
    const fault = table < 0 ? walker.walk(ipa, access) : walker.walkFrom(ipa, access, level, table);
    for (let i = 0; i < walker.reads; i++) {
      const pa = walker.readPa[i]!;
      this.cost += this.node.coherence.access(cpu, pa);
      cpu.walkReads++;
      cpu.walkReadsLocal++;
      const at = first + i;
      if (i > 0) {
        const shift = log2(levelBytes(granule, at - 1));
        cpu.stage2Tables[at + 1]!.insertValue(ipa, pa - (pa % granule.bytes), shift);
      }
    }
    if (fault !== 0) return fault;
    this.stage2Pa = walker.pa;
    this.stage2Shift = log2(walker.leafBytes);
    this.stage2Permissions =
      (walker.readable ? TLB_READ : 0) | (walker.writable ? TLB_WRITE : 0) | (walker.executable ? TLB_EXECUTE : 0);
    cpu.stage2Leaves.insert(ipa, walker.pa, this.stage2Shift, this.stage2Permissions);
    return 0;
  }

  /**
   * AT S1E1R or S1E1W: stage 1 alone. The IPA of `va`, or -1 (PAR_EL1.F = 1): stage 1 does not permit it, or else (PAR_EL1.S = 1)
   * stage 2 faults on its walk, and `cpu.faultStage2` and `faultIpa` say so.
   */
  *addressTranslate(cpu: Vcpu, va: number, access: number = ACCESS_READ): Step<number> {
    const { node } = this;
    const { coherence } = node;
    const walk = node.hardware.cores[cpu.core]!.el2Walk;
    cpu.faultStage2 = false;
    let status = walk.begin(this.node.stage1.config, va);
    while (status === WALK_CONTINUE) {
      if (this.stage2(cpu, walk.descriptorIpa, ACCESS_READ) !== 0) {
        cpu.faultStage2 = true;
        cpu.faultIpa = walk.descriptorIpa;
        return -1;
      }
      const pa = this.stage2Pa;
      if (this.cost > 0) {
        const spent = this.takeCost();
        if (!node.passes(cpu, spent)) yield spent;
      }
      const cost = coherence.tryAccess(cpu, pa);
      if (cost >= 0 && !node.passes(cpu, cost)) yield cost;
      const isHere = cost >= 0 && coherence.isPresent(pa);
      const lo = isHere ? coherence.word(cpu, pa) : ((yield coherence.load32(cpu, pa)) as number);
      const hi = this.node.scratchLine[((pa & 63) >>> 2) * 2 + 2]!;
      status = walk.feed(lo, hi);
    }
    return status === 0 && checkStage1(walk, access) === 0 ? walk.ipa : -1;
  }
}
