import { assert, collect, type Instant, InternalError, type Task } from '@numalab/base';
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
import type { NodeHalf, Protocol } from '@numalab/protocols';
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
  /** Before which moment each process has done everything. */
  private readonly done: Float64Array;
  /** When each process acts next. */
  private readonly next: Float64Array;

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
    this.nodes = this.makeNodes(spec, protocol, watch);
    this.hypervisor = new HypervisorProcess(spec, () => protocol.hypervisor(spec.bugs));
    this.processes = [...this.nodes, this.hypervisor];
    this.next = Float64Array.from(this.processes, (process) => process.nextTime());
    this.windowPs = this.hypervisor.latencies.minLinkPs() / windowDivisor;
    this.lookahead = lookaheadMatrix(spec, this.hypervisor.latencies, windowDivisor);
    this.done = new Float64Array(this.processes.length);
    this.bootMs = performance.now() - started;
  }

  private makeNodes(spec: MachineSpec, protocol: Protocol, watch: WatchMap): NodeProcess[] {
    const makeHalf = (): NodeHalf => protocol.node(spec.bugs);
    return collect(this.hardware, (hardware) => new NodeProcess(hardware, spec, makeHalf, watch));
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
    assert(isSameMachine(this.spec, spec), 'a machine is reset for another seed of the same scenario');
    this.spec = spec;
    for (const hardware of this.hardware) hardware.reset();
    this.nodes = this.makeNodes(spec, protocol, watch);
    const { latencies } = this.hypervisor;
    this.hypervisor = new HypervisorProcess(spec, () => protocol.hypervisor(spec.bugs), latencies);
    this.processes = [...this.nodes, this.hypervisor];
    for (const [i, process] of this.processes.entries()) this.next[i] = process.nextTime();
    this.windows = 0;
    this.done.fill(0);
    this.bootMs = performance.now() - started;
  }

  /** Gives core `core` of a node a task that no writer has, from `at` on: what a test wants the kernel to do. */
  startTask(id: number, core: number, task: () => Task, at: number): void {
    const node = this.nodes[id]!;
    node.startTask(node.cpus[core]!, task, at);
    this.next[id] = node.nextTime();
  }

  /**
   * Runs one window: lets the process that acts next act until the moment from which on others could have their say. False when
   * nothing is left to happen.
   */
  window(): boolean {
    const { next } = this;
    let first = 0;
    for (let i = 1; i < next.length; i++) if (next[i]! < next[first]!) first = i;
    if (next[first] === Infinity) return false;
    this.windows++;
    const process = this.processes[first]!;
    const limit = this.limitOf(first);
    next[first] = process.step(limit as Instant);
    this.done[first] = limit;
    if (process.outbox.length > 0) this.deliver(process.outbox);
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

  /** Until when process `to`, which acts next of all, knows everything that can reach it. */
  private limitOf(to: number): number {
    const { next, lookahead } = this;
    const count = next.length;
    if (lookahead === null) return next[to]! + this.windowPs;
    let limit = Infinity;
    for (let from = 0, at = to; from < count; from++, at += count) {
      const reach = next[from]! + lookahead[at]!;
      if (reach < limit) limit = reach;
    }
    return limit;
  }

  private deliver(outbox: Message[]): void {
    const { processes, next, done } = this;
    // Last first, which changes nothing: whoever receives them has an order for them. Setting an array's length is slow.
    while (outbox.length > 0) {
      const message = outbox.pop()!;
      const { to, time } = message;
      if (time < done[to]!) {
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
      nodes: collect(this.nodes, (node) => reportOf(node, figures)),
      hypervisor: hypervisorReportOf(this.hypervisor),
      endPs: Math.max(...this.nodes.map((node) => node.time)),
      windows: this.windows,
      bootMs: this.bootMs,
      wallMs,
      interrupted,
    };
  }
}
