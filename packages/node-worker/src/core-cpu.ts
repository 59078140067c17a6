import { alignDown, type Step, toVa, WAIT } from '@numalab/base';
import * as link from '@numalab/interconnect';
import type { KernelCpu, KernelLock } from '@numalab/kernel';
import {
  ACCESS_READ,
  ACCESS_WRITE,
  a64,
  aimStore,
  decodeStore,
  STORE_EXCLUSIVE,
  STORE_OK,
  StoreAccess,
  stage1LeafHi,
  stage1LeafLo,
  TLB_WRITE,
} from '@numalab/machine';
import { EMULATED, RETRY } from './el2.ts';
import { FIXMAP_TEXT_POKE, linearVa } from './layout.ts';
import type { NodeProcess } from './node.ts';
import { FIXMAP_ATTRS } from './stage1-map.ts';
import { storeToWords } from './store-to-words.ts';
import type { Vcpu } from './vcpu.ts';

const LOCK_IDS: Readonly<Record<KernelLock, number>> = {
  patch_lock: link.LOCK_PATCH,
  text_mutex: link.LOCK_TEXT,
  stop_machine: link.LOCK_STOP,
};

/** The plain stores of the kernel's copy routine: X1 (or W1) to [X0]. */
const STR_W = a64.str(a64.SIZE_WORD, 1, 0);
const STR_X = a64.str(a64.SIZE_DOUBLE, 1, 0);

/** One core of a node, as kernel code sees it. */
export class CoreCpu implements KernelCpu {
  private readonly node: NodeProcess;
  private readonly cpu: Vcpu;
  private readonly access = new StoreAccess();
  /** By word the numbers of this core's stores to the primary, for the kernel's own stores to other copies. */
  private readonly numbers = new Map<number, number>();
  /** Where the copy routine's stores stand, by size. */
  private readonly copyStores: Readonly<Record<4 | 8, number>>;

  constructor(node: NodeProcess, cpu: Vcpu) {
    this.node = node;
    this.cpu = cpu;
    this.copyStores = { 4: node.gadget(STR_W), 8: node.gadget(STR_X) };
  }

  *lock(lock: KernelLock): Step<void> {
    const { node, cpu } = this;
    if (lock === 'patch_lock') cpu.masked = true;
    else cpu.preemptible = true;
    cpu.granted = false;
    cpu.wanted = LOCK_IDS[lock];
    node.sendMemory(0, link.LOCK, LOCK_IDS[lock], cpu.core, 0, null, cpu.time);
    while (!cpu.granted) yield WAIT;
    cpu.preemptible = false;
    cpu.wanted = -1;
  }

  *unlock(lock: KernelLock): Step<void> {
    const { node, cpu } = this;
    node.sendMemory(0, link.UNLOCK, LOCK_IDS[lock], cpu.core, 0, null, cpu.time);
    if (lock === 'patch_lock') node.unmask(cpu, false);
    yield node.latencies.storePs;
  }

  *setFixmap(offset: number): Step<number> {
    const { node, cpu } = this;
    const { config, fixmapEntry } = node.stage1;
    const page = node.layout.imageIpa + offset - ((node.layout.imageIpa + offset) % config.granule.bytes);
    yield this.storeEntry(
      fixmapEntry,
      stage1LeafLo(config, page, 3, FIXMAP_ATTRS),
      stage1LeafHi(config, page, 3, FIXMAP_ATTRS),
    );
    if (!this.hasBug('13')) yield node.maintenance.dsb(cpu);
    yield node.maintenance.isb(cpu);
    return FIXMAP_TEXT_POKE + (node.layout.imageIpa + offset - page);
  }

  *clearFixmap(): Step<void> {
    const { node, cpu } = this;
    yield this.storeEntry(node.stage1.fixmapEntry, 0, 0);
    yield node.maintenance.dsb(cpu);
    yield node.maintenance.broadcast(cpu, link.TLBI_VAAE1IS, FIXMAP_TEXT_POKE);
    yield node.maintenance.dsb(cpu);
    yield node.maintenance.isb(cpu);
  }

  /** Stores a stage-1 descriptor, as the kernel does, through its linear map and this node's stage 2. */
  private *storeEntry(ipa: number, lo: number, hi: number): Step<void> {
    const { node, cpu } = this;
    // The tables lie outside the linear map that numalab builds, so the VA step is left out: stage 2 is not.
    if (!(yield node.reach(cpu, ipa, ACCESS_WRITE))) return;
    if (this.hasBug('13')) node.coherence.post(cpu, ipa, [lo, hi], 0);
    else yield node.coherence.store(cpu, ipa, [lo, hi], 0);
  }

  linearAlias(offset: number): number {
    return linearVa(this.node.spec, this.node.layout.imageIpa + offset);
  }

  imageAlias(offset: number): number {
    return this.node.spec.kernel.linkVa + offset;
  }

  copyAliases(offset: number): readonly number[] {
    const { spec, layout } = this.node;
    if (spec.strategy !== 'stage1' || offset < layout.spanStart || offset >= layout.spanEnd) return [];
    return layout.copyPa.slice(1).map((copy) => linearVa(spec, copy + offset - layout.spanStart));
  }

  hasBug(id: string): boolean {
    return this.node.spec.bugs.includes(id);
  }

  isOnNode0(): boolean {
    return this.node.id === 0;
  }

  *store(va: number, words: readonly number[]): Step<boolean> {
    const { access } = this;
    const { registers } = this.cpu;
    registers.setAddress(0, va);
    registers.set(1, words[0]!, words[1] ?? 0);
    const size = words.length === 2 ? 8 : 4;
    if (!decodeStore(size === 8 ? STR_X : STR_W, registers, access) || access.fault !== STORE_OK) return false;
    return (yield this.run(this.copyStores[size])) as boolean;
  }

  *execute(gadget: number, word: number, va: number, data: Uint8Array): Step<boolean> {
    const { node, cpu } = this;
    const { registers, monitor } = cpu;
    if (!aimStore(word, registers, va, data, this.access)) return false;
    if (this.access.kind === STORE_EXCLUSIVE) {
      // The load-exclusive before it: it arms the monitor if the line can be read.
      if (!(yield node.mmu.access(cpu, va, ACCESS_READ))) return false;
      monitor.arm(va, this.access.bytes);
    }
    return (yield this.run(gadget)) as boolean;
  }

  /** Executes the store at offset `gadget`, of which `access` is what it does. False if an abort came back. */
  private *run(gadget: number): Step<boolean> {
    const { node, cpu } = this;
    cpu.registers.pc = toVa(node.spec.kernel.linkVa + gadget);
    for (;;) {
      const outcome = yield this.attempt();
      if (outcome !== RETRY) {
        cpu.trappedAt = -1;
        return outcome === EMULATED;
      }
      while (cpu.givenUp) yield WAIT;
    }
  }

  /** One attempt: RETRY if EL2 says so, EMULATED if the store is over by trap or natively, else the abort. */
  private *attempt(): Step<number> {
    const { node, cpu, access } = this;
    const { va, bytes } = access;
    const last = va + bytes - 1;
    const page = node.stage1.config.granule.bytes;
    // The halves of a store that straddles a page are translated apart; the first that faults is reported.
    const parts = Math.floor(va / page) === Math.floor(last / page) ? [va] : [va, alignDown(last, page)];
    const pas: number[] = [];
    for (const part of parts) {
      const isHit = node.mmu.hit(cpu, part, ACCESS_WRITE) && (cpu.translatedPermissions & TLB_WRITE) !== 0;
      const fault = isHit ? 0 : ((yield node.mmu.translate(cpu, part, ACCESS_WRITE)) as number);
      if (fault > 0) {
        cpu.faults++;
        return cpu.faultStage2 ? ((yield node.el2.storeAbort(cpu, access, part, fault)) as number) : -1;
      }
      if (fault < 0) return RETRY;
      pas.push(cpu.translatedPa);
    }
    yield this.performNatively(parts, pas);
    return EMULATED;
  }

  /** Nothing trapped: reads the words around, lets the core execute, stores what changed. */
  private *performNatively(parts: readonly number[], pas: readonly number[]): Step<void> {
    const { node, cpu, access } = this;
    const { va, bytes } = access;
    const paOf = (at: number): number => {
      const part = parts.length === 2 && at >= parts[1]! ? 1 : 0;
      return pas[part]! + (at - parts[part]!);
    };
    const first = alignDown(va, 4);
    const words: number[] = [];
    for (let at = first; at < va + bytes; at += 4) {
      const aligned = at < va ? paOf(va) - (va - at) : paOf(at);
      words.push(bytes % 4 === 0 && (va & 3) === 0 && !access.atomic ? 0 : yield* node.coherence.load32(cpu, aligned));
    }
    if (!storeToWords(access, cpu.registers, cpu.monitor, words)) return;
    const begin = cpu.time;
    for (let i = 0, at = first; i < words.length; i++, at += 4) {
      const pa = at < va ? paOf(va) - (va - at) : paOf(at);
      const word = node.directTextWord(pa);
      if (word >= 0) node.sendProbes(word, false, cpu.time);
      cpu.replyNumber = 0;
      const copied = word >= 0 && node.homeOf(pa) > 0 ? this.numbers.get(word)! : -1;
      yield node.coherence.store(cpu, pa, [words[i]!], copied);
      const number = cpu.replyNumber;
      if (number <= 0 || copied > 0) continue;
      node.directStores.push({ word, number, begin, end: -1, core: cpu.core });
      this.numbers.set(word, number);
    }
  }

  *loadText(offset: number): Step<number> {
    const { node, cpu } = this;
    const issue = cpu.time;
    const value = yield* node.walk.loadWord(cpu, offset);
    const end = cpu.time;
    node.comparisons.push({
      word: offset >> 2,
      cpu: cpu.cpu,
      issue,
      end,
      value,
      number: cpu.replyNumber,
      expected: -1,
    });
    return value;
  }

  *cleanInvalidate(va: number, bytes: number): Step<void> {
    const { node, cpu } = this;
    const page = node.stage1.config.granule.bytes;
    // By VA: pages that follow each other need not be mapped so.
    for (let at = va; at < va + bytes; ) {
      const end = Math.min(va + bytes, alignDown(at, page) + page);
      if (!(yield node.mmu.access(cpu, at, ACCESS_READ))) return;
      yield node.maintenance.cleanInvalidate(cpu, cpu.translatedPa, end - at);
      at = end;
    }
  }

  *cleanAlternatives(vas: readonly number[]): Step<void> {
    const { node, cpu } = this;
    for (const va of vas) {
      if (!(yield node.mmu.access(cpu, va, ACCESS_READ))) continue;
      yield node.maintenance.cleanLine(cpu, cpu.translatedPa);
    }
    yield node.maintenance.dsb(cpu);
    yield node.maintenance.broadcast(cpu, link.IC_IALLUIS, 0);
    yield node.maintenance.dsb(cpu);
    yield node.maintenance.isb(cpu);
  }

  storesOver(): void {
    this.numbers.clear();
    this.node.endStores(this.cpu);
  }

  *kickAllCpus(): Step<void> {
    yield this.interruptAll(link.IPI_CALL);
  }

  private *interruptAll(purpose: number): Step<void> {
    this.sendInterrupts(purpose);
    yield this.interruptsTaken();
  }

  private sendInterrupts(purpose: number): void {
    const { node, cpu } = this;
    cpu.pendingInterruptAcks = node.spec.nodes;
    for (let to = 0; to < node.spec.nodes; to++) {
      node.sendInterrupt(to, link.INTERRUPT, purpose, cpu.core, cpu.time);
    }
  }

  private *interruptsTaken(): Step<void> {
    while (this.cpu.pendingInterruptAcks > 0) yield WAIT;
  }

  *stopMachine(body: () => Step<void>): Step<void> {
    const { node, cpu } = this;
    yield this.lock('stop_machine');
    this.sendInterrupts(link.IPI_PARK);
    // Bugs 1 and 2: the first core to arrive patches, not the last. With 2 it waits for the others afterwards; with 1 those
    // that arrive late miss their release.
    if (!this.hasBug('1') && !this.hasBug('2')) yield this.interruptsTaken();
    yield body();
    if (this.hasBug('2')) yield this.interruptsTaken();
    for (let to = 0; to < node.spec.nodes; to++) node.sendInterrupt(to, link.RESUME, 0, cpu.core, cpu.time);
    yield node.maintenance.isb(cpu);
    yield this.unlock('stop_machine');
  }

  synchronised(stretches: readonly { readonly offset: number; readonly size: number }[], isStopped: boolean): void {
    for (const { offset, size } of stretches)
      for (let word = offset >> 2; word < (offset + size + 3) >> 2; word++) this.synchronisedWord(word, isStopped);
  }

  private synchronisedWord(word: number, isStopped: boolean): void {
    const { node, cpu } = this;
    node.synchronisations.push({ word, time: cpu.time, cpu: cpu.cpu, isStopped });
    node.trace?.add(cpu.time, link.TRACE_SYNCHRONISED, node.id, word, cpu.cpu, 0, null);
  }

  lost(offset: number): void {
    const text = `CPU ${this.cpu.cpu}: the store to offset 0x${offset.toString(16)} came back as an abort`;
    this.node.observations.report('R2', text, this.cpu.time);
  }

  mismatch(_offset: number, expected: number, _found: number): void {
    this.node.comparisons.findLast(({ cpu }) => cpu === this.cpu.cpu)!.expected = expected;
  }
}
