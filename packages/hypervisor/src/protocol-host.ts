import {
  alignDown,
  type Duration,
  InputError,
  type Instant,
  InternalError,
  Queue,
  type Step,
  TaskRun,
  WAIT,
} from '@numalab/base';
import * as link from '@numalab/interconnect';
import { type Latencies, LINE_BYTES } from '@numalab/machine';
import { layOut, type MachineLayout, type MachineSpec, pagesOfWrite, type Wire } from '@numalab/node-worker';
import { type HypervisorContext, type HypervisorHalf, PRIMARY_NODE, type Steps, type Write } from '@numalab/protocols';

const CRASHES: ReadonlySet<string> = new Set(['crash', 'hyp-crash']);

/**
 * Whether messages go by way of a node of each socket. Not where a crash is planned: what a node passes on is lost with it,
 * and outlives the hypervisor that sent it.
 */
export const relays = ({ protocolOptions, faults }: Pick<MachineSpec, 'protocolOptions' | 'faults'>): boolean =>
  protocolOptions.multicast === true && !link.plans(faults, CRASHES);

/** The return of a node, step by step. */
export interface Return {
  /** Its turn has come. False: it is gone again. */
  begins(): boolean;
  /** Whether its copy has yet to catch up. */
  waits(): boolean;
  /** Whether it is still there. */
  stays(): boolean;
  /** The protocol knows of it: its cores may go on. */
  ends(): void;
}

/** What the protocol's half needs of the process that it runs in. */
export interface HostPort {
  /** Sends to a node's EL2 through its session. */
  transmit(node: number, wire: Wire): void;
  /** A store or a maintenance operation of this core: message `kind` to `node`. */
  operate(node: number, kind: number, a: number, c: number, body: unknown): void;
  wakeAt(at: Instant): void;
  timerAt(at: Instant, tag: number): void;
  retire(write: Write): void;
}

/**
 * Runs the hypervisor's half of a protocol: its handlers one after the other, as EL2 code on one core, and what they can do.
 */
export class ProtocolHost implements HypervisorContext {
  readonly options: Readonly<Record<string, unknown>>;
  readonly durable: Map<string, unknown>;
  nodes: readonly number[];
  now: Instant = 0 as Instant;
  /** The last write that was handed to the protocol. */
  dispatched = 0;
  /** Bodies sent to nodes, answers among them not. */
  sent = 0;
  private readonly spec: MachineSpec;
  private readonly layout: MachineLayout;
  private readonly latencies: Latencies;
  private readonly half: HypervisorHalf;
  private readonly relays: boolean;
  private readonly port: HostPort;
  /** What has happened and is not handled yet. Whoever looks at a host from outside cannot look into a function. */
  private readonly agenda = new Queue<{ readonly event: unknown; readonly handler: () => Steps | undefined }>();
  private running: TaskRun | null = null;
  private blocked = false;
  private pendingOperations = 0;
  private nextAsk = 1;
  private readonly asked = new Map<number, { readonly wire: Wire; readonly missing: Set<number> }>();

  constructor(
    spec: MachineSpec,
    latencies: Latencies,
    half: HypervisorHalf,
    port: HostPort,
    durable: Map<string, unknown>,
    down: ReadonlySet<number>,
  ) {
    this.spec = spec;
    this.latencies = latencies;
    this.options = spec.protocolOptions;
    this.layout = layOut(spec);
    this.half = half;
    this.relays = relays(spec);
    this.port = port;
    this.durable = durable;
    this.nodes = Array.from({ length: spec.nodes }, (_, node) => node).filter((node) => !down.has(node));
  }

  /** Questions that nodes were asked. */
  get asks(): number {
    return this.nextAsk - 1;
  }

  /** What its handlers wait for, in words. */
  waits(): readonly string[] {
    const waits = [...this.asked].map(
      ([ask, { missing }]) =>
        `the protocol waits for the answer of node ${[...missing].join(', ')} to its question ${ask}`,
    );
    if (this.pendingOperations > 0)
      waits.push(`${this.pendingOperations} of its stores and invalidations are not over`);
    return waits;
  }

  // ---- events -----------------------------------------------------------------------------------------------------------

  write(write: Write): void {
    this.handle(write, () => {
      this.dispatched = write.number;
      return this.half.onWrite(this, write);
    });
  }

  timer(tag: number): void {
    this.handle(tag, () => this.half.onTimer?.(this, tag));
  }

  /** A node's EL2 sent something. */
  deliver(node: number, wire: Wire): void {
    if (wire.kind === 'answer') this.answered(wire.ask, node);
    else if (wire.kind === 'tell') this.handle([node, wire], () => this.half.onMessage?.(this, node, wire.body));
  }

  /**
   * A node has failed. Nobody waits for its answers any more, but for those of the primary's node: what it was to do to the
   * primary it must do when it is back, see {@link askAgain}.
   */
  nodeDown(node: number, epoch: number): void {
    this.nodes = this.nodes.filter((other) => other !== node);
    if (node !== PRIMARY_NODE) for (const ask of [...this.asked.keys()]) this.answered(ask, node);
    this.handle([node, epoch], () => this.half.onNodeDown?.(this, node, epoch));
  }

  /** The primary's node is back: what it has not answered is asked again. */
  askAgain(): void {
    for (const { wire, missing } of this.asked.values()) {
      if (missing.has(PRIMARY_NODE)) this.port.transmit(PRIMARY_NODE, wire);
    }
  }

  /** When nothing else is under way, a node that returns is one of those that are up again. */
  nodeBack(node: number, epoch: number, back: Return): void {
    this.handle({ node, epoch }, () => this.admit(node, epoch, back));
  }

  /** Until the node's copy has caught up, no write is handed to the protocol. */
  private *admit(node: number, epoch: number, { begins, waits, stays, ends }: Return): Steps {
    if (!begins()) return;
    while (waits()) yield WAIT;
    if (!stays()) return;
    this.nodes = [...this.nodes.filter((other) => other !== node), node].sort((x, y) => x - y);
    const steps = this.half.onNodeBack?.(this, node, epoch);
    if (steps !== undefined) yield steps;
    ends();
  }

  /** What {@link nodeBack} waits for may have come. */
  lookAgain(): void {
    this.wake();
  }

  /** A store or a maintenance operation is over. */
  performed(): void {
    if (--this.pendingOperations === 0) this.wake();
  }

  /** The moment asked for by {@link HostPort.wakeAt} has come. */
  goOn(): void {
    if (this.running === null) return;
    const ticks = this.running.resume();
    if (ticks === null) {
      this.running = null;
      this.next();
    } else if (ticks === WAIT) this.blocked = true;
    else this.port.wakeAt((this.now + ticks) as Instant);
  }

  private handle(event: unknown, handler: () => Steps | undefined): void {
    this.agenda.push({ event, handler });
    if (this.running === null) this.next();
  }

  private next(): void {
    while (this.running === null && this.agenda.length > 0) {
      const steps = this.agenda.shift()!.handler();
      if (steps === undefined) continue;
      this.running = new TaskRun(steps);
      this.goOn();
      return;
    }
  }

  private wake(): void {
    if (!this.blocked) return;
    this.blocked = false;
    this.goOn();
  }

  // ---- what the protocol can do -------------------------------------------------------------------------------------------

  pagesOf(write: Write): readonly number[] {
    return pagesOfWrite(this.spec, write);
  }

  setTimer(delay: Duration, tag: number): void {
    if (!(delay >= 0)) throw new InputError('protocol', `a timer cannot wait for ${delay} ps`);
    this.port.timerAt((this.now + delay) as Instant, tag);
  }

  retire(write: Write): void {
    this.port.retire(write);
  }

  send(node: number, body: unknown): void {
    this.transmit([node], { kind: 'tell', body });
  }

  broadcast(body: unknown): void {
    this.transmit(this.nodes, { kind: 'tell', body });
  }

  *ask(nodes: readonly number[], body: unknown): Step<void> {
    const targets = nodes.filter((node) => node === PRIMARY_NODE || this.nodes.includes(node));
    if (targets.length === 0) return;
    const ask = this.nextAsk++;
    const missing = new Set(targets);
    const wire: Wire = { kind: 'ask', ask, body };
    this.asked.set(ask, { wire, missing });
    this.transmit(targets, wire);
    while (missing.size > 0) yield WAIT;
    this.asked.delete(ask);
  }

  private answered(ask: number, node: number): void {
    const missing = this.asked.get(ask)?.missing;
    if (missing?.delete(node) === true && missing.size === 0) this.wake();
  }

  /** One message each; with `multicast` one per socket, to its lowest node, which passes it on. */
  private transmit(nodes: readonly number[], wire: Wire): void {
    for (const node of nodes) {
      if (!(node >= 0 && node < this.spec.nodes)) throw new InternalError(`there is no node ${node}`);
    }
    this.sent += nodes.length;
    if (!this.relays) {
      for (const node of nodes) this.port.transmit(node, wire);
      return;
    }
    const { sockets } = this.spec.topology;
    for (const leader of this.nodes) {
      const socket = sockets[leader];
      if (this.nodes.find((node) => sockets[node] === socket) !== leader) continue;
      const targets = nodes.filter((node) => sockets[node] === socket);
      if (targets.length === 0) continue;
      // All that a node gets comes by way of its leader, so nothing overtakes.
      const isPlain = targets.length === 1 && targets[0] === leader;
      this.port.transmit(leader, isPlain ? wire : { kind: 'relay', to: targets, wire });
    }
  }

  *storeCopy(node: number, write: Write): Step<void> {
    const { latencies } = this;
    const pa = this.paOf(node, write);
    for (let i = 0; i < write.words.length; ) {
      const inLine = Math.min(write.words.length - i, (LINE_BYTES - ((pa + 4 * i) % LINE_BYTES)) / 4);
      this.operate(node, link.STORE, pa + 4 * i, write.number, write.words.slice(i, i + inLine));
      i += inLine;
    }
    yield latencies.storePs * write.words.length;
  }

  *maintainCopy(node: number, write: Write): Step<void> {
    const { spec, latencies } = this;
    const pa = this.paOf(node, write);
    const first = alignDown(pa, LINE_BYTES);
    const end = pa + 4 * write.words.length;
    if (!spec.idc) {
      for (let line = first; line < end; line += LINE_BYTES) {
        this.operate(node, link.CLEAN_LINE, line, 0, null);
        yield latencies.dcCvauPs;
      }
      yield* this.dsb();
    }
    if (spec.dic) return;
    for (let line = first; line < end; line += LINE_BYTES) {
      for (let to = 0; to < spec.nodes; to++) this.operate(to, link.MAINTAIN, link.IC_IVAU, line, null);
      yield latencies.icIvauPs;
    }
  }

  *dsb(): Step<void> {
    while (this.pendingOperations > 0) yield WAIT;
    yield this.latencies.dsbBasePs;
  }

  private operate(node: number, kind: number, a: number, c: number, body: unknown): void {
    this.pendingOperations++;
    this.port.operate(node, kind, a, c, body);
  }

  /** PA of the first word of a write in the copy of `node`. */
  private paOf(node: number, write: Write): number {
    return this.layout.copyPa[node]! + 4 * write.word - this.layout.spanStart;
  }
}
