import { NodeMemory, type SharedNodeMemory } from '@numalab/machine';
import { ControlWords } from './control-words.ts';
import { type LineHolders, NOBODY } from './line-holders.ts';
import { LiveChecks, type WatchedWords } from './live-checks.ts';
import { MaintenanceWords } from './maintenance-words.ts';
import {
  ALL_OTHERS,
  REMOTE_ADVANCE,
  REMOTE_COUNT,
  REMOTE_IC_ALL,
  REMOTE_IC_LINE,
  REMOTE_LOAD_WORD,
  REMOTE_LOCK,
  REMOTE_PUBLISH,
  REMOTE_RAISE,
  REMOTE_READ,
  REMOTE_STATE,
  REMOTE_STORE_WORD,
  REMOTE_TLBI_ALL,
  REMOTE_TLBI_STAGE2,
  REMOTE_TLBI_VA,
  type RemotePort,
} from './remote-port.ts';
import { NUMBERED } from './shared-words.ts';

/** A lock that was taken is asked for again after this long: the core that waits for it looks in every turn of its thread. */
const LOCK_RETRY_NS = 200_000;

/** What threads of a run share in memory, where that run's threads are in processes that share none. */

/** Maintenance takes effect in this process at once, and in all others before {@link complete} returns. */
export class RemoteMaintenance extends MaintenanceWords {
  private readonly port: RemotePort;
  private readonly holders: LineHolders;

  constructor(port: RemotePort, holders: LineHolders, words: Int32Array, memory: SharedArrayBuffer) {
    super(words, memory);
    this.port = port;
    this.holders = holders;
  }

  override invalidateLine(pa: number): void {
    // Its addition to the line's word comes between what was stored and the look at who may have it.
    super.invalidateLine(pa);
    const holder = this.holders.of(pa);
    if (holder !== NOBODY) this.port.post(REMOTE_IC_LINE, holder, [pa]);
  }

  override invalidateLines(): void {
    super.invalidateLines();
    this.port.post(REMOTE_IC_ALL, ALL_OTHERS, []);
  }

  override tlbiVa(va: number): void {
    super.tlbiVa(va);
    this.port.post(REMOTE_TLBI_VA, ALL_OTHERS, [va]);
  }

  override tlbiStage2(): void {
    super.tlbiStage2();
    this.port.post(REMOTE_TLBI_STAGE2, ALL_OTHERS, []);
  }

  override tlbiAll(): void {
    super.tlbiAll();
    this.port.post(REMOTE_TLBI_ALL, ALL_OTHERS, []);
  }

  override complete(): void {
    this.port.complete();
  }
}

/**
 * Every process has a replica of every word, and the process of node 0 decides about those that several may change at once. A
 * replica is at most older than the word, which only makes whoever looks at it wait longer; before a lock is given
 * back, all that its holder has published is everywhere.
 */
export class RemoteControl extends ControlWords {
  private readonly port: RemotePort;
  private refusedAt = -Infinity;

  constructor(port: RemotePort, words: Int32Array) {
    super(words, port.stamp);
    this.port = port;
  }

  override publish(index: number, value: number): void {
    super.publish(index, value);
    this.port.post(REMOTE_PUBLISH, ALL_OTHERS, [index, value]);
    this.port.flush();
  }

  override announceState(node: number, state: number, nodes: number): void {
    super.announceState(node, state, nodes);
    this.port.post(REMOTE_STATE, ALL_OTHERS, [node, state]);
    this.port.complete();
  }

  override count(index: number): number {
    return this.port.call(REMOTE_COUNT, this.port.memberOfNode(0), index);
  }

  override advance(index: number, count: number): void {
    this.port.call(REMOTE_ADVANCE, this.port.memberOfNode(0), index, count);
  }

  override tryLock(index: number, holder: number): boolean {
    const { port } = this;
    if (!port.isElsewhere(0)) return super.tryLock(index, holder);
    if (port.stamp() - this.refusedAt < LOCK_RETRY_NS) return false;
    if (port.call(REMOTE_LOCK, port.memberOfNode(0), index, holder) === 1) return true;
    this.refusedAt = port.stamp();
    return false;
  }

  override unlock(index: number): void {
    const { port } = this;
    port.complete();
    if (!port.isElsewhere(0)) super.unlock(index);
    else port.post(REMOTE_PUBLISH, port.memberOfNode(0), [index, 0]);
    port.complete();
  }
}

/**
 * What is known of watched words reaches other processes late, never early: an end or a number seen that is known here was
 * known before. So what is found here is so; what is not known yet is not put to the test.
 */
export class RemoteChecks extends LiveChecks {
  private readonly port: RemotePort;
  /** The process that knows of every number that has been given out. */
  private readonly orderMember: number;

  constructor(
    port: RemotePort,
    words: Int32Array,
    watched: WatchedWords,
    reference: Float64Array,
    firstWord: number,
    firstCpu: number,
    cores: number,
    orderMember: number,
  ) {
    // The clock is the same for all processes: ticks would reach some later than others.
    super(words, watched, reference, firstWord, firstCpu, cores, port.stamp);
    this.orderMember = orderMember;
    this.port = port;
  }

  /** The order knows before any copy can hold it; this process perhaps not. */
  protected override isNumbered(number: number): boolean {
    return number <= this.port.call(REMOTE_READ, this.orderMember, NUMBERED);
  }

  protected override raise(which: number, index: number, value: number): boolean {
    if (!super.raise(which, index, value)) return false;
    this.port.post(REMOTE_RAISE, ALL_OTHERS, [which, index, value]);
    return true;
  }
}

/** Cells of one thread alone: what it reads of another process is nobody else's. */
const privateText = (text: SharedNodeMemory['text']): SharedNodeMemory['text'] =>
  text === null ? null : { ...text, cells: new Uint32Array(new SharedArrayBuffer(text.bytes * 2)) };

/** Memory of a node of another process, as walkers and the kernel reach it: word by word. */
export class RemoteMemory extends NodeMemory {
  private readonly port: RemotePort;
  private readonly node: number;

  constructor(port: RemotePort, node: number, shared: SharedNodeMemory) {
    super(shared.base, shared.bytes, 0, { ...shared, text: privateText(shared.text) });
    this.port = port;
    this.node = node;
  }

  override load32(pa: number): number {
    return this.port.call(REMOTE_LOAD_WORD, this.port.memberOfNode(this.node), pa);
  }

  /** It is there when a DSB after it is over. */
  override store32(pa: number, value: number): void {
    this.port.post(REMOTE_STORE_WORD, this.port.memberOfNode(this.node), [pa, value]);
  }
}
