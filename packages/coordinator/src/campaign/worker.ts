import { availableParallelism } from 'node:os';
import { InputError } from '@numalab/base';
import { type Job, WaitingError, Worker } from 'bullmq';
import { type Logger, pino } from 'pino';
import { buildVersion } from '../version.ts';
import { scenarioHash } from './cell.ts';
import { LeaseLost, type LeaseOutcome } from './lease.ts';
import { LeaseThreads } from './local-fleet.ts';
import { type LeaseJob, type LeaseReport, QUEUE_NAME, RedisLink } from './redis.ts';
import { workerName } from './worker-name.ts';

/** Runs leases; {@link LeaseThreads} does. */
export interface LeaseRunner {
  run(job: Pick<LeaseJob, 'from' | 'to'>, cell: LeaseJob['cell'], signal: AbortSignal): Promise<LeaseOutcome | null>;
  close(): Promise<void>;
}

/** Where a worker finds leases, and how it runs them. */
export interface WorkerOptions {
  readonly redis: string;
  readonly queue?: string;
  /** Threads; default: cores. */
  readonly jobs?: number;
  /** How long a lease is kept for a worker that is silent, milliseconds; default 10,000. */
  readonly lockMs?: number;
  /** Stops the worker. */
  readonly signal?: AbortSignal;
  /** Default: silent. */
  readonly log?: Logger;
  /** Told of every lease that was run. */
  readonly counted?: (outcome: LeaseOutcome) => void;
  /** Version that it takes leases of; default: its own. */
  readonly version?: string;
  /** Runs the leases instead of threads; the worker closes it. */
  readonly runner?: LeaseRunner;
}

const LOCK_MS = 10_000;
/** How often a lease may be taken from silent workers before the campaign is told that it is lost. */
const MOST_STALLS = 5;
const RETRY_MS = 500;
const CLOSE_MS = 5000;

/** A worker at work. */
class LeaseWorker {
  private readonly version: string;
  private readonly log: Logger;
  private readonly link: RedisLink;
  private readonly runner: LeaseRunner;
  private readonly counted: (outcome: LeaseOutcome) => void;
  private readonly stopped = new AbortController();
  private refusal: InputError | null = null;
  private leases = 0;

  constructor(options: WorkerOptions, link: RedisLink, runner: LeaseRunner, log: Logger) {
    this.version = options.version ?? buildVersion();
    this.log = log;
    this.link = link;
    this.runner = runner;
    this.counted = options.counted ?? (() => undefined);
  }

  /** Takes leases until `signal` aborts, and returns how many it ran. Throws InputError if it cannot go on. */
  async serve(options: WorkerOptions, jobs: number): Promise<number> {
    const { queue = QUEUE_NAME, lockMs = LOCK_MS, signal } = options;
    const worker = new Worker<LeaseJob, LeaseReport>(queue, (job, token) => this.process(job, token), {
      connection: this.link.client,
      skipVersionCheck: true,
      name: workerName({ jobs, version: this.version }),
      concurrency: jobs,
      lockDuration: lockMs,
      stalledInterval: Math.max(100, Math.floor(lockMs / 2)),
      maxStalledCount: MOST_STALLS,
      runRetryDelay: RETRY_MS,
    });
    worker.on('error', (error) => this.heed(error));
    worker.on('stalled', (id) => this.log.warn({ lease: id }, 'a lease is redone: its worker fell silent'));
    const stop = (): void => this.stopped.abort();
    signal?.addEventListener('abort', stop);
    if (signal?.aborted === true) stop();
    this.log.info({ queue, jobs, version: this.version }, 'waiting for campaigns');
    await new Promise<void>((resolve) => {
      if (this.stopped.signal.aborted) resolve();
      else this.stopped.signal.addEventListener('abort', () => resolve());
    });
    signal?.removeEventListener('abort', stop);
    await this.end(worker);
    if (this.refusal !== null) throw this.refusal;
    return this.leases;
  }

  /** Lets leases that are under way hand in what they have, unless Redis is away. */
  private async end(worker: Worker): Promise<void> {
    const timeout = new Promise((resolve) => setTimeout(resolve, CLOSE_MS).unref());
    if (this.link.client.status === 'ready') await Promise.race([worker.close().catch(() => undefined), timeout]);
    void worker.close(true).catch(() => undefined);
    this.log.info({ leases: this.leases }, 'stopped');
  }

  private async process(job: Job<LeaseJob, LeaseReport>, token: string | undefined): Promise<LeaseReport> {
    const { version, from, to, cell, place } = job.data;
    if (version !== this.version) {
      this.refuse(
        new InputError('--redis', `the queue holds leases of numalab ${version}; this worker is ${this.version}`),
      );
      return await this.giveBack(job, token);
    }
    try {
      this.check(job.data);
      const outcome = await this.runner.run({ from, to }, cell, this.stopped.signal);
      if (outcome === null) return await this.giveBack(job, token);
      this.leases++;
      this.counted(outcome);
      const { busyMs, tally } = outcome;
      this.log.info({ campaign: job.name, cell: place, from, to: outcome.to, busyMs, runs: tally.runs }, 'lease');
      return { version: this.version, outcome };
    } catch (error) {
      if (error instanceof InputError) {
        this.refuse(error);
        return await this.giveBack(job, token);
      }
      if (error instanceof LeaseLost) this.log.warn({ from, to, reason: error.message }, 'a lease was lost');
      throw error;
    }
  }

  /** Throws InputError unless the scenario means here what it means to the campaign. */
  private check({ cell }: LeaseJob): void {
    const here = scenarioHash(cell.scenario, cell.faults, cell.scheduler);
    if (here !== cell.hash) {
      throw new InputError(
        cell.scenario.name,
        'a file that it names has another content here than where the campaign is',
      );
    }
  }

  private async giveBack(job: Job, token: string | undefined): Promise<never> {
    await job.moveToWait(token);
    throw new WaitingError();
  }

  private refuse(error: InputError): void {
    this.refusal ??= error;
    this.stopped.abort();
  }

  private heed(error: Error): void {
    if (this.link.isFatal(error)) this.refuse(this.link.inputError(error));
    else if (this.link.client.status === 'ready')
      this.log.warn({ reason: this.link.explain(error) }, 'the queue is in trouble');
  }
}

/**
 * Runs leases of campaigns from a queue until `signal` aborts; returns how many it ran. Throws InputError if Redis cannot be
 * had or is full, and if the queue holds what this worker must not run: leases of another version, or of a scenario whose
 * files are not here.
 */
export const runWorker = async (options: WorkerOptions): Promise<number> => {
  const { jobs = availableParallelism(), log = pino({ level: 'silent' }) } = options;
  const link = await RedisLink.connect(options.redis, log);
  const runner = options.runner ?? new LeaseThreads(jobs);
  try {
    return await new LeaseWorker(options, link, runner, log).serve(options, jobs);
  } finally {
    await runner.close();
    link.close();
  }
};
