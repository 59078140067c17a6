import { availableParallelism } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { InternalError } from '@numalab/base';
import { liveRingBytes } from '@numalab/interconnect';
import {
  type Finding,
  type LiveNodeReport,
  type LiveShared,
  type MachineSpec,
  TEARING_TEST_BYTES,
  type WatchMap,
  shared as word,
} from '@numalab/node-worker';
import { Piscina } from 'piscina';
import type { ProtocolRef } from '../engine/protocol-ref.ts';
import { buildShared } from './live-shared.ts';
import { type LiveHypervisorReport, type LiveOutcome, type LiveTask, RING_WORDS } from './live-task.ts';
import { NodeLives, type NodeOutage } from './node-lives.ts';

/** How often the watching thread looks. */
const POLL_MS = 5;
/** A run must come to rest within this time; one that was interrupted is cut off sooner. */
const REST_MS = 10_000;
const INTERRUPTED_REST_MS = 500;
/** Of the time with all writes in flight, how long one alone is measured, and at least and at most. */
const ALONE_SHARE = 0.1;
const ALONE_MIN_MS = 100;
const ALONE_MAX_MS = 1000;
const SETTLE_MS = 20;

/** How a live run is set up. */
export interface LiveOptions {
  /** Factor on latencies; 0: off. */
  readonly scale: number;
  /** Writes that are recorded. */
  readonly recordLimit: number;
  readonly signal?: AbortSignal;
  /** Told now and then how much real time has passed, in milliseconds. */
  readonly progress?: (ms: number) => void;
}

/** What a live run left behind. */
export interface LiveRun {
  readonly shared: LiveShared;
  readonly nodes: readonly LiveNodeReport[];
  readonly hypervisor: LiveHypervisorReport;
  readonly bootMs: number;
  /** The measured phase, and the writes retired in it. */
  readonly wallMs: number;
  readonly retired: number;
  /** The same with one write in flight; null if that was not measured. */
  readonly alone: { readonly wallMs: number; readonly retired: number } | null;
  /** When the measured phase began, on the threads' clock. */
  readonly beganMs: number;
  readonly interrupted: boolean;
  /** Whether everything came to rest at the end. */
  readonly rested: boolean;
  readonly cellsRead: number;
  readonly cellsTorn: number;
  readonly cores: number;
  /** Nodes that went down, and what they had found by then. */
  readonly outages: readonly NodeOutage[];
  readonly lostFindings: readonly Finding[];
}

/** Watches over the threads: phases, and what has been done. */
class Conductor {
  private readonly words: Int32Array;
  private readonly nodes: number;
  private readonly signal: AbortSignal | undefined;
  private readonly progress: ((ms: number) => void) | undefined;
  private readonly look: () => void;

  /** `look` is called whenever it looks. */
  constructor(shared: LiveShared, { signal, progress }: LiveOptions, look: () => void) {
    this.look = look;
    this.words = shared.words;
    this.nodes = shared.spec.nodes;
    this.signal = signal;
    this.progress = progress;
  }

  get failed(): boolean {
    return Atomics.load(this.words, word.FAILED) !== 0;
  }

  get interrupted(): boolean {
    return this.signal?.aborted === true;
  }

  /** Writes retired so far. */
  get retired(): number {
    return Atomics.load(this.words, word.threadWord(this.nodes) + word.DONE);
  }

  phase(phase: number): void {
    Atomics.store(this.words, word.PHASE, phase);
    Atomics.notify(this.words, word.PHASE);
    word.wakeAll(this.words, this.nodes);
  }

  /** Waits until `holds`, for `ms` at most. False if the time is over, a thread failed, or the run is interrupted. */
  async until(holds: () => boolean, ms: number, heedsSignal = true): Promise<boolean> {
    const end = performance.now() + ms;
    while (!holds()) {
      this.look();
      if (this.failed || (heedsSignal && this.interrupted) || performance.now() > end) return false;
      await delay(POLL_MS);
    }
    return true;
  }

  /** Lets `ms` pass; less if the run is interrupted. */
  async pass(ms: number): Promise<void> {
    const begun = performance.now();
    for (;;) {
      const left = ms - (performance.now() - begun);
      if (left <= 0 || this.failed || this.interrupted) return;
      this.look();
      this.progress?.(performance.now() - begun);
      await delay(Math.min(left, 50));
    }
  }

  allReady(): boolean {
    return Atomics.load(this.words, word.READY) === this.nodes + 1;
  }

  finiteDone(): boolean {
    for (let node = 0; node < this.nodes; node++) {
      if (Atomics.load(this.words, word.threadWord(node) + word.FINITE) === 0) return false;
    }
    return true;
  }

  /** Whether nothing is under way anywhere: all threads idle, and everything sent has been taken. */
  isQuiet(): boolean {
    let sent = 0;
    let taken = 0;
    for (let thread = 0; thread <= this.nodes; thread++) {
      const at = word.threadWord(thread);
      if (Atomics.load(this.words, at + word.IDLE) === 0) return false;
      sent += Atomics.load(this.words, at + word.SENT);
      taken += Atomics.load(this.words, at + word.TAKEN);
    }
    return sent === taken;
  }

  /** With one agent alone: how many writes are retired in how much time. */
  async measureAlone(wallMs: number): Promise<LiveRun['alone']> {
    Atomics.store(this.words, word.AGENTS, 1);
    await this.pass(SETTLE_MS);
    const begun = performance.now();
    const before = this.retired;
    await this.pass(Math.max(ALONE_MIN_MS, Math.min(ALONE_MAX_MS, wallMs * ALONE_SHARE)));
    if (this.interrupted) return null;
    return { retired: this.retired - before, wallMs: performance.now() - begun };
  }

  /** Nothing new is begun, and what is under way ends. Whether all came to rest. */
  async rest(): Promise<boolean> {
    this.phase(word.PHASE_DRAIN);
    const isQuiet = await this.until(
      () => this.isQuiet(),
      this.interrupted ? INTERRUPTED_REST_MS : REST_MS,
      !this.interrupted,
    );
    this.phase(word.PHASE_END);
    return isQuiet;
  }
}

const inFlight = (spec: MachineSpec): number =>
  spec.writers.reduce((sum, writer) => sum + (writer.kind === 'synthetic' ? writer.agents.length : 1), 0);

/** Whether one write in flight can be measured after many: all writers are endless synthetic ones. */
const canBeAlone = (spec: MachineSpec): boolean =>
  inFlight(spec) > 1 && spec.writers.every((writer) => writer.kind === 'synthetic' && writer.actions === null);

const conduct = async (
  spec: MachineSpec,
  conductor: Conductor,
  lives: NodeLives,
): Promise<Pick<LiveRun, 'wallMs' | 'retired' | 'alone' | 'rested'>> => {
  const begun = performance.now();
  lives.begin();
  conductor.phase(word.PHASE_RUN);
  await conductor.pass(spec.workload.durationPs / 1e9);
  const canMeasure = canBeAlone(spec);
  if (!canMeasure) {
    conductor.phase(word.PHASE_FINITE);
    // A node that is down has no finite work, until it is back.
    await conductor.until(() => lives.isSettled && conductor.finiteDone(), Infinity);
  }
  const wallMs = performance.now() - begun;
  const { retired } = conductor;
  await conductor.until(() => lives.isSettled, Infinity);
  lives.end();
  const alone = canMeasure && !conductor.interrupted ? await conductor.measureAlone(wallMs) : null;
  return { wallMs, retired, alone, rested: await conductor.rest() };
};

const failureOf = (outcomes: readonly (PromiseSettledResult<LiveOutcome> | null)[]): Error | null => {
  for (const [thread, outcome] of outcomes.entries()) {
    if (outcome === null || outcome.status === 'fulfilled') continue;
    const { name, message } = outcome.reason as Error;
    if (name === 'InputError') return outcome.reason as Error;
    return new InternalError(`thread ${thread}: ${message}`, { cause: outcome.reason });
  }
  return null;
};

/**
 * Runs a machine on threads that race: a thread for each node and one for the hypervisor, each a task of Piscina's that lasts as
 * long as the run. Throws InternalError if a thread fails.
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
  const shared = buildShared(spec, watch, { scale: options.scale, cores, recordLimit: options.recordLimit });
  const base: Omit<LiveTask, 'thread' | 'life'> = {
    shared,
    protocol,
    rings: new SharedArrayBuffer(2 * spec.nodes * liveRingBytes(RING_WORDS)),
    tearingTest: new SharedArrayBuffer(TEARING_TEST_BYTES),
    recordLimit: options.recordLimit,
    originMs,
  };
  const pool = new Piscina({
    filename: fileURLToPath(new URL('./thread.ts', import.meta.url)),
    minThreads: threads,
    maxThreads: threads,
    // A task lasts as long as the run, and all must run at once.
    concurrentTasksPerWorker: 1,
  });
  const lives = new NodeLives(pool, base);
  const conductor = new Conductor(shared, options, () => lives.look());
  try {
    const isReady = await conductor.until(() => conductor.allReady(), Infinity);
    const bootMs = performance.now() - called;
    const beganMs = performance.timeOrigin + performance.now() - originMs;
    const measured = isReady
      ? await conduct(spec, conductor, lives)
      : { wallMs: 0, retired: 0, alone: null, rested: await conductor.rest() };
    lives.end();
    const outcomes = await lives.settled();
    const failure = failureOf(outcomes);
    if (failure !== null) throw failure;
    const reports = outcomes.flatMap((outcome) => (outcome?.status === 'fulfilled' ? [outcome.value] : []));
    return {
      shared,
      nodes: reports.flatMap(({ node }) => (node === null ? [] : [node])),
      hypervisor: reports.at(-1)!.hypervisor!,
      bootMs,
      ...measured,
      beganMs,
      interrupted: conductor.interrupted,
      cellsRead: reports.reduce((sum, { cellsRead }) => sum + cellsRead, 0),
      cellsTorn: reports.reduce((sum, { cellsTorn }) => sum + cellsTorn, 0),
      cores,
      outages: lives.outages,
      lostFindings: lives.findings,
    };
  } finally {
    lives.end();
    conductor.phase(word.PHASE_END);
    await pool.destroy();
  }
};
