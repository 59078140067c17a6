import type { LiveRingReader } from '@numalab/interconnect';
import { type OrderedStore, remote, shared as word } from '@numalab/node-worker';
import { Packr } from 'msgpackr';
import type { ClusterLiveTask, FromService, ToService } from './cluster-task.ts';
import { LiveLinks } from './live-links.ts';
import { LiveOperations } from './live-operations.ts';
import { Newcomers } from './newcomers.ts';
import { ServiceWays } from './service-ways.ts';

/** Beside the kinds of RemotePort: an operation is over; a call's answer; a record of a ring between a node and the hypervisor. */
const ACKNOWLEDGED = 32;
const ANSWER = 33;
const RECORD = 34;
/** A node begins a new life. */
const CLEAR = 35;
/** What was said to all so far has been said; from here on a process that has come, in this life of its, hears it too. */
const FENCE = 36;
/** Whoever has just come knows all now that all know. */
const KNOWN = 37;

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
  private readonly links: LiveLinks;
  private readonly newcomers = new Newcomers();
  /** The process of node 0, which decides what all know. */
  private readonly teacher: number;
  /** What the teacher says comes first: this process has taken another's place, and does not know all that all know. */
  private learns: boolean;
  private serves = false;
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
    this.operations = new LiveOperations(task, (kind, operands) => this.putAll(kind, operands));
    this.rings = new ServiceWays(task);
    this.batches = Array.from({ length: members }, () => []);
    this.links = new LiveLinks(spread, {
      joined: (other, life) => this.join(other, life),
      lost: (other) => this.lose(other),
      heard: () => this.pump(),
    });
    this.teacher = memberOf[0]!;
    this.learns = spread.life > 1;
  }

  /** Serves until it is told that the run is over. Returns what it stored to text for others, as far as that is on record. */
  async run(): Promise<readonly OrderedStore[]> {
    const { port, bells } = this.task;
    const ended = new Promise<void>((resolve) => {
      port.on('message', (message: ToService) => {
        if (message === 'end') resolve();
        else if (message === 'connect') this.connect();
        else this.hear(message);
      });
    });
    for (const bell of bells) bell.on('message', () => this.pump());
    await this.links.listen();
    this.tell('listening');
    await ended;
    for (const bell of bells) bell.close();
    port.close();
    if (this.retry !== null) clearTimeout(this.retry);
    this.links.close();
    return this.operations.stored;
  }

  private hear(message: Exclude<ToService, string>): void {
    if ('lost' in message) this.bury(message.lost);
    else if ('bell' in message) {
      this.task.bells.push(message.bell);
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

  private putAll(kind: number, operands: readonly number[]): void {
    for (const member of this.links.present) this.put(member, kind, 0, operands);
  }

  private tellAll(kind: number, operands: readonly number[]): void {
    this.putAll(kind, operands);
    this.pump();
    this.send();
  }

  // ---- who is there -------------------------------------------------------------------------------------------------------

  private async connect(): Promise<void> {
    await this.links.connect();
    this.serveIfThere();
  }

  /** All are there, or all that were; and what they know is known. */
  private serveIfThere(): void {
    const { members, life } = this.task.spread;
    if (this.serves || this.learns || (life === 1 && this.links.present.length < members - 1)) return;
    this.serves = true;
    this.tell('connected');
    Atomics.store(this.task.asleep, 0, 1);
    this.pump();
  }

  private join(member: number, life: number): void {
    if (life > 1) this.welcome(member, life);
    this.serveIfThere();
  }

  /** From now on the newcomer is one of all. What was said to all before, it hears from the teacher. */
  private welcome(member: number, life: number): void {
    for (const [thread, outbox] of this.rings.outboxes) this.takeOperations(thread, outbox);
    const own = this.task.spread.member;
    if (own === this.teacher) this.fence(member, life, own);
    else this.put(this.teacher, FENCE, 0, [member, life]);
    this.pump();
    this.send();
  }

  private fence(member: number, life: number, by: number): void {
    this.newcomers.fence(member, life, by);
    this.teach();
  }

  private teach(): void {
    for (const member of this.newcomers.take(this.task.spread.member, this.links.present)) {
      for (const [kind, ...operands] of this.operations.known()) this.put(member, kind, 0, operands);
      this.put(member, KNOWN, 0, []);
    }
  }

  private learn(): void {
    const { member, members } = this.task.spread;
    this.learns = false;
    // Its teacher may not have known yet who is gone.
    for (let other = 0; other < members; other++) {
      if (other !== member && this.links.all[other] === null) this.operations.bury(other);
    }
    this.serveIfThere();
  }

  /** Nothing of a process that is gone is performed any more, and nobody waits for it. */
  private lose(member: number): void {
    this.links.drop(member);
    this.batches[member]!.length = 0;
    for (const [token, { missing }] of [...this.open]) if (missing.has(member)) this.over(token, member, [0, 0]);
    this.teach();
    this.pump();
  }

  /** That it is gone is certain: another may take its place. */
  private bury(member: number): void {
    this.lose(member);
    this.operations.bury(member);
    this.tell({ lost: member });
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
    return this.links.all.some((link) => link?.socket.writableNeedDrain === true);
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
      this.links.all[member]?.send(packr.pack(Float64Array.from(batch)));
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
    for (const link of this.links.all) {
      if (link === null) continue;
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
    const { present } = this.links;
    const targets = to === remote.ALL_OTHERS ? present : present.filter((other) => other === to);
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
    for (const [member, link] of this.links.all.entries()) {
      while (link !== null && link.frames.length > 0 && (!this.learns || member === this.teacher)) {
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
      else if (kind === FENCE) this.fence(operands[0]!, operands[1]!, member);
      else if (kind === KNOWN) this.learn();
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
