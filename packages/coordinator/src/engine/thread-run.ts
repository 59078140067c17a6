import { InputError } from '@numalab/base';
import { watchTables } from '@numalab/checkers';
import { HypervisorProcess, hypervisorReportOf } from '@numalab/hypervisor';
import { type Message, RingReader, RingWriter } from '@numalab/interconnect';
import { Latencies } from '@numalab/machine';
import { NodeHardware, NodeProcess, reportOf } from '@numalab/node-worker';
import { MachineTrace } from '../trace/trace-machine.ts';
import { MemberLinks } from './cluster/member-links.ts';
import { LinkLost } from './cluster/member-socket.ts';
import { ELSEWHERE, reachPs } from './deal.ts';
import { ProcessGroup } from './process-group.ts';
import { loadProtocol } from './protocol-ref.ts';
import { ringOf, type ThreadFailure, type ThreadOutcome, type ThreadReport, type ThreadTask } from './thread-task.ts';
import { RunControl, WindowBarrier } from './window-barrier.ts';

/** A window between threads is at most this many times as long as one inside a thread: a wish to end must be seen. */
const MAX_WINDOW = 64;

/** A horizon that says that the run is over. */
const ENDED = -1;

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
  /** Connections to other processes of the operating system; null: there are none, or another thread has them. */
  private readonly links: MemberLinks | null;
  /** By member; see {@link reachPs}. */
  private readonly memberReach: Float64Array;
  private readonly trace: MachineTrace | null;
  /** Until when nothing can come from another process of the operating system; see {@link ENDED}. */
  private horizon: number;
  private windows = 0;

  private constructor(
    task: ThreadTask,
    nodes: readonly NodeProcess[],
    hypervisor: HypervisorProcess | null,
    links: MemberLinks | null,
    trace: MachineTrace | null,
  ) {
    const { spec, thread, threads, owners, windowDivisor, cluster } = task;
    this.task = task;
    this.nodes = nodes;
    this.hypervisor = hypervisor;
    this.links = links;
    this.trace = trace;
    this.horizon = cluster === null ? Infinity : 0;
    const latencies = new Latencies(spec.topology, spec.profile);
    const innerPs = latencies.minLinkPs() / windowDivisor;
    const bound = (ps: number): number => Math.min(ps / windowDivisor, MAX_WINDOW * innerPs);
    this.reach = reachPs(spec, latencies, owners, threads).map(bound);
    const { memberOf, members } = cluster ?? { memberOf: owners, members: 0 };
    this.memberReach = reachPs(spec, latencies, memberOf, members).map(bound);
    this.sent = new Float64Array(threads).fill(Infinity);
    const processes = hypervisor === null ? nodes : [...nodes, hypervisor];
    this.group = new ProcessGroup(processes, owners.length, innerPs, (message) => this.sendAway(message));
    this.receive = links === null ? (message) => this.group.receive(message) : (message) => this.passOn(message);
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
    const trace = task.trace === null ? null : new MachineTrace(task.trace, watchTables);
    const nodes: NodeProcess[] = [];
    for (let id = 0; id < spec.nodes; id++) {
      if (owners[id] === thread) {
        const hardware = new NodeHardware(id, spec, trace?.watcherOf ?? watchTables);
        nodes.push(new NodeProcess(hardware, spec, () => protocol.node(spec.bugs), watch));
      }
    }
    const hasHypervisor = owners[spec.nodes] === thread;
    const hypervisor = hasHypervisor ? new HypervisorProcess(spec, () => protocol.hypervisor(spec.bugs)) : null;
    const links = task.cluster !== null && thread === 0 ? await MemberLinks.open(task.cluster) : null;
    trace?.attach(spec, nodes, hypervisor);
    return new MachineThread(task, nodes, hypervisor, links, trace);
  }

  private sendAway(message: Message): void {
    const to = this.task.owners[message.to]!;
    if (to !== ELSEWHERE) {
      if (message.time < this.sent[to]!) this.sent[to] = message.time;
      this.writers[to]!.put(message);
    } else if (this.links !== null) {
      this.links.put(message);
    } else {
      // The first thread has the connections. It has nothing to do at the moment of arrival, so that is not noted.
      this.writers[0]!.put(message);
    }
  }

  /** What comes to the thread with the connections may be for a process of any thread, or for one elsewhere. */
  private passOn(message: Message): void {
    if (this.task.owners[message.to] === this.task.thread) this.group.receive(message);
    else this.sendAway(message);
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
      if (!barrier.meet(group.nextTime(), pending, sent, this.horizon)) return Number.NaN;
      for (const reader of readers) reader?.take(exchange, this.receive);
    } while (barrier.pending > 0);
    sent.fill(Infinity);
    return barrier.first;
  }

  /**
   * The exchange with other processes of the operating system, by the thread that has the connections; the others learn of it
   * when they meet. `next` is when anything happens next on this member.
   */
  private async exchangeOutside(links: MemberLinks, next: number): Promise<void> {
    await links.exchange(next, this.barrier.ending, this.receive);
    const { member, members } = this.task.cluster!;
    this.horizon = Infinity;
    for (let from = 0; from < members; from++) {
      this.horizon = Math.min(this.horizon, links.nexts[from]! + this.memberReach[from * members + member]!);
    }
    if (links.first === Infinity || links.isEnding) this.horizon = ENDED;
  }

  /** Until when this thread knows of all messages that it will receive, from what the last meeting told. */
  private limit(): number {
    const { reach, barrier } = this;
    const { thread, threads } = this.task;
    let limit = barrier.horizon;
    for (let from = 0; from < threads; from++) {
      limit = Math.min(limit, barrier.nexts[from]! + reach[from * threads + thread]!);
    }
    return limit;
  }

  /** Runs until nothing is left to happen before the horizon. Returns what happens next; see {@link exchange}. */
  private runToHorizon(first: number): number {
    const { barrier, group } = this;
    const isTold = this.task.thread === 0;
    const alone = this.task.cluster === null;
    let next = first;
    // In a cluster all members must end after the same window: they agree on it in their exchange.
    while (next < barrier.horizon && !(alone && barrier.ending)) {
      group.run(this.limit());
      this.windows++;
      next = this.exchange();
      if (isTold && next < Infinity && (this.windows & 255) === 0) barrier.report(next);
    }
    return next;
  }

  /** Runs until nothing is left to happen or the run should end. Null if another thread failed. */
  async run(): Promise<ThreadReport | null> {
    const { barrier, links, task } = this;
    let next = this.exchange();
    const startedMs = nowMs();
    for (;;) {
      next = this.runToHorizon(next);
      if (Number.isNaN(next)) return null;
      if (task.cluster === null) break;
      if (links !== null) await this.exchangeOutside(links, next);
      next = this.exchange();
      if (barrier.horizon === ENDED) break;
    }
    await links?.end();
    this.trace?.close();
    const endedMs = nowMs();
    return {
      nodes: this.nodes.map((node) => reportOf(node)),
      hypervisor: this.hypervisor === null ? null : hypervisorReportOf(this.hypervisor),
      endPs: Math.max(0, ...this.nodes.map((node) => node.time)),
      windows: this.windows,
      startedMs,
      endedMs,
      interrupted: next < Infinity,
    };
  }

  abandon(): void {
    this.trace?.close();
    this.links?.abandon();
  }
}

const failureOf = (error: unknown): ThreadFailure => {
  const { name, message, stack = '' } = error instanceof Error ? error : new Error(String(error));
  return { name, message, stack, where: error instanceof InputError ? error.where : '' };
};

/** One thread's part of a run, from boot to report. An error stops all threads. */
export const runThread = async (task: ThreadTask): Promise<ThreadOutcome> => {
  let machine: MachineThread | null = null;
  try {
    machine = await MachineThread.build(task);
    const report = await machine.run();
    if (report !== null) return { kind: 'done', report };
    machine.abandon();
    return { kind: 'stopped' };
  } catch (error) {
    machine?.abandon();
    new RunControl(task.barrier).fail();
    return error instanceof LinkLost ? { kind: 'stopped' } : { kind: 'failed', failure: failureOf(error) };
  }
};
