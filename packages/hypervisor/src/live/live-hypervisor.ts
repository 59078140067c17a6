import { alignDown, assert, DONE, type Duration, type Instant, WAIT } from '@numalab/base';
import type { LiveRingReader, LiveRingWriter } from '@numalab/interconnect';
import { GRANULES, Latencies, LINE_BYTES, NodeMemory, OPERATION_STORE } from '@numalab/machine';
import {
  ANSWER,
  HypervisorWaiting,
  kindOf,
  type LiveCopy,
  type LiveShared,
  layOut,
  liveCopyOf,
  type MachineLayout,
  MaintenanceWords,
  passing,
  putMessage,
  RETIRE,
  StepsRunner,
  SUBMIT,
  takeMessage,
  type Words,
  shared as word,
} from '@numalab/node-worker';
import type { HypervisorContext, HypervisorHalf, Steps, Write } from '@numalab/protocols';
import { resolveWrite, type SubmittedStore } from '../resolve-write.ts';
import { LiveOrder } from './live-order.ts';
import { LiveSubmission, wholeWordsOf } from './live-submission.ts';
import { OpenWrites } from './open-writes.ts';
import { KeptWords, OrderLock } from './order-lock.ts';

/** A thread without work looks around at least this often. */
const NAP_MS = 50;

/** What the hypervisor's thread gives it. */
export interface LiveHypervisorPorts {
  readonly now: () => number;
  readonly toNodes: readonly LiveRingWriter[];
  readonly fromNodes: readonly LiveRingReader[];
  /** Where maintenance has to reach other processes; left out: it does not. */
  readonly maintenance?: MaintenanceWords;
}

/**
 * The order of a live run, on a thread of its own: numbers the writes as they come in, and runs the hypervisor's half of the
 * protocol. Its stores into copies and its invalidations hit memory from which nodes fetch at that moment. With `lock`
 * serialisation it does what the core that holds the lock would: one write at a time, and messages start from that core's node.
 */
export class LiveHypervisor implements HypervisorContext {
  nodes: readonly number[];
  readonly options: Readonly<Record<string, unknown>>;
  readonly durable: Map<string, unknown> = new Map();
  readonly order: LiveOrder;
  /** Real time of each tick that the record knows, in milliseconds. */
  readonly tickMs: Float64Array;
  retired = 0;
  withoutEffect = 0;
  turns = 0;
  protected readonly shared: LiveShared;
  protected readonly words: Int32Array;
  protected readonly ports: LiveHypervisorPorts;
  protected readonly half: HypervisorHalf;
  protected readonly runner: StepsRunner;
  protected readonly layout: MachineLayout;
  private readonly copies: readonly LiveCopy[];
  protected readonly maintenance: MaintenanceWords;
  protected readonly latencies: Latencies;
  /** Null with `central` serialisation. */
  protected readonly lock: OrderLock | null;
  private readonly waiting: HypervisorWaiting;
  private readonly own: number;
  private readonly granuleBytes: number;
  /** Which instance of the protocol's half it runs; see Protocol.independentWrites. */
  protected readonly instance: number = 0;
  /** Nodes that can see something new, and were not woken for it. */
  protected readonly brought: Uint8Array;
  private readonly underWay = new OpenWrites();
  private readonly asked = new Map<number, number>();
  protected nextAsk = 0;
  private tick = 0;
  /** The store that is being taken. */
  private readonly submission = new LiveSubmission();

  constructor(shared: LiveShared, half: HypervisorHalf, limit: number, ports: LiveHypervisorPorts) {
    const { spec, words } = shared;
    this.shared = shared;
    this.words = words;
    this.ports = ports;
    this.half = half;
    this.options = spec.protocolOptions;
    this.nodes = Array.from({ length: spec.nodes }, (_, i) => i);
    this.layout = layOut(spec);
    this.order = new LiveOrder(shared.reference, this.layout.spanStart >> 2, limit);
    this.tickMs = new Float64Array(2 * limit + 2);
    this.copies = shared.memories.map((memory, node) =>
      liveCopyOf(NodeMemory.attach(memory).textAt(this.layout.copyPa[node]!)!),
    );
    this.maintenance = ports.maintenance ?? new MaintenanceWords(words, shared.maintenance);
    this.latencies = new Latencies(spec.topology, spec.profile);
    this.waiting = new HypervisorWaiting(words, spec.nodes, shared.cores, ports.now);
    this.own = word.threadWord(spec.nodes);
    this.brought = new Uint8Array(spec.nodes);
    this.granuleBytes = GRANULES[spec.granule].bytes;
    this.runner = new StepsRunner(ports.now, shared.scale, (tag) => this.half.onTimer?.(this, tag));
    this.lock = spec.serialisation === 'lock' ? this.newLock() : null;
  }

  get now(): Instant {
    return Math.round(this.ports.now() * 1e9) as Instant;
  }

  // ---- what the protocol can do -------------------------------------------------------------------------------------------

  pagesOf({ word: first, words }: Write): readonly number[] {
    const page = Math.floor((first * 4) / this.granuleBytes);
    const last = Math.floor(((first + words.length) * 4 - 1) / this.granuleBytes);
    return page === last ? [page] : [page, last];
  }

  /** The node from which messages start. */
  private get place(): number {
    return this.lock?.place ?? this.shared.spec.hypervisorNode;
  }

  protected due(node: number): number {
    const { scale } = this.shared;
    return scale === 0 ? 0 : this.ports.now() + (this.latencies.linePs(this.place, node) * scale) / 1e9;
  }

  send(node: number, body: unknown): void {
    putMessage(this.ports.toNodes[node]!, this.instance, body, -1, this.due(node));
  }

  broadcast(body: unknown): void {
    const kind = kindOf(body);
    for (const node of this.nodes) putMessage(this.ports.toNodes[node]!, this.instance, body, -1, this.due(node), kind);
  }

  *ask(nodes: readonly number[], body: unknown): Steps {
    if (nodes.length === 0) return;
    const ask = this.nextAsk++;
    this.asked.set(ask, nodes.length);
    const kind = kindOf(body);
    for (const node of nodes) putMessage(this.ports.toNodes[node]!, this.instance, body, ask, this.due(node), kind);
    while (this.asked.has(ask)) yield WAIT;
  }

  storeCopy(node: number, write: Write): Steps {
    const { cells } = this.copies[node]!;
    const at = write.word - (this.layout.spanStart >> 2);
    const own = this.order.cellsOf(write);
    for (let i = 0; i < write.words.length; i++) cells[at + i] = own[i]!;
    return this.shared.scale === 0 ? DONE : passing(this.latencies.linePs(this.place, node));
  }

  maintainCopy(node: number, write: Write): Steps {
    const { spec, scale } = this.shared;
    const pa = this.layout.copyPa[node]! + write.word * 4 - this.layout.spanStart;
    const end = pa + write.words.length * 4;
    if (!spec.dic)
      for (let at = alignDown(pa, LINE_BYTES); at < end; at += LINE_BYTES) this.maintenance.invalidateLine(at);
    return scale === 0 ? DONE : passing(this.latencies.dvmPs(this.place, node));
  }

  dsb(): Steps {
    // See MaintenanceWords: nothing that is older can be used any more, so there is nothing to wait for.
    return DONE;
  }

  setTimer(delay: Duration, tag: number): void {
    this.runner.setTimer(delay, tag);
  }

  retire(write: Write): void {
    const { underWay } = this;
    const core = underWay.take(write.number);
    assert(core >= 0, 'a write is retired once');
    this.retired++;
    if (write.number <= this.words[word.RECORD_LIMIT]!) this.nextTick();
    this.answer(write.origin, core, write.number, underWay.old);
    this.lock?.release();
  }

  protected answer(node: number, core: number, number: number, old: readonly number[] | null): void {
    const ring = this.ports.toNodes[node]!;
    ring.begin(RETIRE, this.due(node));
    ring.word(core);
    ring.word(number);
    if (old !== null) {
      for (let i = 0; i < old.length; i += 4) {
        let value = 0;
        for (let b = Math.min(old.length, i + 4) - 1; b >= i; b--) value = value * 256 + old[b]!;
        ring.word(value);
      }
    }
    ring.end();
    // At once: a node that runs goes on with this write while the next is being done.
    if (ring.publish()) this.brought[node] = 1;
  }

  /** The next event of the order that is on record: what is read of the clock from now on is later than what was. */
  protected nextTick(): void {
    const tick = ++this.tick;
    if (tick < this.tickMs.length) this.tickMs[tick] = this.ports.now();
    Atomics.store(this.words, word.TICK, tick);
  }

  // ---- the loop -------------------------------------------------------------------------------------------------------------

  private readonly hasWork = (): boolean => this.hasMail() || Atomics.load(this.words, word.PHASE) >= word.PHASE_END;

  /** Whether something was brought. */
  protected hasMail(): boolean {
    for (const ring of this.ports.fromNodes) if (ring.hasMore) return true;
    return false;
  }

  /** Runs until the phase is over. */
  run(): void {
    const { words } = this;
    while (Atomics.load(words, word.PHASE) < word.PHASE_END && Atomics.load(words, word.FAILED) === 0) {
      if (!this.turn()) this.rest();
    }
  }

  protected turn(): boolean {
    this.turns++;
    let busy = false;
    const { fromNodes } = this.ports;
    for (let node = 0; node < fromNodes.length; node++) busy = this.serve(node) || busy;
    if (!busy) {
      this.runner.run();
      this.flush();
    }
    this.words[this.own + word.DONE] = this.retired;
    this.words[this.own + word.TURNS] = this.turns;
    return busy;
  }

  /** Takes what a node has brought. Returns whether there was anything. */
  protected serve(node: number): boolean {
    const ring = this.ports.fromNodes[node]!;
    if (!this.receive(node, ring)) return false;
    this.runner.run();
    // A node that sleeps is woken once for all that it was brought, while the next node's writes are being done.
    this.flush();
    // After that: to a node that runs it says that all answers that can come at once have come.
    ring.release();
    return true;
  }

  protected flush(): void {
    const { toNodes } = this.ports;
    for (let node = 0; node < toNodes.length; node++) {
      if (!toNodes[node]!.publish() && this.brought[node] === 0) continue;
      this.brought[node] = 0;
      word.wakeNode(this.words, toNodes.length, node);
    }
  }

  protected receive(node: number, ring: LiveRingReader): boolean {
    const now = this.shared.scale === 0 ? 0 : this.ports.now();
    let any = false;
    while (this.hasRoom() && ring.next(now)) {
      any = true;
      if (ring.kind === SUBMIT) this.submitted(node, ring);
      else if (ring.kind === ANSWER) this.answered(ring.word(), node);
      else this.hear(node, ring);
    }
    return any;
  }

  /** A node says something that is for the protocol's half. */
  protected hear(node: number, ring: LiveRingReader): void {
    ring.word();
    this.runner.handleNow(this.onHeard, node, takeMessage(ring), 0);
  }

  private readonly onHeard = (node: number, body: unknown): Steps | void => this.half.onMessage?.(this, node, body);

  private submitted(node: number, ring: LiveRingReader): void {
    if (this.lock === null) this.take(node, ring);
    else this.lock.wait(node, new KeptWords(ring.rest()));
  }

  private newLock(): OrderLock {
    const { runner, latencies, shared } = this;
    return new OrderLock(shared.spec.hypervisorNode, {
      take: (node, words) => this.take(node, words),
      move: (from, to, arrived) => {
        if (shared.scale === 0) arrived();
        else runner.handle(() => passing(latencies.linePs(from, to), arrived));
      },
    });
  }

  /** Nothing is taken while a node cannot keep up: so no ring's backlog grows without bound. */
  protected hasRoom(): boolean {
    for (const ring of this.ports.toNodes) if (ring.backlog > 64) return false;
    return true;
  }

  protected answered(ask: number, _node: number): void {
    const left = this.asked.get(ask)! - 1;
    if (left > 0) this.asked.set(ask, left);
    else {
      this.asked.delete(ask);
      this.runner.wake();
    }
  }

  /** The next store of the order: what `ring` holds of it is read at once. */
  protected take(node: number, ring: Words): void {
    const { submission } = this;
    submission.read(ring);
    this.number(node, submission.core, submission.begin, submission);
  }

  /** Numbers what a store of a core writes, if it does: it may depend on what is there. */
  protected number(node: number, core: number, begin: number, store: SubmittedStore): void {
    const words = wholeWordsOf(store);
    if (words !== null) {
      this.append(node, core, begin, store.offset >> 2, words, null);
      return;
    }
    const found = resolveWrite(this.order, store);
    const old = store.operation === OPERATION_STORE ? null : found.old;
    if (found.writes) this.append(node, core, begin, found.word, found.words, old);
    else {
      this.withoutEffect++;
      this.answer(node, core, 0, old);
      this.lock?.release();
    }
  }

  private append(
    node: number,
    core: number,
    begin: number,
    first: number,
    values: readonly number[],
    old: readonly number[] | null,
  ): void {
    const { words, shared, order } = this;
    const write = order.append(first, values, node, core, begin);
    if (write.number <= words[word.RECORD_LIMIT]!) this.nextTick();
    // Before any copy can hold it: whoever sees the number finds it given out.
    Atomics.store(words, word.NUMBERED, write.number);
    // Only says where to probe: whoever reads what was there before probes that.
    shared.recent[write.number & (shared.recent.length - 1)] = first;
    this.underWay.put(write.number, core, old);
    this.begin(write);
  }

  /** Hands a write to the protocol. */
  protected begin(write: Write): void {
    this.runner.handleNow(this.onBegun, write, 0, 0);
  }

  private readonly onBegun = (write: Write): Steps | void => this.half.onWrite(this, write);

  protected get isIdle(): boolean {
    return this.runner.isIdle && this.underWay.count === 0;
  }

  /** When something beside runner and rings has to be looked at. */
  protected wakeMs(): number {
    return Infinity;
  }

  protected rest(): void {
    const { words, own, waiting, ports, runner } = this;
    const { toNodes, fromNodes } = ports;
    const idle = this.isIdle && toNodes.every((ring) => ring.backlog === 0);
    let sent = 0;
    let taken = 0;
    for (const ring of toNodes) sent += ring.sent;
    for (const ring of fromNodes) taken += ring.taken;
    Atomics.store(words, own + word.SENT, sent);
    Atomics.store(words, own + word.TAKEN, taken);
    Atomics.store(words, own + word.IDLE, idle ? 1 : 0);
    const now = ports.now();
    let ms = Math.min(NAP_MS, runner.nextMs() - now, this.wakeMs() - now);
    for (const ring of fromNodes) ms = Math.min(ms, ring.nextDue() - now);
    if (toNodes.some((ring) => ring.backlog > 0)) ms = Math.min(ms, 0.1);
    if (ms > 0) waiting.wait(this.hasWork, ms);
    Atomics.store(words, own + word.IDLE, 0);
  }
}
