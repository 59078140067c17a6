import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { assert, InputError, InternalError } from '@numalab/base';
import type { MachineSpec, WatchMap } from '@numalab/node-worker';
import { Piscina } from 'piscina';
import { PATIENCE_MS } from './deadline.ts';
import { dealProcesses } from './deal.ts';
import type { RawRun } from './inline.ts';
import { isForeign, loopsForEver, type ProtocolRef } from './protocol-ref.ts';
import {
  ringMemory,
  type ThreadFailure,
  type ThreadOutcome,
  type ThreadReport,
  type ThreadTask,
} from './thread-task.ts';
import { barrierMemory, RunControl } from './window-barrier.ts';

export type { ProtocolRef } from './protocol-ref.ts';

/** How a run is spread over threads. None of it changes what happens. */
export interface ThreadOptions {
  /** Worker threads; null: as many as nodes or cores, whichever is less. Never more than nodes. */
  readonly threads: number | null;
  /** Windows are this many times shorter than they may be. */
  readonly windowDivisor?: number;
  /** Folder for the trace of the run. */
  readonly trace?: string | null;
  /** Ends the run after the window that is under way. */
  readonly signal?: AbortSignal;
  /** Is told the virtual time in picoseconds, now and then. */
  readonly progress?: (virtualPs: number) => void;
}

const PROGRESS_MS = 100;

/** Threads that wait for another run, if there are any: starting them costs more than a short run. */
let idle: Piscina | null = null;

/** A pool with at least `threads` threads, which nobody else uses. */
const takePool = async (threads: number): Promise<Piscina> => {
  if (idle !== null && idle.maxThreads >= threads) {
    const found = idle;
    idle = null;
    return found;
  }
  await closeThreads();
  return new Piscina({
    filename: fileURLToPath(new URL('./thread.ts', import.meta.url)),
    minThreads: threads,
    maxThreads: threads,
    // Tasks of a run wait for each other: two on one thread would never end.
    concurrentTasksPerWorker: 1,
  });
};

const givePool = async (pool: Piscina): Promise<void> => {
  await closeThreads();
  idle = pool;
};

/** Ends the threads that wait for another run. */
export const closeThreads = async (): Promise<void> => {
  const old = idle;
  idle = null;
  await old?.destroy();
};

/** The error that ended a thread, as it was thrown there. */
export const errorOf = ({ name, message, stack, where }: ThreadFailure, thread: string): Error => {
  if (name === 'InputError') return InputError.from({ where, message });
  const cause = Object.assign(new Error(message), { name, stack });
  return new InternalError(`${thread}: ${message}`, { cause });
};

/** What ended the run, if a thread failed and not only stopped because of another. */
export const failureIn = (
  outcomes: readonly PromiseSettledResult<ThreadOutcome>[],
): { readonly thread: number; readonly failure: ThreadFailure } | null => {
  for (const [thread, outcome] of outcomes.entries()) {
    if (outcome.status === 'fulfilled' && outcome.value.kind === 'failed') {
      return { thread, failure: outcome.value.failure };
    }
  }
  const thread = outcomes.findIndex((outcome) => outcome.status === 'rejected');
  if (thread < 0) return null;
  // Out of memory, say: the thread had no chance to say anything itself.
  const { message, stack = '' } = (outcomes[thread] as PromiseRejectedResult).reason as Error;
  return { thread, failure: { name: 'Error', message: `lost: ${message}`, stack, where: '' } };
};

/** The reports of threads none of which failed; null if they stopped because of others. */
export const reportsIn = (outcomes: readonly PromiseSettledResult<ThreadOutcome>[]): readonly ThreadReport[] | null => {
  const reports: ThreadReport[] = [];
  for (const outcome of outcomes) {
    if (outcome.status === 'fulfilled' && outcome.value.kind === 'done') reports.push(outcome.value.report);
  }
  return reports.length === outcomes.length ? reports : null;
};

/** Calls `end` when the threads of a run have not met for so long that one of them must be in a loop without an end. */
const watchMeetings = (control: RunControl, end: () => void): { timer: NodeJS.Timeout; isStuck: () => boolean } => {
  let [meetings, since, isStuck] = [control.meetings, performance.now(), false];
  const look = (): void => {
    // Booting takes as long as it takes.
    if (control.meetings !== meetings || meetings === 0) [meetings, since] = [control.meetings, performance.now()];
    if (isStuck || performance.now() - since < PATIENCE_MS) return;
    isStuck = true;
    control.fail();
    end();
  };
  return { timer: setInterval(look, PROGRESS_MS), isStuck: () => isStuck };
};

/** Runs `tasks` side by side, each on a thread of its own, to their ends. */
export const runTasks = async (
  tasks: readonly ThreadTask[],
  control: RunControl,
): Promise<readonly PromiseSettledResult<ThreadOutcome>[]> => {
  const pool = await takePool(tasks.length);
  const runs = tasks.map(async (task): Promise<ThreadOutcome> => {
    try {
      const port = task.cluster?.port ?? null;
      return (await pool.run(task, { transferList: port === null ? [] : [port] })) as ThreadOutcome;
    } catch (error) {
      control.fail();
      throw error;
    }
  });
  const watch = isForeign(tasks[0]!.protocol) ? watchMeetings(control, () => pool.destroy()) : null;
  const outcomes = await Promise.allSettled(runs);
  clearInterval(watch?.timer);
  if (watch?.isStuck() === true) {
    const { name, message, where } = loopsForEver(tasks[0]!.protocol);
    return [{ status: 'fulfilled', value: { kind: 'failed', failure: { name, message, where, stack: '' } } }];
  }
  if (outcomes.some(({ status }) => status === 'rejected')) await pool.destroy();
  else await givePool(pool);
  return outcomes;
};

/** The run that threads made together; `calledMs` is when it was asked for, since the epoch. */
export const joinReports = (reports: readonly ThreadReport[], calledMs: number): RawRun => {
  const startedMs = Math.max(...reports.map((report) => report.startedMs));
  const hypervisor = reports.map((report) => report.hypervisor).find((report) => report !== null);
  assert(hypervisor !== undefined, 'the hypervisor lives on one of the threads');
  return {
    nodes: reports.flatMap((report) => report.nodes).sort((x, y) => x.id - y.id),
    hypervisor,
    endPs: Math.max(...reports.map((report) => report.endPs)),
    windows: reports[0]!.windows,
    bootMs: startedMs - calledMs,
    wallMs: Math.max(...reports.map((report) => report.endedMs)) - startedMs,
    interrupted: reports.some((report) => report.interrupted),
  };
};

/**
 * Runs a machine on worker threads, with the result that it has in one thread. Throws InternalError if a thread fails, and
 * InputError if the protocol cannot be loaded; then no thread goes on.
 */
export const runThreads = async (
  spec: MachineSpec,
  protocol: ProtocolRef,
  watch: WatchMap,
  options: ThreadOptions,
): Promise<RawRun> => {
  const calledMs = performance.timeOrigin + performance.now();
  const { windowDivisor = 1, trace = null, signal, progress } = options;
  const cores = availableParallelism();
  const threads = Math.max(1, Math.min(spec.nodes, options.threads ?? cores));
  const barrier = barrierMemory(threads);
  const rings = ringMemory(threads);
  const owners = dealProcesses(spec, threads);
  const ownCore = threads <= cores;
  const shared = {
    spec,
    protocol,
    watch,
    threads,
    owners,
    cluster: null,
    windowDivisor,
    trace,
    ownCore,
    barrier,
    rings,
  };
  const tasks = Array.from({ length: threads }, (_, thread): ThreadTask => ({ ...shared, thread }));
  const control = new RunControl(barrier);
  const end = (): void => control.end();
  if (signal?.aborted === true) end();
  signal?.addEventListener('abort', end);
  const timer = progress === undefined ? undefined : setInterval(() => progress(control.progressPs()), PROGRESS_MS);
  try {
    const outcomes = await runTasks(tasks, control);
    const failed = failureIn(outcomes);
    if (failed !== null) throw errorOf(failed.failure, `thread ${failed.thread}`);
    const reports = reportsIn(outcomes);
    assert(reports !== null, 'threads stopped, but none failed');
    return joinReports(reports, calledMs);
  } finally {
    clearInterval(timer);
    signal?.removeEventListener('abort', end);
  }
};
