import { assert, type Instant } from '@numalab/base';
import { HypervisorProcess, type HypervisorReport, hypervisorReportOf } from '@numalab/hypervisor';
import type { Process } from '@numalab/interconnect';
import {
  type MachineSpec,
  NodeProcess,
  type NodeReport,
  reportOf,
  type TableWatcherFactory,
  type WatchMap,
} from '@numalab/node-worker';
import type { Protocol } from '@numalab/protocols';

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

/** A machine whose processes live in this thread. */
export class InlineMachine {
  readonly nodes: readonly NodeProcess[];
  readonly hypervisor: HypervisorProcess;
  readonly processes: readonly Process[];
  readonly bootMs: number;
  windows = 0;
  private readonly windowPs: number;

  /** `windowDivisor` shortens the windows, which must change nothing. */
  constructor(
    spec: MachineSpec,
    protocol: Protocol,
    watch: WatchMap,
    watcherOf: TableWatcherFactory | null,
    windowDivisor = 1,
  ) {
    const started = performance.now();
    this.nodes = Array.from(
      { length: spec.nodes },
      (_, id) => new NodeProcess(id, spec, protocol.node(), watch, watcherOf),
    );
    this.hypervisor = new HypervisorProcess(spec, protocol.hypervisor());
    this.processes = [...this.nodes, this.hypervisor];
    this.windowPs = this.hypervisor.latencies.minLinkPs() / windowDivisor;
    this.bootMs = performance.now() - started;
  }

  /** Runs one window. False when nothing is left to happen. */
  window(): boolean {
    const { processes } = this;
    let first = Infinity;
    for (const process of processes) first = Math.min(first, process.nextTime());
    if (first === Infinity) return false;
    this.windows++;
    const limit = (first + this.windowPs) as Instant;
    for (const process of processes) if (process.nextTime() < limit) process.step(limit);
    for (const process of processes) {
      const { outbox } = process;
      for (const message of outbox) {
        assert(
          message.time >= limit,
          `a message of kind ${message.kind} from ${message.from} to ${message.to} at ${message.time} arrives before the window ends at ${limit} (${this.windowPs})`,
        );
        processes[message.to]!.receive(message);
      }
      outbox.length = 0;
    }
    return true;
  }

  /** Runs until nothing is left to happen, or `signal` aborts. Lets the event loop turn now and then. */
  async run(signal?: AbortSignal): Promise<RawRun> {
    const started = performance.now();
    let lastTurn = started;
    let interrupted = false;
    let checks = 0;
    while (this.window()) {
      if ((++checks & 255) !== 0) continue;
      const now = performance.now();
      if (now - lastTurn < 50) continue;
      await new Promise((resolve) => setImmediate(resolve));
      lastTurn = performance.now();
      if (signal?.aborted === true) {
        interrupted = true;
        break;
      }
    }
    const wallMs = performance.now() - started;
    return {
      nodes: this.nodes.map(reportOf),
      hypervisor: hypervisorReportOf(this.hypervisor),
      endPs: Math.max(...this.nodes.map((node) => node.time)),
      windows: this.windows,
      bootMs: this.bootMs,
      wallMs,
      interrupted,
    };
  }
}
