import { alignDown, DONE, type Step, toVa, WAIT } from '@numalab/base';
import type { KernelCpu, KernelLock } from '@numalab/kernel';
import {
  ACCESS_READ,
  ACCESS_WRITE,
  a64,
  aimStore,
  decodeStore,
  STORE_COMPARE,
  STORE_EXCLUSIVE,
  STORE_OK,
  stage1LeafHi,
  stage1LeafLo,
} from '@numalab/machine';
import { FIXMAP_TEXT_POKE, linearVa } from '../layout.ts';
import { FIXMAP_ATTRS } from '../stage1-map.ts';
import type { LiveCpu } from './live-cpu.ts';
import { ABORTED, OVER, SUBMITTED, TRY_AGAIN } from './live-el2.ts';
import type { LiveNode } from './live-node.ts';
import { KICK, LOCKS, STOPPER, STOPS, WAITERS } from './shared-words.ts';
import { over } from './steps-runner.ts';

const LOCK_WORDS: Readonly<Record<KernelLock, number>> = {
  patch_lock: LOCKS,
  text_mutex: LOCKS + 16,
  stop_machine: LOCKS + 32,
};

/** A stopper's word is its core plus 1, and above it a count that tells one stop from the next; 0 if nobody stops all others. */
const STOPPER_CORES = 2 ** 14;
const STOP_COUNTS = 2 ** 16;

/** The core has performed the store itself: nothing trapped. */
const PERFORMED = -1;

/** The plain stores of the kernel's copy routine: X1 (or W1) to [X0]. */
const STR_W = a64.str(a64.SIZE_WORD, 1, 0);
const STR_X = a64.str(a64.SIZE_DOUBLE, 1, 0);

/** Where the copy routine's stores stand, by size. */
export interface CopyStores {
  readonly word: number;
  readonly double: number;
}

/** Finds the copy routine's stores in the text of `node`. */
export const copyStoresOf = (node: LiveNode): CopyStores => ({ word: node.gadget(STR_W), double: node.gadget(STR_X) });

/**
 * One core as kernel code sees it, in a live run. What it shares with cores of other threads are words: locks, the number of
 * the last kick, who stops all others. A task that waits for one of these looks at it in every turn of its thread, which is
 * woken when one changes.
 */
export class LiveKernelCpu implements KernelCpu {
  /** What it does now, an earlier life of the node has perhaps done, in part or wholly. */
  redoes = false;
  private readonly node: LiveNode;
  private readonly cpu: LiveCpu;
  private readonly copyStores: CopyStores;
  /** What a compare-and-swap is to find. */
  private readonly expected = new Uint8Array(16);
  /** Numbers of this core's last writes, by word, since its last synchronisation. */
  private readonly written = new Map<number, number>();

  constructor(node: LiveNode, cpu: LiveCpu, copyStores: CopyStores) {
    this.node = node;
    this.cpu = cpu;
    this.copyStores = copyStores;
  }

  private *until(holds: () => boolean): Step<void> {
    const { cpu, node } = this;
    if (holds()) return;
    Atomics.add(node.words, WAITERS, 1);
    cpu.polls = true;
    while (!holds()) yield WAIT;
    cpu.polls = false;
    Atomics.sub(node.words, WAITERS, 1);
  }

  *lock(lock: KernelLock): Step<void> {
    const { node, cpu } = this;
    const word = LOCK_WORDS[lock];
    if (lock === 'patch_lock') cpu.masked = true;
    else cpu.preemptible = true;
    yield this.until(() => node.control.tryLock(word, cpu.cpu + 1));
    cpu.preemptible = false;
  }

  unlock(lock: KernelLock): Step<void> {
    const { node, cpu } = this;
    node.control.unlock(LOCK_WORDS[lock]);
    if (lock === 'patch_lock') cpu.masked = false;
    node.announce();
    return DONE;
  }

  setFixmap(offset: number): Step<number> {
    const { node } = this;
    const { config, fixmapEntry } = node.mmu.stage1;
    const page = node.layout.imageIpa + offset - ((node.layout.imageIpa + offset) % config.granule.bytes);
    // The half with the valid bit last: a walk of another core that reads both halves sees no entry until all of it is there.
    this.storeEntry(
      fixmapEntry,
      stage1LeafLo(config, page, 3, FIXMAP_ATTRS),
      stage1LeafHi(config, page, 3, FIXMAP_ATTRS),
    );
    return over(FIXMAP_TEXT_POKE + (node.layout.imageIpa + offset - page));
  }

  clearFixmap(): Step<void> {
    const { node } = this;
    this.storeEntry(node.mmu.stage1.fixmapEntry, 0, 0);
    node.maintenance.tlbiVa(FIXMAP_TEXT_POKE);
    node.maintenance.complete();
    node.tlbis++;
    return DONE;
  }

  private storeEntry(ipa: number, lo: number, hi: number): void {
    const { node, cpu } = this;
    if (!node.el2.reach(cpu, ipa, ACCESS_WRITE)) return;
    const pa = node.mmu.pa2;
    const memory = node.mmu.memoryOf(pa);
    if (lo === 0) memory.store32(pa, lo);
    memory.store32(pa + 4, hi);
    if (lo !== 0) memory.store32(pa, lo);
    node.maintenance.complete();
  }

  linearAlias(offset: number): number {
    return linearVa(this.node.spec, this.node.layout.imageIpa + offset);
  }

  imageAlias(offset: number): number {
    return this.node.spec.kernel.linkVa + offset;
  }

  copyAliases(_offset: number): readonly number[] {
    return [];
  }

  isOnNode0(): boolean {
    return this.node.id === 0;
  }

  *store(va: number, words: readonly number[]): Step<boolean> {
    const { registers, access } = this.cpu;
    registers.setAddress(0, va);
    registers.set(1, words[0]!, words[1] ?? 0);
    const wide = words.length === 2;
    if (!decodeStore(wide ? STR_X : STR_W, registers, access) || access.fault !== STORE_OK) return false;
    return (yield this.run(wide ? this.copyStores.double : this.copyStores.word)) as boolean;
  }

  execute(gadget: number, word: number, va: number, data: Uint8Array): Step<boolean> {
    const { registers, access } = this.cpu;
    if (!aimStore(word, registers, va, data, access)) return over(false);
    if (access.kind === STORE_EXCLUSIVE) return this.executeExclusive(gadget, va);
    return access.kind === STORE_COMPARE ? this.executeCompare(gadget, word, va, data) : this.run(gadget);
  }

  /** Loads what a store-exclusive is to find marked, and executes it. */
  private *executeExclusive(gadget: number, va: number): Step<boolean> {
    const { node, cpu } = this;
    while (!node.el2.access(cpu, va, ACCESS_READ)) {
      if (cpu.waitsForPage < 0) return false;
      yield this.until(() => cpu.waitsForPage < 0);
    }
    cpu.monitor.arm(va, cpu.access.bytes);
    return (yield this.run(gadget)) as boolean;
  }

  /** Loads what a compare-and-swap is to find, and executes it: it writes nothing only if another core has been faster. */
  private *executeCompare(gadget: number, word: number, va: number, data: Uint8Array): Step<boolean> {
    const { cpu, expected } = this;
    const { registers, access } = cpu;
    const offset = va - this.linearAlias(0);
    let value = 0;
    for (let i = 0; i < access.bytes; i++) {
      if (i === 0 || ((offset + i) & 3) === 0) value = (yield this.load((offset + i) & ~3)) as number;
      if (value < 0) return false;
      expected[i] = value >>> (8 * ((offset + i) & 3));
    }
    return aimStore(word, registers, va, data, access, expected) && ((yield this.run(gadget)) as boolean);
  }

  /** Executes the store at offset `gadget`, of which `cpu.access` is what it does. False if an abort came back. */
  private *run(gadget: number): Step<boolean> {
    const { node, cpu } = this;
    const { el2 } = node;
    cpu.registers.pc = toVa(node.spec.kernel.linkVa + gadget);
    for (;;) {
      const outcome = this.attempt();
      if (outcome === TRY_AGAIN) {
        if (cpu.waitsForPage >= 0) yield this.until(() => cpu.waitsForPage < 0);
        continue;
      }
      if (outcome === ABORTED) {
        cpu.trappedTick = -1;
        return false;
      }
      if (outcome === SUBMITTED) while (cpu.replyNumber < 0) yield WAIT;
      if (outcome === PERFORMED) {
        this.notePerformed();
        // Nothing is waited for, and other cores of the node have a turn too: before the maintenance, where it can show.
        cpu.ready = true;
        yield WAIT;
      } else {
        if (outcome !== OVER) this.noteWritten(cpu.trappedOffset, cpu.store.size);
        el2.finish(cpu);
      }
      return true;
    }
  }

  private notePerformed(): void {
    const last = this.cpu.openStores.at(-1);
    if (last?.number === this.cpu.replyNumber) this.noteWritten(last.word * 4, last.count * 4);
  }

  private noteWritten(offset: number, size: number): void {
    const { cpu, node } = this;
    if (!node.synchronises || cpu.replyNumber <= 0) return;
    const first = offset >> 2;
    const last = (offset + size - 1) >> 2;
    for (let word = first; word <= last; word++) this.written.set(word, cpu.replyNumber);
  }

  private attempt(): number {
    const { node, cpu } = this;
    const { va, bytes } = cpu.access;
    const page = node.mmu.stage1.config.granule.bytes;
    // The halves of a store that straddles a page are translated apart; the first that faults is reported.
    const first = this.translate(va);
    if (first !== 0) return this.afterFault(va, first);
    const pa = cpu.translatedPa;
    if ((va & (page - 1)) + bytes <= page) return this.perform(pa);
    const next = alignDown(va, page) + page;
    const second = this.translate(next);
    return second === 0 ? this.perform(pa) : this.afterFault(next, second);
  }

  /** No table forbids the store. Text is one stretch of memory where it has one copy. */
  private perform(pa: number): number {
    const { node, cpu } = this;
    return node.native?.perform(cpu, pa) === true ? PERFORMED : node.untrapped(cpu);
  }

  private afterFault(far: number, status: number): number {
    const { node, cpu } = this;
    return cpu.faultStage2 ? node.el2.storeAbort(cpu, cpu.access, far, status) : ABORTED;
  }

  private translate(va: number): number {
    const { node, cpu } = this;
    node.takeTlbis(cpu);
    if (node.mmu.hit(cpu, va, ACCESS_WRITE)) return 0;
    return node.mmu.translate(cpu, va, ACCESS_WRITE);
  }

  loadText(offset: number): Step<number> {
    const { node } = this;
    if (!node.contested.has(offset >> 2)) node.compared++;
    return this.load(offset);
  }

  /** The word of text at `offset`, through the kernel's own mapping; -1 if an abort came back. */
  private *load(offset: number): Step<number> {
    const { node, cpu } = this;
    for (;;) {
      const value = node.fetch.load(cpu, offset);
      if (value >= 0 || cpu.waitsForPage < 0) return value;
      yield this.until(() => cpu.waitsForPage < 0);
    }
  }

  cleanInvalidate(va: number, bytes: number): Step<void> {
    const end = va + bytes;
    const at = this.cleanReachable(va, end);
    return at === end || this.cpu.waitsForPage < 0 ? DONE : this.cleanRest(at, end);
  }

  private *cleanRest(va: number, end: number): Step<void> {
    const { cpu } = this;
    for (let at = va; at < end && cpu.waitsForPage >= 0; at = this.cleanReachable(at, end)) {
      yield this.until(() => cpu.waitsForPage < 0);
    }
  }

  /** By VA, page after page, because pages that follow each other need not be mapped so. Returns where it had to stop. */
  private cleanReachable(va: number, end: number): number {
    const { node, cpu } = this;
    const page = node.mmu.stage1.config.granule.bytes;
    for (let at = va; at < end; ) {
      node.takeTlbis(cpu);
      if (!node.el2.access(cpu, at, ACCESS_READ)) return at;
      const next = Math.min(end, alignDown(at, page) + page);
      node.el2.invalidateLines(cpu.translatedPa, next - at);
      at = next;
    }
    node.endStores(cpu);
    return end;
  }

  cleanAlternatives(_offsets: readonly number[]): Step<void> {
    this.node.maintenance.invalidateLines();
    this.node.maintenance.complete();
    this.node.endStores(this.cpu);
    return DONE;
  }

  storesOver(): void {
    this.node.endStores(this.cpu);
  }

  *kickAllCpus(): Step<void> {
    const { node } = this;
    const kick = node.control.count(KICK);
    node.announce();
    yield this.until(() => node.allTook(kick));
  }

  *stopMachine(body: () => Step<void>): Step<void> {
    const { node, cpu } = this;
    yield this.lock('stop_machine');
    const stops = node.control.count(STOPS) % STOP_COUNTS;
    const stopper = stops * STOPPER_CORES + cpu.cpu + 1;
    node.control.publish(STOPPER, stopper);
    // Known everywhere before anybody is left out who is down: a node that comes up looks at it after it has said so.
    node.maintenance.complete();
    node.announce();
    yield this.until(() => node.allStopped(stopper));
    yield body();
    node.control.publish(STOPPER, 0);
    yield this.unlock('stop_machine');
  }

  hasBug(id: string): boolean {
    return this.node.spec.bugs.includes(id);
  }

  /** In real time nobody can tell when the first store began for another core: from the return on, whatever the writer. */
  synchronised(stretches: readonly { readonly offset: number; readonly size: number }[]): void {
    const { node, cpu, written } = this;
    for (const { offset, size } of stretches) {
      for (let word = offset >> 2; word < (offset + size + 3) >> 2; word++) {
        const number = written.get(word);
        if (number !== undefined) node.checks.synchronised(word, number);
        node.noteSynchronisation(word, cpu.cpu);
      }
    }
    written.clear();
  }

  lost(offset: number): void {
    const text = `CPU ${this.cpu.cpu}: the store to offset 0x${offset.toString(16)} came back as an abort`;
    this.node.checks.report('R2', text);
  }

  /** Of a word that another vCPU patches too, no writer can know what it holds. */
  mismatch(offset: number, expected: number, found: number): void {
    if (this.redoes || this.node.contested.has(offset >> 2)) return;
    const text = `CPU ${this.cpu.cpu} compared offset 0x${offset.toString(16)} with ${expected.toString(16)} before patching and found ${found.toString(16)}`;
    this.node.checks.report('K1', text);
  }
}

/** The core that stops all others, or -1. */
export const stoppingCpu = (stopper: number): number => (stopper % STOPPER_CORES) - 1;
