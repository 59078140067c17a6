import { type Duration, InputError, type Instant, type Step, TaskRun, WAIT } from '@numalab/base';
import * as link from '@numalab/interconnect';
import { type Latencies, LINE_BYTES } from '@numalab/machine';
import { layOut, type MachineLayout, type MachineSpec, pagesOfWrite, type Wire } from '@numalab/node-worker';
import type { HypervisorContext, HypervisorHalf, Steps, Write } from '@numalab/protocols';

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
  readonly durable: Map<string, unknown> = new Map();
  nodes: readonly number[];
  now: Instant = 0 as Instant;
  /** Bodies sent to nodes, answers among them not. */
  sent = 0;
  private readonly spec: MachineSpec;
  private readonly layout: MachineLayout;
  private readonly latencies: Latencies;
  private readonly half: HypervisorHalf;
  private readonly port: HostPort;
  private readonly agenda: (() => Steps | undefined)[] = [];
  private running: TaskRun | null = null;
  private blocked = false;
  private pendingOperations = 0;
  private nextAsk = 1;
  private readonly asked = new Map<number, Set<number>>();

  constructor(spec: MachineSpec, latencies: Latencies, half: HypervisorHalf, port: HostPort) {
    this.spec = spec;
    this.latencies = latencies;
    this.options = spec.protocolOptions;
    this.layout = layOut(spec);
    this.half = half;
    this.port = port;
    this.nodes = Array.from({ length: spec.nodes }, (_, node) => node);
  }

  // ---- events -----------------------------------------------------------------------------------------------------------

  write(write: Write): void {
    this.handle(() => this.half.onWrite(this, write));
  }

  timer(tag: number): void {
    this.handle(() => this.half.onTimer?.(this, tag));
  }

  /** A node's EL2 sent something. */
  deliver(node: number, wire: Wire): void {
    if (wire.kind === 'answer') this.answered(wire.ask, node);
    else if (wire.kind === 'tell') this.handle(() => this.half.onMessage?.(this, node, wire.body));
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

  private handle(handler: () => Steps | undefined): void {
    this.agenda.push(handler);
    if (this.running === null) this.next();
  }

  private next(): void {
    while (this.running === null && this.agenda.length > 0) {
      const steps = this.agenda.shift()!();
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
    const targets = nodes.filter((node) => this.nodes.includes(node));
    if (targets.length === 0) return;
    const ask = this.nextAsk++;
    const missing = new Set(targets);
    this.asked.set(ask, missing);
    this.transmit(targets, { kind: 'ask', ask, body });
    while (missing.size > 0) yield WAIT;
    this.asked.delete(ask);
  }

  private answered(ask: number, node: number): void {
    const missing = this.asked.get(ask);
    if (missing?.delete(node) === true && missing.size === 0) this.wake();
  }

  /** One message each; with `multicast` one per socket, to its lowest node, which passes it on. */
  private transmit(nodes: readonly number[], wire: Wire): void {
    this.sent += nodes.length;
    if (this.options.multicast !== true) {
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
    const first = pa - (pa % LINE_BYTES);
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
