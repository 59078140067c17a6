import { alignDown, type Duration, InputError, type Instant, Queue, type Step, WAIT } from '@numalab/base';
import { LINE_BYTES } from '@numalab/machine';
import type { CopyName, NodeContext, NodeHalf, Steps, Write } from '@numalab/protocols';
import type { AgentCpu, AgentHost } from './agent-host.ts';
import { pagesOfWrite, type Wire } from './wire.ts';

/** What has happened, and what is to be done about it. Whoever looks at an agent from outside cannot look into a function. */
interface Event {
  readonly what: unknown;
  readonly handler: () => Steps | undefined;
}

/** Events that wait for the agent at most. */
const INBOX_ROOM = 256;

/**
 * EL2's agent on a node: runs the node's half of the protocol, one event after the other, and is what that half can do. It is
 * a context of its own, not one of the walking cores; in the engine it is a core that only ever runs tasks.
 */
export class Agent implements NodeContext {
  readonly node: number;
  readonly options: Readonly<Record<string, unknown>>;
  readonly durable: Map<string, unknown> = new Map();
  private readonly process: AgentHost;
  private readonly makeHalf: () => NodeHalf;
  private half: NodeHalf;
  private readonly bugs: Readonly<Record<'sharesPatch' | 'ownFirst' | 'notIdempotent' | 'ownCopyOnly', boolean>>;
  /** Bug 7: the one record that handlers work from; whatever comes in next is written over it. */
  private patch: Write | null = null;
  /** Bug 50: the last write that came in, whether it was applied or not. It outlives the agent. */
  received = 0;
  /** Counts the hypervisors that this agent has worked for, and its own lives; and which of them the running event is of. */
  private generation = 0;
  private running = 0;
  private readonly inbox = new Queue<Event>();
  /** What is being handled. */
  current: unknown = null;
  private busy = false;
  /** Bodies sent to the hypervisor's half, answers included. */
  sent = 0;

  constructor(process: AgentHost, makeHalf: () => NodeHalf) {
    this.process = process;
    this.node = process.id;
    this.options = process.spec.protocolOptions;
    this.makeHalf = makeHalf;
    this.half = makeHalf();
    const { bugs } = process.spec;
    this.bugs = {
      sharesPatch: bugs.includes('7'),
      ownCopyOnly: bugs.includes('9'),
      ownFirst: bugs.includes('39'),
      notIdempotent: bugs.includes('46'),
    };
  }

  private get cpu(): AgentCpu {
    return this.process.agentCpu;
  }

  get now(): Instant {
    return this.cpu.time as Instant;
  }

  // ---- events -----------------------------------------------------------------------------------------------------------

  /** The session layer delivers what another EL2 sent. */
  deliver(wire: Wire, at: number): void {
    if (wire.kind === 'tell') this.told(wire, at);
    else if (wire.kind === 'ask') this.handle(wire, () => this.answer(wire.ask, wire.body), at);
    else if (wire.kind === 'resync') this.handle(wire, () => this.process.life?.resync(wire.resync), at);
    else if (wire.kind === 'start') this.handle(wire, () => this.start(), at);
    else if (wire.kind === 'hashed')
      this.handle(wire, () => this.process.scrubber?.hashed(wire.scrub, wire.repairs), at);
    else if (wire.kind === 'relay') {
      for (const to of wire.to) if (to !== this.node) this.process.transmit(to, wire.wire, at);
      if (wire.to.includes(this.node)) this.deliver(wire.wire, at);
    }
  }

  private told(wire: Extract<Wire, { kind: 'tell' }>, at: number): void {
    const { body } = wire;
    const { number, words, origin } = (body ?? {}) as Partial<Write>;
    if (words !== undefined) {
      this.received = number!;
      if (this.bugs.sharesPatch) this.patch = body as Write;
    }
    // Bug 39: the node has a log of its own for what its own cores write.
    this.handle(wire, () => this.half.onMessage(this, body), at, this.bugs.ownFirst && origin === this.node);
  }

  /** Pages of the copy are to be hashed. */
  scrub(handler: () => Steps, at: number): void {
    this.handle('scrub', handler, at);
  }

  /** A core waits for an unmapped page. */
  fault(page: number, at: number): void {
    this.handle(page, () => this.half.onFault?.(this, page), at);
  }

  /** A timer that was set by an earlier half is nobody's. */
  timer(generation: number, tag: number, at: number): void {
    if (generation !== this.generation) return;
    this.handle([tag], () => this.half.onTimer?.(this, tag), at);
  }

  private *answer(ask: number, body: unknown): Steps {
    const steps = this.half.onMessage(this, body);
    if (steps !== undefined) yield steps;
    this.say({ kind: 'answer', ask });
  }

  private start(): undefined {
    this.process.life?.start(this.cpu.time);
  }

  private handle(what: unknown, handler: () => Steps | undefined, at: number, isFirst = false): void {
    const event = { what, handler };
    if (isFirst) this.inbox.unshift(event);
    else this.inbox.push(event);
    if (this.busy) return;
    this.busy = true;
    this.process.startTask(this.cpu, () => this.work(), at);
  }

  /** Whether another message may be delivered. What has no room waits at its sender. */
  get hasRoom(): boolean {
    return this.inbox.length < INBOX_ROOM;
  }

  private *work(): Steps {
    while (this.inbox.length > 0) {
      const { handlePs } = this.process.latencies;
      if (!this.process.passes(this.cpu, handlePs)) yield handlePs;
      const event = this.inbox.shift();
      if (event === undefined) break;
      this.running = this.generation;
      this.current = event.what;
      const steps = event.handler();
      if (steps !== undefined) yield steps;
      if (this.inbox.length === INBOX_ROOM - 1) this.process.sessions.resume(this.now);
    }
    this.current = null;
    this.busy = false;
  }

  /** The hypervisor has begun anew: a fresh half, and nothing left to do but what is under way. */
  renew(): void {
    this.generation++;
    this.inbox.clear();
    this.half = this.makeHalf();
  }

  /** The agent is gone with all that it was doing; it begins anew with the next message. */
  kill(): void {
    this.renew();
    this.current = null;
    this.busy = false;
    this.cpu.abandonTask();
  }

  // ---- what the protocol can do -------------------------------------------------------------------------------------------

  pagesOf(write: Write): readonly number[] {
    return pagesOfWrite(this.process.spec, write);
  }

  send(body: unknown): void {
    this.say({ kind: 'tell', body });
  }

  /** To the hypervisor; what an event for an earlier one has to say is not said. */
  private say(wire: Wire): void {
    if (this.running !== this.generation) return;
    this.sent++;
    this.process.transmit(this.process.spec.nodes, wire, this.cpu.time);
  }

  setTimer(delay: Duration, tag: number): void {
    if (!(delay >= 0)) throw new InputError('protocol', `a timer cannot wait for ${delay} ps`);
    if (this.running === this.generation) this.process.setTimer(this.cpu.time + delay, this.generation, tag);
  }

  *store(asked: Write): Step<void> {
    const { process } = this;
    const write = this.patch ?? asked;
    // A snapshot brought it. Bug 46: it is stored all the same.
    if (process.life !== null && !this.bugs.notIdempotent && write.number <= process.life.resyncedTo) return;
    if (!this.isCopied(write)) return;
    yield process.coherence.storeOwnText(this.cpu, this.paOf(write), write.words, write.number);
    process.applyLog.stored(write.number, this.cpu.time);
    const stores = process.latencies.storePs * write.words.length;
    if (!process.passes(this.cpu, stores)) yield stores;
  }

  *maintain(asked: Write): Step<void> {
    const write = this.patch ?? asked;
    if ((this.bugs.ownCopyOnly && write.origin !== this.node) || !this.isCopied(write)) return;
    yield this.process.maintenance.cleanInvalidate(this.cpu, this.paOf(write), write.words.length * 4);
  }

  *clean(write: Write): Step<void> {
    const { maintenance, spec } = this.process;
    const pa = this.paOf(write);
    const end = pa + 4 * write.words.length;
    if (!spec.idc)
      for (let at = alignDown(pa, LINE_BYTES); at < end; at += LINE_BYTES) yield maintenance.cleanLine(this.cpu, at);
    yield maintenance.dsb(this.cpu);
  }

  *invalidate(write: Write): Step<void> {
    const { maintenance, spec } = this.process;
    const pa = this.paOf(write);
    const end = pa + 4 * write.words.length;
    if (!spec.dic) {
      for (let at = alignDown(pa, LINE_BYTES); at < end; at += LINE_BYTES)
        yield maintenance.invalidateLine(this.cpu, at);
    }
    yield maintenance.dsb(this.cpu);
  }

  *dsb(): Step<void> {
    yield this.process.maintenance.dsb(this.cpu);
  }

  *unmap(page: number): Step<void> {
    yield this.process.textPages.unmap(this.cpu, page);
  }

  *map(page: number, copy: CopyName = 'own'): Step<void> {
    yield this.process.textPages.map(this.cpu, page, copy);
  }

  *copyPage(page: number): Step<void> {
    yield this.process.textPages.copy(this.cpu, page);
  }

  *verifyPage(page: number): Step<boolean> {
    return (yield this.process.textPages.verify(this.cpu, page)) as boolean;
  }

  *tlbi(page: number): Step<void> {
    yield this.process.textPages.tlbi(this.cpu, page);
  }

  *writeProtect(page: number): Step<void> {
    yield this.process.textPages.writeProtect(this.cpu, page);
  }

  *park(): Step<void> {
    const { process, cpu } = this;
    process.halt(cpu.time);
    while (!process.isHalted) yield WAIT;
    yield process.latencies.ipiHandlePs;
  }

  *resume(): Step<void> {
    const { process, cpu } = this;
    process.release(cpu.time);
    yield process.latencies.storePs;
  }

  /** Whether a write lies in what is replicated. EL2 stores nothing else, whoever asks. */
  private isCopied({ word, words }: Write): boolean {
    const { process } = this;
    return process.isReplicated(word * 4) && process.isReplicated((word + words.length) * 4 - 1);
  }

  private paOf(write: Write): number {
    return this.process.copyOf(write.word * 4);
  }
}
