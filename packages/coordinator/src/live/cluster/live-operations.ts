import { LINE_BYTES, NodeMemory, type Stage1Config, Stage1Walk } from '@numalab/machine';
import {
  buildStage1,
  cellOf,
  type LiveCopy,
  type LiveShared,
  layOut,
  liveCopyOf,
  type MachineLayout,
  MaintenanceWords,
  MemoryOrder,
  noteSent,
  numberOfCell,
  type OrderedStore,
  raiseWatched,
  remote,
  stoppingCpu,
  storeOrdered,
  walkHere,
  shared as word,
  wordOfCell,
} from '@numalab/node-worker';
import { isCoreOf } from '../live-shared.ts';
import { monotonicClock } from '../monotonic-clock.ts';
import type { ClusterLiveTask } from './cluster-task.ts';

/** What every process knows of each node. */
const nodeWords = (nodes: number): number[] =>
  Array.from({ length: nodes }, (_, node) =>
    [word.KICKED, word.STOPPED, word.OFFLINE, word.BURIED].map((at) => word.threadWord(node) + at),
  ).flat();

/** What threads of other processes ask, done where the memory is: see RemotePort. It never waits. */
export class LiveOperations {
  private readonly shared: LiveShared;
  private readonly sentLines: Uint8Array;
  private readonly tellOthers: (kind: number, operands: readonly number[]) => void;
  private readonly nodes: number;
  private readonly memberOf: Int32Array;
  private readonly words: Int32Array;
  private readonly layout: MachineLayout;
  private readonly memories: readonly NodeMemory[];
  private readonly copies: readonly (LiveCopy | null)[];
  private readonly order: MemoryOrder;
  private readonly maintenance: MaintenanceWords;
  private readonly firstWord: number;
  private readonly stage1: Stage1Config;
  private readonly walk = new Stage1Walk();

  /** `tellOthers` posts an operation to all other processes. */
  constructor(
    { shared, sentLines, originNs, spread }: ClusterLiveTask,
    tellOthers: (kind: number, operands: readonly number[]) => void,
  ) {
    const { spec, words } = shared;
    this.shared = shared;
    this.sentLines = sentLines;
    this.tellOthers = tellOthers;
    this.nodes = spec.nodes;
    this.memberOf = spread.memberOf;
    this.words = words;
    this.layout = layOut(spec);
    this.firstWord = this.layout.spanStart >> 2;
    this.memories = shared.memories.map((memory) => NodeMemory.attach(memory));
    this.copies = this.memories.map((memory, node) => {
      const text = memory.textAt(this.layout.copyPa[node]!);
      return text === null ? null : liveCopyOf(text);
    });
    this.order = new MemoryOrder(shared, this.copies[0]!, this.firstWord, monotonicClock(originNs));
    this.maintenance = new MaintenanceWords(words, shared.maintenance);
    this.stage1 = buildStage1(spec, this.layout, 0, null).config;
  }

  /** Does here what a thread of `member` asks. Returns a call's answer. */
  perform(kind: number, operands: readonly number[], member: number): readonly number[] {
    const [a = 0, b = 0, c = 0] = operands;
    switch (kind) {
      case remote.REMOTE_IC_LINE:
        this.maintenance.invalidateLine(a);
        break;
      case remote.REMOTE_IC_ALL:
        this.maintenance.invalidateLines();
        break;
      case remote.REMOTE_TLBI_VA:
        this.maintenance.tlbiVa(a);
        break;
      case remote.REMOTE_TLBI_STAGE2:
        this.maintenance.tlbiStage2();
        break;
      case remote.REMOTE_TLBI_ALL:
        this.maintenance.tlbiAll();
        break;
      case remote.REMOTE_STORE_CELLS:
        for (let i = 2; i < operands.length; i++) this.copies[a]!.cells[b + i - 2] = operands[i]!;
        break;
      case remote.REMOTE_STORE_WORD:
        this.memoryOf(a).store32(a, b);
        break;
      case remote.REMOTE_STATE:
        this.state(a, b);
        break;
      case remote.REMOTE_PUBLISH:
        this.publish(a, b);
        break;
      case remote.REMOTE_RAISE:
        raiseWatched(this.shared.watched, a, b, c);
        break;
      case remote.REMOTE_NUMBERED:
        this.number(operands);
        break;
      case remote.REMOTE_PROGRESS:
        this.shared.faults!.progress[a] = b;
        break;
      case remote.REMOTE_LOAD_CELLS:
        return [...this.copies[a]!.cells.subarray(b, b + c)];
      case remote.REMOTE_FETCH_CELLS:
        return this.fetchCells(a, b);
      case remote.REMOTE_WALK:
        return walkHere(this.walk, this.stage1, this.memories[0]!, a);
      case remote.REMOTE_LOAD_WORD:
        return [this.memoryOf(a).load32(a)];
      case remote.REMOTE_STORE_ORDERED:
        return [this.storeOrdered(operands)];
      case remote.REMOTE_READ:
        return [Atomics.load(this.words, a)];
      case remote.REMOTE_COUNT:
        return [this.count(a)];
      case remote.REMOTE_ADVANCE:
        if (Atomics.load(this.words, a) === b) this.count(a);
        return [];
      case remote.REMOTE_LOCK:
        return [Atomics.compareExchange(this.words, a, 0, b) === 0 ? 1 : 0];
      default:
        throw new Error(`process ${member} asks for ${kind}, which nobody knows`);
    }
    return [];
  }

  /** Cells of the primary for an instruction cache elsewhere: that it has them is known before they are read. */
  private fetchCells(first: number, count: number): readonly number[] {
    const { base, cells } = this.copies[0]!;
    const end = base + (first + count) * 4;
    for (let pa = base + first * 4; pa < end; pa += LINE_BYTES) noteSent(this.sentLines, this.layout, pa);
    return [...cells.subarray(first, first + count)];
  }

  /** What was stored here for threads of other processes, where nothing traps. */
  get stored(): readonly OrderedStore[] {
    return this.order.record;
  }

  private storeOrdered(operands: readonly number[]): number {
    const number = storeOrdered(this.order, operands);
    const [first = 0, , , count = 0] = operands;
    if (number > 0) {
      this.tellOthers(remote.REMOTE_NUMBERED, [number, this.firstWord + first, ...operands.slice(4, 4 + count)]);
    }
    return number;
  }

  private memoryOf(pa: number): NodeMemory {
    const { spec } = this.shared;
    return this.memories[Math.floor((pa - spec.base) / spec.memoryPerNode)]!;
  }

  private publish(index: number, value: number): void {
    Atomics.store(this.words, index, value);
    if (Atomics.load(this.words, word.WAITERS) > 0) word.wakeAll(this.words, this.nodes);
  }

  /** A node is down, joins, or is up. */
  private state(node: number, state: number): void {
    if (state !== word.OFFLINE_DOWN) Atomics.store(this.words, word.threadWord(node) + word.OFFLINE, state);
    else this.takeDown(node);
    word.announceChange(this.words, this.nodes);
  }

  private takeDown(node: number): void {
    word.takeDown(this.words, node, isCoreOf(this.shared.spec, node), stoppingCpu);
  }

  /** A process is gone: its nodes are down, and what their cores held is given back. */
  bury(member: number): void {
    const { spec } = this.shared;
    for (let node = 0; node < this.nodes; node++) {
      if (this.memberOf[node] !== member) continue;
      this.takeDown(node);
      // Where nothing traps there is no hypervisor that counts its lives.
      if (spec.strategy === 'none') Atomics.add(this.words, word.threadWord(node) + word.BURIED, 1);
    }
    word.announceChange(this.words, this.nodes);
  }

  /** All that this process knows and every process has to know, as operations. */
  *known(): Generator<readonly [kind: number, ...operands: number[]]> {
    const { words, nodes, firstWord } = this;
    const { reference, watched, faults } = this.shared;
    for (const index of [word.KICK, word.STOPPER, word.NEXT_ROW, ...nodeWords(nodes)]) {
      yield [remote.REMOTE_PUBLISH, index, Atomics.load(words, index)];
    }
    for (let at = 0; at < reference.length; at++) {
      // Read once: a write may come between.
      const cell = reference[at]!;
      const number = numberOfCell(cell);
      if (number > 0) yield [remote.REMOTE_NUMBERED, number, firstWord + at, wordOfCell(cell)];
    }
    // In the order of their codes.
    for (const [which, numbers] of [watched.ended, watched.seen, watched.synchronised].entries()) {
      for (const [at, number] of numbers.entries()) if (number > 0) yield [remote.REMOTE_RAISE, which, at, number];
    }
    for (const [place, done] of faults!.progress.entries()) yield [remote.REMOTE_PROGRESS, place, done];
  }

  /** A count that others hear of too. */
  private count(index: number): number {
    const value = Atomics.add(this.words, index, 1) + 1;
    this.tellOthers(remote.REMOTE_PUBLISH, [index, value]);
    this.publish(index, value);
    return value;
  }

  private number([number = 0, first = 0, ...values]: readonly number[]): void {
    const { reference, recent } = this.shared;
    const at = first - this.firstWord;
    // Where nothing traps, numbers may come in another order than they were given out.
    for (const [i, value] of values.entries()) {
      if (numberOfCell(reference[at + i]!) < number) reference[at + i] = cellOf(value, number);
    }
    if (number > Atomics.load(this.words, word.NUMBERED)) Atomics.store(this.words, word.NUMBERED, number);
    Atomics.store(recent, number & (recent.length - 1), first);
  }
}
