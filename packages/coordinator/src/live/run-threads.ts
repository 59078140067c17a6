import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { InputError, InternalError } from '@numalab/base';
import { clearLiveRing } from '@numalab/interconnect';
import {
  type LiveShared,
  type MachineSpec,
  TEARING_TEST_BYTES,
  type WatchMap,
  shared as word,
} from '@numalab/node-worker';
import { Piscina } from 'piscina';
import { loadProtocol, loopsForEver, type ProtocolRef } from '../engine/protocol-ref.ts';
import { Conductor, type LiveFleet } from './conductor.ts';
import type { LiveOptions, LiveRun } from './live-run.ts';
import { buildShared, doneWrites, threadsOf } from './live-shared.ts';
import {
  type LiveHypervisorReport,
  type LiveOutcome,
  type LiveTask,
  NO_HYPERVISOR,
  ringOffset,
  ringsBytes,
} from './live-task.ts';
import { memoryReport } from './memory-report.ts';
import { monotonicNs } from './monotonic-clock.ts';
import { type LivesHost, NodeLives } from './node-lives.ts';
import { inPatience, StuckThreads } from './stuck-threads.ts';
import { receivedError } from './thread-errors.ts';

/** How much of what a function calls may be compiled as part of it. More than V8 thinks fit: a write is many small functions. */
const INLINING = '--max-inlined-bytecode-size-cumulative=3000';

/** The threads of this process, seen through the words that they share. */
class SharedFleet implements LiveFleet {
  private readonly shared: LiveShared;
  private readonly words: Int32Array;
  private readonly nodes: number;
  private readonly originMs: number;
  private readonly lives: NodeLives;
  private readonly stuck: StuckThreads;
  /** A protocol loops for ever. */
  isStuck = false;

  constructor({ shared, originMs, protocol }: Pick<LiveTask, 'shared' | 'originMs' | 'protocol'>, lives: NodeLives) {
    const threads = Array.from({ length: shared.spec.nodes + 1 }, (_, thread) => thread);
    this.stuck = new StuckThreads(shared, threads, protocol);
    this.originMs = originMs;
    this.shared = shared;
    this.words = shared.words;
    this.nodes = shared.spec.nodes;
    this.lives = lives;
  }

  get failed(): boolean {
    return this.isStuck || Atomics.load(this.words, word.FAILED) !== 0;
  }

  get retired(): number {
    return doneWrites(
      this.shared,
      threadsOf(this.words, this.nodes, () => true),
    );
  }

  get isReady(): boolean {
    return Atomics.load(this.words, word.READY) === this.nodes + 1;
  }

  get isSettled(): boolean {
    return this.lives.isSettled;
  }

  begin(): void {
    this.lives.begin(performance.timeOrigin + performance.now() - this.originMs, 0);
  }

  endFaults(): void {
    this.lives.end();
  }

  look(): void {
    this.lives.look();
    this.isStuck ||= this.stuck.find(performance.now());
  }

  phase(phase: number): void {
    Atomics.store(this.words, word.PHASE, phase);
    Atomics.notify(this.words, word.PHASE);
    word.wakeAll(this.words, this.nodes);
  }

  limitAgents(count: number): void {
    Atomics.store(this.words, word.AGENTS, count);
  }

  get isFiniteDone(): boolean {
    const { finite } = threadsOf(this.words, this.nodes, () => true);
    return finite;
  }

  get isQuiet(): boolean {
    const { idle, sent, taken } = threadsOf(this.words, this.nodes, () => true);
    return idle && sent === taken;
  }
}

/** All threads are of this process, and their rings are between them. */
const hostOf = (pool: Piscina, { rings, shared }: Pick<LiveTask, 'rings' | 'shared'>): LivesHost => {
  const { nodes } = shared.spec;
  return {
    pool,
    threads: Array.from({ length: nodes + 1 }, (_, thread) => thread),
    run: (task, signal) => pool.run(task, { signal }) as Promise<LiveOutcome>,
    down: () => {},
    clear: async (node) => {
      clearLiveRing(rings, ringOffset(node));
      clearLiveRing(rings, ringOffset(nodes + node));
    },
  };
};

/**
 * Whether nodes can make the order on their own threads: messages take no time, so nothing depends on where it is made, the
 * protocol allows it, and nobody dies who would leave the lock behind.
 */
const canOrderOnNodes = async (spec: MachineSpec, protocol: ProtocolRef, scale: number): Promise<boolean> =>
  scale === 0 &&
  spec.strategy === 'stage2' &&
  spec.serialisation === 'central' &&
  spec.faults === null &&
  (await loadProtocol(protocol)).hypervisor(spec.bugs).independentWrites === true;

/** What the parts of an order have left, as one; nothing, if one has left nothing. */
const wholeOrder = (
  parts: readonly LiveHypervisorReport[],
  { words, spec, ordersOnNodes }: LiveShared,
): LiveHypervisorReport => {
  const [first] = parts;
  if (first === undefined || (ordersOnNodes && parts.length < spec.nodes)) return NO_HYPERVISOR;
  if (!ordersOnNodes) return first;
  const sum = (key: 'retired' | 'withoutEffect' | 'turns'): number => parts.reduce((all, part) => all + part[key], 0);
  return {
    ...first,
    record: parts.flatMap(({ record }) => record).sort((a, b) => a.write.number - b.write.number),
    // Each tick is of one of them.
    tickMs: first.tickMs.map((_, tick) => parts.reduce((ms, { tickMs }) => ms + tickMs[tick]!, 0)),
    numbered: Atomics.load(words, word.NUMBERED),
    retired: sum('retired'),
    withoutEffect: sum('withoutEffect'),
    turns: sum('turns'),
  };
};

const failureOf = (outcomes: readonly (PromiseSettledResult<LiveOutcome> | null)[]): Error | null => {
  for (const [thread, outcome] of outcomes.entries()) {
    if (outcome === null || outcome.status === 'fulfilled') continue;
    const error = receivedError(outcome.reason);
    if (error instanceof InputError) return error;
    return new InternalError(`thread ${thread}: ${(error as Error).message}`, { cause: error });
  }
  return null;
};

/**
 * Runs a machine on threads that race: a thread for each node and one for the hypervisor, each a task of Piscina's that lasts as
 * long as the run. Throws InternalError if a thread fails, InputError if that is the protocol's fault.
 */
export const runLiveThreads = async (
  spec: MachineSpec,
  protocol: ProtocolRef,
  watch: WatchMap,
  options: LiveOptions,
): Promise<LiveRun> => {
  const called = performance.now();
  const threads = spec.nodes + 1;
  const cores = availableParallelism();
  const originMs = performance.timeOrigin + performance.now();
  const originNs = monotonicNs();
  const ordersOnNodes = await canOrderOnNodes(spec, protocol, options.scale);
  const shared = buildShared(spec, watch, {
    scale: options.scale,
    cores,
    recordLimit: options.recordLimit,
    ordersOnNodes,
  });
  const base: Omit<LiveTask, 'thread' | 'life' | 'durable'> = {
    shared,
    protocol,
    rings: new SharedArrayBuffer(ringsBytes(spec.nodes, ordersOnNodes)),
    tearingTest: new SharedArrayBuffer(TEARING_TEST_BYTES),
    recordLimit: options.recordLimit,
    originMs,
    originNs,
  };
  setFlagsFromString(INLINING);
  const pool = new Piscina({
    filename: fileURLToPath(new URL('./thread.ts', import.meta.url)),
    minThreads: threads,
    maxThreads: threads,
    // A task lasts as long as the run, and all must run at once.
    concurrentTasksPerWorker: 1,
  });
  const lives = new NodeLives(hostOf(pool, base), base);
  const fleet = new SharedFleet(base, lives);
  const conductor = new Conductor(fleet, options);
  try {
    const isReady = await conductor.ready();
    const bootMs = performance.now() - called;
    const isClock = spec.strategy === 'none';
    const beganMs = isClock ? (monotonicNs() - originNs) / 1e6 : performance.timeOrigin + performance.now() - originMs;
    const measured = isReady
      ? await conductor.conduct(spec)
      : { warmUpMs: 0, wallMs: 0, retired: 0, alone: null, rested: false };
    if (fleet.isStuck) throw loopsForEver(protocol);
    if (!isReady) conductor.end();
    lives.end();
    // A run that was interrupted before it began has left nothing.
    const kept = isReady || !conductor.interrupted ? lives.settled : [];
    const outcomes = await inPatience(Promise.all(kept.map((outcome) => conductor.inTime(outcome))), protocol);
    const failure = failureOf(outcomes);
    if (failure !== null) throw failure;
    const reports = outcomes.flatMap((outcome) => (outcome?.status === 'fulfilled' ? [outcome.value] : []));
    const order = wholeOrder(
      reports.flatMap(({ hypervisor }) => (hypervisor === null ? [] : [hypervisor])),
      shared,
    );
    // Without the order of an interrupted run, what nodes saw proves nothing.
    const known = isClock || order !== NO_HYPERVISOR ? reports : [];
    const nodes = known.flatMap(({ node }) => (node === null ? [] : [node]));
    return {
      shared,
      nodes,
      hypervisor: isClock ? memoryReport(shared, nodes, [], false) : order,
      bootMs,
      ...measured,
      beganMs,
      interrupted: conductor.interrupted,
      cellsRead: reports.reduce((sum, { cellsRead }) => sum + cellsRead, 0),
      cellsTorn: reports.reduce((sum, { cellsTorn }) => sum + cellsTorn, 0),
      cores,
      outages: lives.outages,
      lostFindings: lives.findings,
      processes: 1,
      lost: [],
      ticksAreNs: isClock,
    };
  } finally {
    lives.end();
    conductor.end();
    await pool.destroy();
  }
};
