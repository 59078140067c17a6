import { setTimeout as delay } from 'node:timers/promises';
import { type MachineSpec, shared as word } from '@numalab/node-worker';
import type { LiveOptions, LiveRun } from './live-run.ts';

/** How often the watching thread looks. */
const POLL_MS = 5;
/** A run must come to rest within this time; one that was interrupted is cut off sooner. */
const REST_MS = 10_000;
const INTERRUPTED_REST_MS = 300;
/** After an interruption, threads and processes have this long in all to leave what they have. */
const INTERRUPTED_MS = 1000;
/** Of the time with all writes in flight, how long one alone is measured, and at least and at most. */
const ALONE_SHARE = 0.1;
const ALONE_MIN_MS = 100;
const ALONE_MAX_MS = 1000;
const PS_PER_MS = 1e9;
const SETTLE_MS = 20;
/** How long threads run before anything is measured, as a share of the time that is measured, and at most. */
const WARM_SHARE = 0.2;
const WARM_MAX_MS = 4000;

/** What {@link Conductor.conduct} finds out. */
export type MeasuredPhase = 'warmUpMs' | 'wallMs' | 'retired' | 'alone' | 'rested';

/** All threads of a live run, wherever they are. */
export interface LiveFleet {
  /** A thread has failed. */
  readonly failed: boolean;
  /** Writes retired so far. */
  readonly retired: number;
  /** All threads are there, and wait for the first phase. */
  readonly isReady: boolean;
  /** Nobody is down who will come back. */
  readonly isSettled: boolean;
  readonly isFiniteDone: boolean;
  /** Nothing is under way anywhere: all threads idle, and everything sent has been taken. */
  readonly isQuiet: boolean;
  /** The run begins: faults count from here. And no fault begins any more. */
  begin(): void;
  endFaults(): void;
  phase(phase: number): void;
  /** Of synthetic writers' agents so many write at a time; negative: and nothing is measured, because others' writes may be under way. */
  limitAgents(count: number): void;
  /** Is called now and then. */
  look(): void;
}

const inFlight = (spec: MachineSpec): number =>
  spec.writers.reduce((sum, writer) => sum + (writer.kind === 'synthetic' ? writer.agents.length : 1), 0);

/** Whether one write in flight can be measured after many: all writers are endless synthetic ones. */
const canBeAlone = (spec: MachineSpec): boolean =>
  inFlight(spec) > 1 && spec.writers.every((writer) => writer.kind === 'synthetic' && writer.actions === null);

/**
 * For how long nothing is measured, in milliseconds. What would be over meanwhile, or is planned by time or count, begins at once:
 * then all is measured from the start.
 */
export const warmUpOf = ({ writers, faults, workload }: MachineSpec): number => {
  const isEndless = writers.every((writer) => writer.kind !== 'recorded' && writer.actions === null);
  if (writers.length === 0 || !isEndless || faults !== null) return 0;
  return Math.min(WARM_MAX_MS, (WARM_SHARE * workload.durationPs) / PS_PER_MS);
};

/** Watches over the threads: phases, and what has been done. */
export class Conductor {
  private readonly fleet: LiveFleet;
  private readonly signal: AbortSignal | undefined;
  private readonly progress: ((ms: number) => void) | undefined;
  private readonly outOfTime: Promise<void>;

  constructor(fleet: LiveFleet, { signal, progress }: LiveOptions) {
    this.fleet = fleet;
    this.signal = signal;
    this.progress = progress;
    this.outOfTime = new Promise((resolve) => {
      const begin = (): void => {
        setTimeout(resolve, INTERRUPTED_MS).unref();
      };
      if (signal?.aborted === true) begin();
      else signal?.addEventListener('abort', begin, { once: true });
    });
  }

  /** What `work` gives; null if the run is interrupted and it takes too long. */
  async inTime<Result>(work: Promise<Result>): Promise<Result | null> {
    return await Promise.race([work, this.outOfTime.then(() => null)]);
  }

  get interrupted(): boolean {
    return this.signal?.aborted === true;
  }

  /** Waits until all threads are there. */
  async ready(): Promise<boolean> {
    return await this.until(() => this.fleet.isReady, Infinity);
  }

  /** Nothing is measured any more, and no thread goes on. */
  end(): void {
    this.fleet.phase(word.PHASE_END);
  }

  /** Waits until `holds`, for `ms` at most. False if the time is over, a thread failed, or the run is interrupted. */
  async until(holds: () => boolean, ms: number, heedsSignal = true): Promise<boolean> {
    const end = performance.now() + ms;
    while (!holds()) {
      this.fleet.look();
      if (this.fleet.failed || (heedsSignal && this.interrupted) || performance.now() > end) return false;
      await delay(POLL_MS);
    }
    return true;
  }

  /** Lets `ms` pass; less if the run is interrupted. */
  async pass(ms: number, progress?: (ms: number) => void): Promise<void> {
    const begun = performance.now();
    for (;;) {
      const left = ms - (performance.now() - begun);
      if (left <= 0 || this.fleet.failed || this.interrupted) return;
      this.fleet.look();
      progress?.(performance.now() - begun);
      await delay(Math.min(left, 50));
    }
  }

  /** With one agent alone: how many writes are retired in how much time. */
  async measureAlone(spec: MachineSpec, wallMs: number): Promise<LiveRun['alone']> {
    this.fleet.limitAgents(-1);
    const left = this.fleet.retired + inFlight(spec);
    await this.until(() => this.fleet.retired >= left, ALONE_MAX_MS);
    await this.pass(SETTLE_MS);
    this.fleet.limitAgents(1);
    const begun = performance.now();
    const before = this.fleet.retired;
    await this.pass(Math.max(ALONE_MIN_MS, Math.min(ALONE_MAX_MS, wallMs * ALONE_SHARE)));
    // A machine with much else to do may not have come to it yet.
    await this.until(() => this.fleet.retired > before, ALONE_MAX_MS);
    if (this.interrupted) return null;
    return { retired: this.fleet.retired - before, wallMs: performance.now() - begun };
  }

  /** Nothing new is begun, and what is under way ends. Whether all came to rest. */
  async rest(): Promise<boolean> {
    await this.until(() => this.fleet.isSettled, Infinity);
    this.fleet.phase(word.PHASE_DRAIN);
    const isQuiet = await this.until(
      () => this.fleet.isQuiet,
      this.interrupted ? INTERRUPTED_REST_MS : REST_MS,
      !this.interrupted,
    );
    this.fleet.phase(word.PHASE_END);
    return isQuiet;
  }

  /** Lets engines compile what is hot. How long it took, and what was retired meanwhile. */
  private async warmUp(spec: MachineSpec): Promise<{ warmUpMs: number; before: number }> {
    const { fleet } = this;
    const ms = warmUpOf(spec);
    if (ms === 0) return { warmUpMs: 0, before: 0 };
    const begun = performance.now();
    fleet.phase(word.PHASE_WARM);
    await this.pass(ms);
    return { warmUpMs: performance.now() - begun, before: fleet.retired };
  }

  /** The whole measured phase, what comes before it, and the end of it. */
  async conduct(spec: MachineSpec): Promise<Pick<LiveRun, MeasuredPhase>> {
    const { fleet } = this;
    fleet.begin();
    const { warmUpMs, before } = await this.warmUp(spec);
    const begun = performance.now();
    fleet.phase(word.PHASE_RUN);
    await this.pass(spec.workload.durationPs / PS_PER_MS, this.progress);
    const canMeasure = canBeAlone(spec);
    if (!canMeasure) {
      fleet.phase(word.PHASE_FINITE);
      // A node that is down has no finite work, until it is back.
      await this.until(() => fleet.isSettled && fleet.isFiniteDone, Infinity);
    }
    const wallMs = performance.now() - begun;
    const retired = fleet.retired - before;
    await this.until(() => fleet.isSettled, Infinity);
    fleet.endFaults();
    const alone = canMeasure && !this.interrupted ? await this.measureAlone(spec, wallMs) : null;
    return { warmUpMs, wallMs, retired, alone, rested: await this.rest() };
  }
}
