import { alignDown, assert, type Step, WAIT } from '@numalab/base';
import * as link from '@numalab/interconnect';
import { LINE_BYTES, LINE_CELLS, type TagCache } from '@numalab/machine';
import { APPLY_STORE } from './apply-log.ts';
import { homeOf } from './layout.ts';
import type { NodeProcess } from './node.ts';
import { SERVED_L2, SERVED_LLC, SERVED_LOCAL, SERVED_REMOTE, type Vcpu } from './vcpu.ts';

/** Lines that may be dirty at once before the oldest is written back (CTR_EL0.IDC = 0). */
const DIRTY_LINES = 64;

const NOBODY: readonly number[] = [];

interface PendingStore {
  readonly requester: number;
  readonly core: number;
  readonly number: number;
  missing: number;
}

/**
 * Memory as the cores of one node reach it. Only its home node ever touches memory. Another node reads whole lines from the
 * home, and keeps them in its last-level cache, with contents; the home knows who has a line and makes them drop it before
 * a store to it is over. So data are coherent, as on real hardware; instruction caches (see {@link InstructionCache}) are not.
 */
export class Coherence {
  readonly llc: TagCache;
  private readonly node: NodeProcess;
  /** Contents of other nodes' lines in this node's last-level cache. */
  private readonly remoteLines = new Map<number, Uint32Array>();
  /** Who may hold a line of this node's memory. */
  private readonly sharers = new Map<number, number[]>();
  /** Lines stored to that instruction fetches do not see yet (CTR_EL0.IDC = 0). */
  private readonly dirty = new Map<number, Uint32Array>();
  private readonly pending = new Map<number, PendingStore>();
  private nextPending = 0;
  /** How the last {@link access} was served, and the PA's line if it was remote. */
  served: number = SERVED_L2;

  constructor(node: NodeProcess) {
    this.node = node;
    this.llc = node.hardware.llc;
  }

  /** Whether the line at `pa` can be read at once: it is local, or its contents are in the last-level cache. */
  isPresent(pa: number): boolean {
    if (this.node.memory.contains(pa)) return true;
    return this.remoteLines.has(alignDown(pa, LINE_BYTES)) && this.llc.has(pa);
  }

  /**
   * Time that core `cpu` takes to get the line at `pa`, which must be present; `served` says where from. Brings the line
   * into L2 and the last-level cache.
   */
  access(cpu: Vcpu, pa: number): number {
    const { latencies } = this.node;
    if (cpu.l2.access(pa)) {
      this.served = SERVED_L2;
      return latencies.l2Ps;
    }
    if (this.llc.access(pa)) {
      this.served = SERVED_LLC;
      return latencies.llcPs;
    }
    this.served = SERVED_LOCAL;
    return latencies.dramPs(this.node.id, this.node.id);
  }

  /** Reads a present line into `out`: 16 (word, number) pairs. `fetch`: as instruction fetches see it. */
  readLine(pa: number, out: Uint32Array, at: number, fetch: boolean): void {
    const line = alignDown(pa, LINE_BYTES);
    const copy = this.remoteLines.get(line) ?? (fetch ? undefined : this.dirty.get(line));
    if (copy === undefined) this.node.memory.readLine(line, out, at);
    else for (let i = 0; i < LINE_CELLS; i++) out[at + i] = copy[i]!;
  }

  /** Asks the home of `pa` for its line. The core must wait for the reply. */
  request(cpu: Vcpu, pa: number): void {
    const { node } = this;
    const home = homeOf(node.spec, pa);
    assert(home >= 0, 'a request for memory that no node has');
    if (cpu.readsInFlight++ === 0) cpu.readSince = cpu.time;
    this.served = SERVED_REMOTE;
    node.sendMemory(home, link.READ_LINE, alignDown(pa, LINE_BYTES), cpu.core, 0, null, cpu.time);
  }

  /** The home's side of {@link request}. */
  onReadLine(from: number, pa: number, core: number, at: number): void {
    const sharers = this.sharers.get(pa);
    if (sharers === undefined) this.sharers.set(pa, [from]);
    else if (!sharers.includes(from)) sharers.push(from);
    const line = this.node.hardware.takeLine();
    this.readLine(pa, line, 0, false);
    this.node.sendMemory(from, link.LINE, pa, core, 0, line, at);
  }

  /** The reply: the line enters the last-level cache. */
  onLine(pa: number, contents: Uint32Array): void {
    this.llc.access(pa);
    this.remoteLines.set(pa, contents);
  }

  /** Drops a coherent copy; with DIC the instruction caches too. */
  onDropLine(pa: number): void {
    this.remoteLines.delete(pa);
    this.llc.invalidate(pa);
    for (const cpu of this.node.cpus) {
      cpu.l2.invalidate(pa);
      if (this.node.spec.dic) this.node.dropInstructionLine(cpu, pa);
    }
  }

  /** {@link access} if the line at `pa` is here; -1: {@link load32} must wait for it. */
  tryAccess(cpu: Vcpu, pa: number): number {
    return this.isPresent(pa) ? this.access(cpu, pa) : -1;
  }

  /** The aligned word at `pa`, whose line must be present; the whole line is in the node's `scratchLine`. */
  word(cpu: Vcpu, pa: number): number {
    const line = this.node.scratchLine;
    this.readLine(pa, line, 0, false);
    const cell = ((pa & (LINE_BYTES - 1)) >>> 2) * 2;
    cpu.replyNumber = line[cell + 1]!;
    return line[cell]!;
  }

  /**
   * Loads the aligned word at `pa` for core `cpu`, waiting for another node if need be. Leaves the number beside it in
   * `cpu.replyNumber`, and the line in `scratchLine`.
   */
  *load32(cpu: Vcpu, pa: number): Step<number> {
    let remote = false;
    while (!this.isPresent(pa)) {
      remote = true;
      this.request(cpu, pa);
      yield WAIT;
    }
    if (!remote) {
      const cost = this.access(cpu, pa);
      if (!this.node.passes(cpu, cost)) yield cost;
    }
    // The line may have been dropped while the access took its time.
    return this.isPresent(pa) ? this.word(cpu, pa) : yield* this.load32(cpu, pa);
  }

  /**
   * Stores `words` at the aligned `pa` (bytes 4 × words.length, within one line), and returns when the store is visible to all data
   * accesses. `number` goes beside them if `pa` is text; -1 lets the home number it.
   */
  *store(cpu: Vcpu, pa: number, words: readonly number[], number: number): Step<void> {
    this.post(cpu, pa, words, number);
    while (cpu.pendingStores > 0) yield WAIT;
  }

  /** Begins a {@link store}; a DSB waits for it. */
  post(cpu: Vcpu, pa: number, words: readonly number[], number: number): void {
    this.node.sendMemory(homeOf(this.node.spec, pa), link.STORE, pa, cpu.core, number, words, cpu.time);
    cpu.pendingStores++;
  }

  /** The home's side of {@link store}. */
  onStore(from: number, pa: number, core: number, number: number, words: readonly number[], at: number): void {
    const assigned = number < 0 && this.node.isText(pa) ? this.node.nextStoreNumber(pa, words) : Math.max(0, number);
    // The kernel repeats in this node's copy what it has stored to the primary.
    if (number > 0 && this.node.spec.strategy === 'stage1') this.node.applyLog.stored(number, at);
    this.storeLocal(pa, words, assigned);
    if (from === this.node.spec.nodes) this.noteStored(assigned, at);
    const line = alignDown(pa, LINE_BYTES);
    const sharers = this.sharers.get(line);
    this.sharers.delete(line);
    const targets = sharers === undefined ? NOBODY : sharers.sort((x, y) => x - y);
    if (this.node.spec.dic) for (const cpu of this.node.cpus) this.node.dropInstructionLine(cpu, pa);
    if (targets.length === 0) {
      this.node.sendMemory(from, link.STORED, pa, core, assigned, null, at);
      return;
    }
    const key = this.nextPending++;
    this.pending.set(key, { requester: from, core, number: assigned, missing: targets.length });
    for (const target of targets) this.node.sendMemory(target, link.DROP_LINE, line, key, 0, null, at);
  }

  /**
   * Stores a word of this node's own copy again, unless it has another number by then: then a newer write is there, and the
   * word is left alone. Whether it was stored.
   */
  *mendText(cpu: Vcpu, pa: number, word: number, number: number): Step<boolean> {
    this.node.sendMemory(this.node.id, link.MEND, pa, cpu.core, number, [word], cpu.time);
    cpu.pendingStores++;
    while (cpu.pendingStores > 0) yield WAIT;
    return cpu.replyNumber === number;
  }

  /** The home's side of {@link mendText}: comparing and storing are one. */
  onMend(from: number, pa: number, core: number, number: number, words: readonly number[], at: number): void {
    const line = this.node.scratchLine;
    this.readLine(pa, line, 0, false);
    const found = line[((pa & (LINE_BYTES - 1)) >>> 2) * 2 + 1]!;
    if (found === number) this.onStore(from, pa, core, number, words, at);
    else this.node.sendMemory(from, link.STORED, pa, core, found, null, at);
  }

  /** The hypervisor's own store to this node's copy. One that spans lines comes in parts. */
  private noteStored(number: number, at: number): void {
    const { kinds, subjects } = this.node.applyLog;
    if (kinds.at(-1) !== APPLY_STORE || subjects.at(-1) !== number) this.node.applyLog.stored(number, at);
  }

  /** A sharer has dropped the line of store `key`. */
  onDropped(pa: number, key: number, at: number): void {
    const entry = this.pending.get(key)!;
    entry.missing--;
    if (entry.missing > 0) return;
    this.pending.delete(key);
    this.node.sendMemory(entry.requester, link.STORED, pa, entry.core, entry.number, null, at);
  }

  /** Stores words into this node's memory. With IDC = 0 text stays in a dirty line until it is cleaned. */
  storeLocal(pa: number, words: readonly number[], number: number): void {
    const { memory, spec } = this.node;
    if (spec.idc || !this.node.isText(pa)) {
      memory.writeNumber = number;
      for (let i = 0; i < words.length; i++) memory.store32(pa + 4 * i, words[i]! >>> 0);
      return;
    }
    for (let i = 0; i < words.length; i++) {
      const address = pa + 4 * i;
      const cells = this.dirtyLine(alignDown(address, LINE_BYTES));
      const cell = ((address & (LINE_BYTES - 1)) >>> 2) * 2;
      cells[cell] = words[i]!;
      cells[cell + 1] = number;
    }
  }

  /**
   * EL2's store to this node's own copy of the text. If other nodes may hold the line (shared granules) or instruction
   * caches must drop it by themselves (DIC), it goes the way of every store; else nobody else can notice.
   */
  *storeOwnText(cpu: Vcpu, pa: number, words: readonly number[], number: number): Step<void> {
    for (let i = 0; i < words.length; ) {
      const address = pa + 4 * i;
      const inLine = Math.min(words.length - i, (LINE_BYTES - (address % LINE_BYTES)) / 4);
      const part = words.slice(i, i + inLine);
      if (this.node.spec.dic || this.sharers.has(alignDown(address, LINE_BYTES))) {
        yield* this.store(cpu, address, part, number);
      } else this.storeLocal(address, part, number);
      i += inLine;
    }
  }

  private dirtyLine(line: number): Uint32Array {
    const found = this.dirty.get(line);
    if (found !== undefined) return found;
    if (this.dirty.size >= DIRTY_LINES && !this.node.spec.dic) this.clean(this.dirty.keys().next().value!);
    const cells = this.node.hardware.takeLine();
    this.node.memory.readLine(line, cells, 0);
    this.dirty.set(line, cells);
    return cells;
  }

  /** DC CVAU: a dirty line becomes visible to instruction fetches. */
  clean(line: number): void {
    const cells = this.dirty.get(line);
    if (cells === undefined) return;
    this.dirty.delete(line);
    this.node.memory.writeLine(line, cells);
  }

  /** {@link clean} as a message: with DIC this is when this node's instruction caches drop the line. */
  onClean(line: number): void {
    this.clean(line);
    if (this.node.spec.dic) for (const cpu of this.node.cpus) this.node.dropInstructionLine(cpu, line);
  }

  /** Writes all dirty lines back, as a cache does sooner or later. */
  cleanAll(): void {
    for (const line of [...this.dirty.keys()]) this.clean(line);
  }

  /** Dirty lines are lost, as with the power. */
  dropDirty(): void {
    this.dirty.clear();
  }
}
