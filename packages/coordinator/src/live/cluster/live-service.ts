import type { MessagePort } from 'node:worker_threads';
import type { LiveRingReader } from '@numalab/interconnect';
import { type OrderedStore, remote, shared as word } from '@numalab/node-worker';
import { Packr } from 'msgpackr';
import { connectMembers, type MemberSocket } from '../../engine/cluster/member-socket.ts';
import type { ClusterLiveTask, FromService, ToService } from './cluster-task.ts';
import { LiveOperations } from './live-operations.ts';
import { ServiceWays } from './service-ways.ts';

/** Beside the kinds of RemotePort: an operation is over; a call's answer; a record of a ring between a node and the hypervisor. */
const ACKNOWLEDGED = 32;
const ANSWER = 33;
const RECORD = 34;
/** A node begins a new life. */
const CLEAR = 35;

/** Of an operation in a frame: kind, token, number of operands; then these. */
const HEADER = 3;
/** With more records than this waiting for room in a ring, no more is taken from sockets. */
const MAX_BACKLOG = 4096;

/** An operation of a thread here that others have not acknowledged or answered. */
interface Open {
  readonly thread: number;
  readonly missing: Set<number>;
  readonly isCall: boolean;
}

const packr = new Packr({ structuredClone: true });

/**
 * The service thread of one process of a live run: carries what its threads ask of other processes there, does here what those ask,
 * while the nodes run, and carries the records of rings whose ends are in two processes. A frame is all that there is for one
 * process at a time. It never waits for a thread, so whoever waits for it waits for the way alone.
 */
export class LiveService {
  private readonly task: ClusterLiveTask;
  private readonly nodes: number;
  private readonly words: Int32Array;
  private readonly isHome: boolean;
  private readonly operations: LiveOperations;
  private readonly rings: ServiceWays;
  private readonly open = new Map<number, Open>();
  private readonly batches: number[][];
  private links: readonly (MemberSocket | null)[] = [];
  private nextToken = 1;
  private pumping = false;
  private retry: NodeJS.Timeout | null = null;

  constructor(task: ClusterLiveTask) {
    const { shared, spread } = task;
    const { spec, words } = shared;
    const { memberOf, member, members } = spread;
    this.task = task;
    this.words = words;
    this.nodes = spec.nodes;
    this.isHome = memberOf[spec.nodes] === member;
    this.operations = new LiveOperations(task, (kind, operands) => {
      for (const [other, link] of this.links.entries()) if (link !== null) this.put(other, kind, 0, operands);
    });
    this.rings = new ServiceWays(task);
    this.batches = Array.from({ length: members }, () => []);
  }

  /** Serves until it is told that the run is over. Returns what it stored to text for others, as far as that is on record. */
  async run(): Promise<readonly OrderedStore[]> {
    const { port, spread, asleep } = this.task;
    const bells = [...this.task.bells];
    this.links = await connectMembers({ ...spread, port });
    for (const [member, link] of this.links.entries()) if (link !== null) this.watch(member, link);
    for (const bell of bells) bell.on('message', () => this.pump());
    await new Promise<void>((resolve) => {
      port.on('message', (message: ToService) => {
        if (message === 'end') resolve();
        else if (typeof message === 'object') this.hear(message, bells);
      });
      this.tell('connected');
      Atomics.store(asleep, 0, 1);
      this.pump();
    });
    for (const bell of bells) bell.close();
    port.close();
    if (this.retry !== null) clearTimeout(this.retry);
    for (const link of this.links) link?.socket.destroy();
    return this.operations.stored;
  }

  private hear(message: Exclude<ToService, string>, bells: MessagePort[]): void {
    if ('lost' in message) this.lose(message.lost);
    else if ('bell' in message) {
      bells.push(message.bell);
      message.bell.on('message', () => this.pump());
    } else if ('down' in message) {
      // Behind all that the thread has sent: a lock that it asked for is given back when it has it.
      this.takeOperations(message.down, this.rings.outboxes.get(message.down)!);
      this.tellAll(remote.REMOTE_STATE, [message.down, word.OFFLINE_DOWN]);
    } else {
      const { clear } = message;
      for (const [token, { thread }] of [...this.open]) if (thread === clear) this.open.delete(token);
      this.rings.clear(clear);
      this.tellAll(CLEAR, [clear]);
      this.tell({ clear });
    }
  }

  private tell(message: FromService): void {
    this.task.port.postMessage(message);
  }

  private tellAll(kind: number, operands: readonly number[]): void {
    for (const [other, link] of this.links.entries()) if (link !== null) this.put(other, kind, 0, operands);
    this.pump();
    this.send();
  }

  private watch(member: number, link: MemberSocket): void {
    const { socket } = link;
    const lose = (): void => this.lose(member);
    socket.on('error', lose);
    socket.on('close', lose);
    socket.on('end', lose);
    socket.on('drain', () => this.pump());
    socket.on('data', (piece: Buffer) => {
      link.take(piece);
      this.pump();
    });
    socket.resume();
  }

  /** A process is gone: nobody waits for it any more. */
  private lose(member: number): void {
    const link = this.links[member];
    if (link === null || link === undefined || link.isLost) return;
    link.isLost = true;
    link.socket.destroy();
    for (const [token, { missing }] of [...this.open]) if (missing.has(member)) this.over(token, member, [0, 0]);
    this.pump();
  }

  // ---- the pump -----------------------------------------------------------------------------------------------------------

  /** Does all there is to do, and sleeps only when it has looked once more after saying so. */
  private pump(): void {
    if (this.pumping) return;
    this.pumping = true;
    const { asleep } = this.task;
    try {
      do {
        Atomics.store(asleep, 0, 0);
        while (this.turn());
        Atomics.store(asleep, 0, 1);
      } while (this.hasMore() && Atomics.compareExchange(asleep, 0, 1, 0) === 1);
    } catch (error) {
      Atomics.store(this.words, word.FAILED, 1);
      throw error;
    } finally {
      this.pumping = false;
    }
  }

  /** A process does not take what it is sent: until it does, nothing more is taken here, and threads wait when their rings are full. */
  private get isCongested(): boolean {
    return this.links.some((link) => link !== null && !link.isLost && link.socket.writableNeedDrain);
  }

  private hasMore(): boolean {
    if (this.isCongested) return false;
    for (const outbox of this.rings.outboxes.values()) if (outbox.hasMore) return true;
    return [...this.rings.ways.values()].some(({ from }) => from.hasMore);
  }

  private turn(): boolean {
    let any = this.takeFrames();
    // Records are read first and sent last: what their writer has put in its outbox before them goes before them.
    const { ways, outboxes } = this.rings;
    const isOpen = !this.isCongested;
    const records = isOpen ? [...ways.values()].map(({ node, from }) => ({ node, all: this.takeRecords(from) })) : [];
    if (isOpen) for (const [thread, outbox] of outboxes) any = this.takeOperations(thread, outbox) || any;
    for (const { node, all } of records) {
      for (const record of all) {
        any = true;
        const to = this.isHome ? node : this.nodes;
        this.put(this.task.spread.memberOf[to]!, RECORD, node, record);
      }
    }
    this.deliver();
    this.send();
    return any;
  }

  private takeRecords(ring: LiveRingReader): number[][] {
    const records: number[][] = [];
    while (ring.next(Infinity)) records.push([ring.kind, ring.due, ...ring.rest()]);
    ring.release();
    return records;
  }

  private put(member: number, kind: number, token: number, operands: ArrayLike<number>): void {
    const batch = this.batches[member]!;
    batch.push(kind, token, operands.length);
    for (let i = 0; i < operands.length; i++) batch.push(operands[i]!);
  }

  private send(): void {
    for (const [member, batch] of this.batches.entries()) {
      if (batch.length === 0) continue;
      const link = this.links[member];
      if (link !== null && link !== undefined && !link.isLost) link.send(packr.pack(Float64Array.from(batch)));
      batch.length = 0;
    }
  }

  /** Publishes the records that came in. What finds no room is tried again soon. */
  private deliver(): void {
    const { words, nodes } = this;
    let waiting = 0;
    for (const { node, to } of this.rings.ways.values()) {
      if (to.publish()) {
        if (this.isHome) word.wakeHypervisor(words, nodes);
        else word.wakeNode(words, nodes, node);
      }
      waiting += to.backlog;
    }
    for (const link of this.links) {
      if (link === null || link.isLost) continue;
      if (waiting > MAX_BACKLOG) link.socket.pause();
      else if (link.socket.isPaused()) link.socket.resume();
    }
    if (waiting === 0 || this.retry !== null) return;
    this.retry = setTimeout(() => {
      this.retry = null;
      this.pump();
    }, 1);
  }

  // ---- what threads here ask ------------------------------------------------------------------------------------------------

  private takeOperations(thread: number, outbox: LiveRingReader): boolean {
    let any = false;
    while (outbox.next(Infinity)) {
      any = true;
      this.ask(thread, outbox.kind, outbox.due, outbox.rest());
    }
    outbox.release();
    return any;
  }

  private ask(thread: number, kind: number, to: number, operands: readonly number[]): void {
    const { member } = this.task.spread;
    const isCall = remote.isCall(kind);
    if (to === member) {
      const answer = this.operations.perform(kind, operands, member);
      this.settle(thread, isCall, answer);
      return;
    }
    const all = this.links.flatMap((link, other) => (link === null || link.isLost ? [] : [other]));
    const targets = to === remote.ALL_OTHERS ? all : all.filter((other) => other === to);
    const isAwaited = isCall || remote.isAcknowledged(kind);
    const token = isAwaited ? this.nextToken++ : 0;
    for (const target of targets) this.put(target, kind, token, operands);
    if (!isAwaited) return;
    if (targets.length === 0) this.settle(thread, isCall, [0, 0]);
    else this.open.set(token, { thread, missing: new Set(targets), isCall });
  }

  private over(token: number, member: number, answer: readonly number[]): void {
    const open = this.open.get(token);
    if (open === undefined || !open.missing.delete(member) || open.missing.size > 0) return;
    this.open.delete(token);
    this.settle(open.thread, open.isCall, answer);
  }

  /** A thread's operation is over: `answer` is its call's. */
  private settle(thread: number, isCall: boolean, answer: readonly number[]): void {
    const memory = this.portOf(thread);
    const at = isCall ? remote.PORT_ANSWERED : remote.PORT_DONE;
    if (isCall) memory.answer.set(answer);
    Atomics.add(memory.control, at, 1);
    Atomics.notify(memory.control, at);
    if (thread === this.nodes && !isCall) word.wakeHypervisor(this.words, this.nodes);
  }

  private readonly views = new Map<number, ReturnType<typeof remote.portViews>>();

  private portOf(thread: number): ReturnType<typeof remote.portViews> {
    let view = this.views.get(thread);
    if (view === undefined) {
      view = remote.portViews(this.task.ports, thread);
      this.views.set(thread, view);
    }
    return view;
  }

  // ---- what others ask ------------------------------------------------------------------------------------------------------

  private takeFrames(): boolean {
    let any = false;
    for (const [member, link] of this.links.entries()) {
      while (link !== null && link.frames.length > 0) {
        any = true;
        this.take(member, packr.unpack(link.frames.shift()!) as Float64Array);
      }
    }
    return any;
  }

  private take(member: number, batch: Float64Array): void {
    for (let at = 0; at < batch.length; ) {
      const [kind = 0, token = 0, count = 0] = batch.subarray(at, at + HEADER);
      const operands = [...batch.subarray(at + HEADER, at + HEADER + count)];
      at += HEADER + count;
      if (kind === ACKNOWLEDGED || kind === ANSWER) this.over(token, member, operands);
      else if (kind === RECORD) this.bring(token, operands);
      else if (kind === CLEAR) this.rings.clear(operands[0]!);
      else {
        const answer = this.operations.perform(kind, operands, member);
        if (remote.isCall(kind)) this.put(member, ANSWER, token, answer);
        else if (token > 0) this.put(member, ACKNOWLEDGED, token, []);
      }
    }
  }

  private bring(node: number, [kind = 0, due = 0, ...rest]: readonly number[]): void {
    const ring = this.rings.ways.get(node)!.to;
    ring.begin(kind, due);
    for (const value of rest) ring.word(value);
    ring.end();
  }
}
