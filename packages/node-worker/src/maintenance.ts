import { alignDown, type Pause, type Step, WAIT } from '@numalab/base';
import * as link from '@numalab/interconnect';
import { GRANULES, LINE_BYTES, LINE_CELLS, type TableOp } from '@numalab/machine';
import type { NodeProcess } from './node.ts';
import type { Vcpu } from './vcpu.ts';
import { hasVmids, vmidOf } from './vmid.ts';

/**
 * TLB and cache maintenance: broadcast operations reach every core of every node as messages, and a DSB waits until all have
 * answered. A node answers a TLBI only when no core of its own still waits for a read that was translated before it.
 */
export class Maintenance {
  private readonly node: NodeProcess;
  /** TLBIs broadcast by this node's cores. */
  tlbis = 0;
  /** Instruction lines looked at after their maintenance (T5). */
  linesChecked = 0;
  private readonly answersEarly: boolean;
  private readonly hasVmids: boolean;
  private readonly editBugs: { readonly wrongIpa: boolean; readonly noDsb: boolean; readonly noTlbi: boolean } | null;
  private readonly checkedLine: Uint32Array;

  constructor(node: NodeProcess) {
    this.node = node;
    this.checkedLine = node.hardware.checkedLine;
    const { bugs } = node.spec;
    this.answersEarly = bugs.includes('15');
    this.hasVmids = hasVmids(bugs);
    const [wrongIpa, noDsb, noTlbi] = [bugs.includes('14'), bugs.includes('27'), bugs.includes('28')];
    this.editBugs = wrongIpa || noDsb || noTlbi ? { wrongIpa, noDsb, noTlbi } : null;
  }

  /** Issues a broadcast operation from core `cpu`; a {@link dsb} must follow. Takes effect on the core itself at once. */
  broadcast(cpu: Vcpu, operation: number, address: number): Pause {
    const { node } = this;
    const isTlbi = operation < link.IC_IVAU;
    if (isTlbi) this.tlbis++;
    this.apply(cpu, operation, address);
    for (let to = 0; to < node.spec.nodes; to++) {
      cpu.pendingMaintenance++;
      node.sendMaintenance(to, link.MAINTAIN, operation, cpu.core, address, cpu.time);
    }
    return isTlbi ? node.latencies.tlbiPs : node.latencies.icIvauPs;
  }

  /** DSB ISH: waits for all maintenance and stores of the core. */
  dsb(cpu: Vcpu): Pause {
    const isClear = cpu.pendingMaintenance === 0 && cpu.pendingStores === 0;
    return isClear ? this.node.latencies.dsbBasePs : this.drain(cpu);
  }

  private *drain(cpu: Vcpu): Step<void> {
    while (cpu.pendingMaintenance > 0 || cpu.pendingStores > 0) yield WAIT;
    const { node } = this;
    if (!node.passes(cpu, node.latencies.dsbBasePs)) yield node.latencies.dsbBasePs;
  }

  /** ISB. */
  isb(cpu: Vcpu): Pause {
    cpu.synchroniseContext();
    return this.node.latencies.isbPs;
  }

  /** An operation of another core reached this node. */
  onMaintain(from: number, operation: number, core: number, address: number, at: number): void {
    let waits = false;
    for (const cpu of this.node.cpus) {
      const isOther = from !== this.node.id || cpu.core !== core;
      if (isOther && !(this.hasVmids && this.isForeign(from, core, cpu, operation)))
        this.apply(cpu, operation, address);
      // Bug 15: the answer goes before accesses through the dead entry have ended.
      if (operation < link.IC_IVAU && cpu.readsInFlight > 0 && !waits && !this.answersEarly) {
        waits = true;
        cpu.waitingForReads.push(from, core, at);
      }
    }
    if (!waits) this.answer(from, core, at, operation < link.IC_IVAU ? at : -1);
  }

  /** Bugs 20, 21 and 32: TLBIs reach cores whose VMID is that of the core that issues them. */
  private isForeign(from: number, core: number, cpu: Vcpu, operation: number): boolean {
    const { bugs } = this.node.spec;
    return operation < link.IC_IVAU && vmidOf(bugs, from, core) !== vmidOf(bugs, this.node.id, cpu.core);
  }

  /** T4: no access that was translated before a TLBI arrived at `since` is under way when it is answered. */
  private checkReads(from: number, core: number, at: number, since: number): void {
    for (const { cpu, readsInFlight, readSince } of this.node.cpus) {
      if (readsInFlight === 0 || readSince >= since) continue;
      const text = `the TLBI of core ${core} of node ${from} is answered at ${at / 1000} ns, and CPU ${cpu} still reads through what it translated at ${readSince / 1000} ns`;
      this.node.observations.report('T4', text, at);
      return;
    }
  }

  /** Tells the issuing core that an operation is over here; `since`: when it arrived, if it is a TLBI. */
  answer(from: number, core: number, at: number, since = -1): void {
    if (since >= 0) this.checkReads(from, core, at, since);
    if (from === this.node.id) this.node.maintained(core, at);
    else this.node.sendMaintenance(from, link.MAINTAINED, 0, core, 0, at);
  }

  /** A core's read has been sampled: TLBIs that waited for it are answered, unless another core's read is older still. */
  readSampled(cpu: Vcpu, at: number): void {
    cpu.readsInFlight--;
    if (cpu.readsInFlight > 0) return;
    const waiting = cpu.waitingForReads.splice(0);
    for (let i = 0; i < waiting.length; i += 3) {
      const other = this.node.cpus.find((candidate) => candidate.readsInFlight > 0);
      if (other !== undefined) other.waitingForReads.push(waiting[i]!, waiting[i + 1]!, waiting[i + 2]!);
      else this.answer(waiting[i]!, waiting[i + 1]!, at, waiting[i + 2]!);
    }
  }

  /** What an operation does to one core. */
  apply(cpu: Vcpu, operation: number, address: number): void {
    switch (operation) {
      case link.TLBI_VAAE1IS:
        cpu.tlb.invalidate(address);
        for (const tables of cpu.stage1Tables) tables.invalidate(address);
        break;
      case link.TLBI_IPAS2E1IS:
        // Stage 2 alone: combined entries stay until stage 1 is invalidated too ([arm64 reference 7.3]).
        cpu.stage2Leaves.invalidate(address);
        for (const tables of cpu.stage2Tables) tables.invalidate(address);
        break;
      case link.TLBI_VMALLE1IS:
        cpu.tlb.invalidateAll();
        for (const tables of cpu.stage1Tables) tables.invalidateAll();
        break;
      case link.TLBI_VMALLS12E1IS:
        cpu.tlb.invalidateAll();
        cpu.stage2Leaves.invalidateAll();
        for (const tables of cpu.stage1Tables) tables.invalidateAll();
        for (const tables of cpu.stage2Tables) tables.invalidateAll();
        break;
      case link.IC_IVAU:
        cpu.l1i.invalidate(address);
        return;
      default:
        cpu.l1i.invalidateAll();
        return;
    }
    cpu.invalidations++;
    cpu.microEnd = -1;
  }

  /** DC CVAU of the line at `pa`, wherever it lives. */
  cleanLine(cpu: Vcpu, pa: number): Pause {
    const { node } = this;
    const line = alignDown(pa, LINE_BYTES);
    // With DIC the clean makes instruction caches drop the line: other cores notice, so it goes as a message to itself.
    if (node.memory.contains(line) && !node.spec.dic) node.coherence.clean(line);
    else {
      cpu.pendingMaintenance++;
      node.sendMemory(node.homeOf(line), link.CLEAN_LINE, line, cpu.core, 0, null, cpu.time);
    }
    return node.latencies.dcCvauPs;
  }

  /** IC IVAU of the line at `pa`. */
  invalidateLine(cpu: Vcpu, pa: number): Pause {
    return this.broadcast(cpu, link.IC_IVAU, alignDown(pa, LINE_BYTES));
  }

  /** TLBI of both stages' entries for a stage-2 leaf, in the order that combined entries need ([arm64 reference 7.3]). */
  *tlbiStage2(cpu: Vcpu, ipa: number): Step<void> {
    yield this.broadcast(cpu, link.TLBI_IPAS2E1IS, ipa);
    yield this.dsb(cpu);
    yield this.broadcast(cpu, link.TLBI_VMALLE1IS, 0);
    yield this.dsb(cpu);
    yield this.isb(cpu);
  }

  /** Makes [pa, pa + bytes) visible to instruction fetches, as caches_clean_inval_pou does ([arm64 reference 5.4]). */
  *cleanInvalidate(cpu: Vcpu, pa: number, bytes: number): Step<void> {
    const { node } = this;
    const { spec } = node;
    const first = alignDown(pa, LINE_BYTES);
    for (let line = first; !spec.idc && line < pa + bytes; line += LINE_BYTES) {
      const clean = this.cleanLine(cpu, line);
      if (!node.passes(cpu, clean)) yield clean;
    }
    const cleaned = this.dsb(cpu);
    if (!node.passes(cpu, cleaned)) yield cleaned;
    if (!spec.dic) {
      const before = this.numbersFrom(first, pa + bytes);
      for (let line = first; line < pa + bytes; line += LINE_BYTES) {
        const invalidate = this.broadcast(cpu, link.IC_IVAU, line);
        if (!node.passes(cpu, invalidate)) yield invalidate;
      }
      const invalidated = this.dsb(cpu);
      if (!node.passes(cpu, invalidated)) yield invalidated;
      this.checkLines(first, before);
    }
    const synchronised = this.isb(cpu);
    if (!node.passes(cpu, synchronised)) yield synchronised;
  }

  /** Write numbers that fetches of local lines from `first` on would see now. */
  private numbersFrom(first: number, end: number): number[] {
    const { node } = this;
    const numbers: number[] = [];
    for (let line = first; line < end && node.memory.contains(line); line += LINE_BYTES) {
      node.coherence.readLine(line, this.checkedLine, 0, true);
      for (let i = 1; i < LINE_CELLS; i += 2) numbers.push(this.checkedLine[i]!);
    }
    return numbers;
  }

  /**
   * T5 for instruction caches: maintenance of the lines from `first` on, which held `numbers` when it began, is complete, so
   * no core of this node has an older line. Other nodes' cores, which may hold lines of shared granules, are not looked at.
   */
  private checkLines(first: number, numbers: readonly number[]): void {
    const { node } = this;
    for (let at = 0; at < numbers.length; at += LINE_CELLS / 2) {
      const pa = first + (at / (LINE_CELLS / 2)) * LINE_BYTES;
      for (const { cpu, l1i } of node.cpus) {
        this.linesChecked++;
        const line = l1i.lookup(pa);
        for (let i = 0; line >= 0 && i < LINE_CELLS / 2; i++) {
          const number = l1i.cells[line * LINE_CELLS + 2 * i + 1]!;
          if (number >= numbers[at + i]!) continue;
          const text = `write ${numbers[at + i]} was stored at PA 0x${(pa + 4 * i).toString(16)} and its maintenance is complete, and the L1I of CPU ${cpu} still has write ${number}`;
          node.observations.report('T5', text, node.time);
          return;
        }
      }
    }
  }

  /** What becomes of an operation that the table editor asks for, after one of kind `last`; null: it is left out. */
  private asBugsHaveIt(op: TableOp, last: TableOp['op'] | null): TableOp | null {
    const { editBugs, node } = this;
    if (editBugs === null) return op;
    const { granule } = node.spec;
    if (op.op === 'dsb' && last === 'tlbi' && editBugs.noDsb) return null;
    if (op.op !== 'tlbi') return op;
    if (editBugs.noTlbi) return null;
    const isWrong = editBugs.wrongIpa && op.kind === 'ipas2e1is';
    return isWrong ? { ...op, ipa: op.ipa! + GRANULES[granule].bytes } : op;
  }

  /** Performs what the table editor asks for between its stores. */
  *perform<Result>(cpu: Vcpu, edit: Generator<TableOp, Result>): Step<Result> {
    let last: TableOp['op'] | null = null;
    for (;;) {
      const step = edit.next();
      if (step.done === true) return step.value;
      const op = this.asBugsHaveIt(step.value, last);
      last = step.value.op;
      if (op === null) continue;
      if (op.op === 'isb') yield this.isb(cpu);
      else if (op.op === 'dsb') yield this.dsb(cpu);
      else if (op.op === 'tlbi') yield this.broadcast(cpu, TLBI_OF[op.kind]!, op.ipa ?? 0);
      this.node.tableOps?.performed(op, 0);
    }
  }
}

const TLBI_OF: Readonly<Record<string, number>> = {
  ipas2e1is: link.TLBI_IPAS2E1IS,
  vmalle1is: link.TLBI_VMALLE1IS,
  vmalls12e1is: link.TLBI_VMALLS12E1IS,
  vmalls12e1: link.TLBI_VMALLS12E1IS,
};
