import { InputError } from '@numalab/base';
import { watchTables } from '@numalab/checkers';
import { HypervisorProcess, hypervisorReportOf } from '@numalab/hypervisor';
import { type Message, RingReader, RingWriter } from '@numalab/interconnect';
import { Latencies } from '@numalab/machine';
import { NodeHardware, NodeProcess, reportOf } from '@numalab/node-worker';
import { reachPs } from './deal.ts';
import { ProcessGroup } from './process-group.ts';
import { loadProtocol } from './protocol-ref.ts';
import { ringOf, type ThreadFailure, type ThreadOutcome, type ThreadReport, type ThreadTask } from './thread-task.ts';
import { RunControl, WindowBarrier } from './window-barrier.ts';

/** A window between threads is at most this many times as long as one inside a thread: a wish to end must be seen. */
const MAX_WINDOW = 64;

const nowMs = (): number => performance.timeOrigin + performance.now();

/** One thread of a run: the processes that live on it, and its ends of the rings. */
class MachineThread {
  private readonly task: ThreadTask;
  private readonly nodes: readonly NodeProcess[];
  private readonly hypervisor: HypervisorProcess | null;
  private readonly group: ProcessGroup;
  private readonly barrier: WindowBarrier;
  /** By thread; null: this one. */
  private readonly writers: readonly (RingWriter | null)[];
  private readonly readers: readonly (RingReader | null)[];
  /** See {@link reachPs}. */
  private readonly reach: Float64Array;
  private readonly receive: (message: Message) => void;
  /** By thread: earliest arrival among the messages sent to it in this window. */
  private readonly sent: Float64Array;
  private windows = 0;

  private constructor(task: ThreadTask, nodes: readonly NodeProcess[], hypervisor: HypervisorProcess | null) {
    const { spec, thread, threads, owners, windowDivisor } = task;
    this.task = task;
    this.nodes = nodes;
    this.hypervisor = hypervisor;
    const latencies = new Latencies(spec.topology, spec.profile);
    const innerPs = latencies.minLinkPs() / windowDivisor;
    this.reach = reachPs(spec, latencies, owners, threads).map((ps) =>
      Math.min(ps / windowDivisor, MAX_WINDOW * innerPs),
    );
    this.sent = new Float64Array(threads).fill(Infinity);
    const processes = hypervisor === null ? nodes : [...nodes, hypervisor];
    this.group = new ProcessGroup(processes, owners.length, innerPs, (message) => this.sendAway(message));
    this.receive = (message) => this.group.receive(message);
    this.barrier = new WindowBarrier(task.barrier, threads, thread, task.ownCore);
    const others = Array.from({ length: threads }, (_, other) => other);
    this.writers = others.map((to) => (to === thread ? null : new RingWriter(ringOf(task.rings, threads, thread, to))));
    this.readers = others.map((from) =>
      from === thread ? null : new RingReader(ringOf(task.rings, threads, from, thread)),
    );
  }

  static async build(task: ThreadTask): Promise<MachineThread> {
    const { spec, watch, owners, thread } = task;
    const protocol = loadProtocol(task.protocol);
    const nodes: NodeProcess[] = [];
    for (let id = 0; id < spec.nodes; id++) {
      if (owners[id] === thread) {
        nodes.push(new NodeProcess(new NodeHardware(id, spec, watchTables), spec, () => protocol.node(), watch));
      }
    }
    const hasHypervisor = owners[spec.nodes] === thread;
    const hypervisor = hasHypervisor ? new HypervisorProcess(spec, () => protocol.hypervisor()) : null;
    return new MachineThread(task, nodes, hypervisor);
  }

  private sendAway(message: Message): void {
    const to = this.task.owners[message.to]!;
    if (message.time < this.sent[to]!) this.sent[to] = message.time;
    this.writers[to]!.put(message);
  }

  /**
   * Sends what the last window made, meets the others, takes what they sent. Returns the moment at which anything happens
   * next, Infinity if nothing is left, NaN if another thread failed. Messages on their way count: their sender
   * knows of them before their receiver does.
   */
  private exchange(): number {
    const { barrier, writers, readers, group, sent } = this;
    do {
      const exchange = barrier.meetings;
      let pending = 0;
      for (const writer of writers) if (writer !== null) pending = Math.max(pending, writer.flush(exchange));
      if (!barrier.meet(group.nextTime(), pending, sent)) return Number.NaN;
      for (const reader of readers) reader?.take(exchange, this.receive);
    } while (barrier.pending > 0);
    sent.fill(Infinity);
    return barrier.first;
  }

  /** Until when this thread knows of all messages that it will receive, from what the last meeting told. */
  private limit(): number {
    const { reach, barrier } = this;
    const { thread, threads } = this.task;
    let limit = Infinity;
    for (let from = 0; from < threads; from++) {
      limit = Math.min(limit, barrier.nexts[from]! + reach[from * threads + thread]!);
    }
    return limit;
  }

  /** Runs until nothing is left to happen or the run should end. Null if another thread failed. */
  run(): ThreadReport | null {
    const { barrier, group } = this;
    const isFirst = this.task.thread === 0;
    let next = this.exchange();
    const startedMs = nowMs();
    while (next < Infinity && !barrier.ending) {
      group.run(this.limit());
      this.windows++;
      next = this.exchange();
      if (isFirst && next < Infinity && (this.windows & 255) === 0) barrier.report(next);
    }
    if (Number.isNaN(next)) return null;
    const endedMs = nowMs();
    return {
      nodes: this.nodes.map((node) => reportOf(node)),
      hypervisor: this.hypervisor === null ? null : hypervisorReportOf(this.hypervisor),
      endPs: Math.max(...this.nodes.map((node) => node.time)),
      windows: this.windows,
      startedMs,
      endedMs,
      interrupted: next < Infinity,
    };
  }
}

const failureOf = (error: unknown): ThreadFailure => {
  const { name, message, stack = '' } = error instanceof Error ? error : new Error(String(error));
  return { name, message, stack, where: error instanceof InputError ? error.where : '' };
};

/** One thread's part of a run, from boot to report. An error stops all threads. */
export const runThread = async (task: ThreadTask): Promise<ThreadOutcome> => {
  try {
    const report = (await MachineThread.build(task)).run();
    return report === null ? { kind: 'stopped' } : { kind: 'done', report };
  } catch (error) {
    new RunControl(task.barrier).fail();
    return { kind: 'failed', failure: failureOf(error) };
  }
};
