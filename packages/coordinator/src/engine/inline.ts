import { assert, type Instant, InternalError, type Task } from '@numalab/base';
import { HypervisorProcess, type HypervisorReport, hypervisorReportOf } from '@numalab/hypervisor';
import type { Message, Process } from '@numalab/interconnect';
import {
  isSameMachine,
  type MachineSpec,
  NodeHardware,
  NodeProcess,
  type NodeReport,
  reportOf,
  type TableWatcherFactory,
  type WatchMap,
} from '@numalab/node-worker';
import type { Protocol } from '@numalab/protocols';
import { withDeadline } from './deadline.ts';
import { lookaheadMatrix } from './lookahead.ts';
import { isForeign, loopsForEver } from './protocol-ref.ts';

/** What a run left behind: the reports of all nodes and of the hypervisor. */
export interface RawRun {
  readonly nodes: readonly NodeReport[];
  readonly hypervisor: HypervisorReport;
  /** Moment of the last thing that happened, in picoseconds of virtual time. */
  readonly endPs: number;
  readonly windows: number;
  readonly bootMs: number;
  readonly wallMs: number;
  readonly interrupted: boolean;
}

/** A run lets the event loop turn this often, in milliseconds of real time. */
const TURN_MS = 50;

/** A machine whose processes live in this thread. */
export class InlineMachine {
  nodes: readonly NodeProcess[];
  hypervisor: HypervisorProcess;
  processes: readonly Process[];
  bootMs: number;
  windows = 0;
  private readonly hardware: readonly NodeHardware[];
  spec: MachineSpec;
  private readonly windowPs: number;
  private readonly lookahead: Float64Array | null;
  private readonly limits: Float64Array;
  /** When each process acts next. */
  private readonly next: Float64Array;
  private readonly senders: Process[] = [];

  /** `windowDivisor` shortens the windows, which must change nothing. */
  constructor(
    spec: MachineSpec,
    protocol: Protocol,
    watch: WatchMap,
    watcherOf: TableWatcherFactory | null,
    windowDivisor = 1,
  ) {
    const started = performance.now();
    this.spec = spec;
    this.hardware = Array.from({ length: spec.nodes }, (_, id) => new NodeHardware(id, spec, watcherOf));
    this.nodes = this.hardware.map(
      (hardware) => new NodeProcess(hardware, spec, () => protocol.node(spec.bugs), watch),
    );
    this.hypervisor = new HypervisorProcess(spec, () => protocol.hypervisor(spec.bugs));
    this.processes = [...this.nodes, this.hypervisor];
    this.next = Float64Array.from(this.processes, (process) => process.nextTime());
    this.windowPs = this.hypervisor.latencies.minLinkPs() / windowDivisor;
    this.lookahead = lookaheadMatrix(spec, this.hypervisor.latencies, windowDivisor);
    this.limits = new Float64Array(this.processes.length);
    this.bootMs = performance.now() - started;
  }

  /**
   * Keeps what boot made, so that {@link reset} can go back to it. To be called before the first window; whoever watches tables
   * must be able to be copied.
   */
  checkpoint(): void {
    for (const hardware of this.hardware) hardware.checkpoint();
  }

  /**
   * Makes this the machine of another seed, as if it had been built for it: what is expensive is set back, the rest is made
   * anew. `spec` must be for the same machine; the reports of earlier runs that hold memory are void.
   */
  reset(spec: MachineSpec, protocol: Protocol, watch: WatchMap): void {
    const started = performance.now();
    assert(isSameMachine(this.spec, spec), 'a machine is reset for what differs in what a seed decides alone');
    this.spec = spec;
    for (const hardware of this.hardware) hardware.reset();
    this.nodes = this.hardware.map(
      (hardware) => new NodeProcess(hardware, spec, () => protocol.node(spec.bugs), watch),
    );
    const { latencies } = this.hypervisor;
    this.hypervisor = new HypervisorProcess(spec, () => protocol.hypervisor(spec.bugs), latencies);
    this.processes = [...this.nodes, this.hypervisor];
    for (const [i, process] of this.processes.entries()) this.next[i] = process.nextTime();
    this.windows = 0;
    this.senders.length = 0;
    this.bootMs = performance.now() - started;
  }

  /** Gives core `core` of a node a task that no writer has, from `at` on: what a test wants the kernel to do. */
  startTask(id: number, core: number, task: () => Task, at: number): void {
    const node = this.nodes[id]!;
    node.startTask(node.cpus[core]!, task, at);
    this.next[id] = node.nextTime();
  }

  /** Runs one window. False when nothing is left to happen. */
  window(): boolean {
    const { processes, next, limits } = this;
    if (!this.setLimits()) return false;
    this.windows++;
    for (let i = 0; i < next.length; i++) {
      if (next[i]! >= limits[i]!) continue;
      const process = processes[i]!;
      process.step(limits[i] as Instant);
      next[i] = process.nextTime();
      if (process.outbox.length > 0) this.senders.push(process);
    }
    while (this.senders.length > 0) this.deliver(this.senders.pop()!.outbox);
    return true;
  }

  /** Runs windows for some `ms` of real time, or to the end. False when nothing is left to happen. */
  private windowsFor(ms: number): boolean {
    const end = performance.now() + ms;
    for (let checks = 1; this.window(); checks++) {
      if ((checks & 255) === 0 && performance.now() >= end) return true;
    }
    return false;
  }

  /** A protocol from a file may loop for ever; numalab's own do not. */
  private guarded<Result>(piece: () => Result): Result {
    const { protocol } = this.spec;
    return isForeign(protocol) ? withDeadline(piece, () => loopsForEver(protocol)) : piece();
  }

  /** Until when each process knows all that can reach it. False if nobody has anything left to do. */
  private setLimits(): boolean {
    const { next, limits, lookahead } = this;
    const count = next.length;
    let first = Infinity;
    for (let i = 0; i < count; i++) if (next[i]! < first) first = next[i]!;
    if (first === Infinity) return false;
    // Written out, here and below: to fill an array so short costs more than all the rest.
    const bound = lookahead === null ? first + this.windowPs : Infinity;
    for (let i = 0; i < count; i++) limits[i] = bound;
    if (lookahead === null) return true;
    for (let from = 0, at = 0; from < count; from++) {
      const time = next[from]!;
      for (let to = 0; to < count; to++, at++) {
        const reach = time + lookahead[at]!;
        if (reach < limits[to]!) limits[to] = reach;
      }
    }
    return true;
  }

  private deliver(outbox: Message[]): void {
    const { processes, next, limits } = this;
    // Last first, which changes nothing: whoever receives them has an order for them. Setting an array's length is slow.
    while (outbox.length > 0) {
      const message = outbox.pop()!;
      const { to, time } = message;
      if (time < limits[to]!) {
        throw new InternalError(`message ${message.kind} from ${message.from} arrives in a window that has passed`);
      }
      processes[to]!.receive(message);
      if (time < next[to]!) next[to] = time;
    }
  }

  /**
   * Runs until nothing is left to happen, or `signal` aborts. Lets the event loop turn now and then, and tells `progress` the
   * virtual time in picoseconds.
   */
  async run(signal?: AbortSignal, progress?: (virtualPs: number) => void): Promise<RawRun> {
    const started = performance.now();
    let interrupted = false;
    while (this.guarded(() => this.windowsFor(TURN_MS))) {
      progress?.(this.nodes[0]!.time);
      await new Promise((resolve) => setImmediate(resolve));
      if (signal?.aborted === true) {
        interrupted = true;
        break;
      }
    }
    return this.leave(performance.now() - started, interrupted, true);
  }

  /**
   * Runs to the end in one go, for runs that are short and whose figures nobody reads. One that is not over after
   * `most` windows is cut off: a measure of its work that is the same everywhere.
   */
  runShort(most: number = Infinity): RawRun {
    const started = performance.now();
    const isOver = this.guarded(() => this.windowsUpTo(most));
    return this.leave(performance.now() - started, !isOver, false);
  }

  /** False: the run is not over by then. */
  private windowsUpTo(most: number): boolean {
    while (this.window()) if (this.windows >= most) return false;
    return true;
  }

  private leave(wallMs: number, interrupted: boolean, figures: boolean): RawRun {
    return {
      nodes: this.nodes.map((node) => reportOf(node, figures)),
      hypervisor: hypervisorReportOf(this.hypervisor),
      endPs: Math.max(...this.nodes.map((node) => node.time)),
      windows: this.windows,
      bootMs: this.bootMs,
      wallMs,
      interrupted,
    };
  }
}
