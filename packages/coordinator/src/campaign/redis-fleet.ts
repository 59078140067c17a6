import { InputError } from '@numalab/base';
import { Job, Queue, QueueEvents } from 'bullmq';
import type { Logger } from 'pino';
import type { Cell } from './cell.ts';
import { type Delivery, type Fleet, type Lease, LeaseLost } from './lease.ts';
import { type LeaseJob, type LeaseReport, QUEUE_NAME, RedisLink } from './redis.ts';
import { parseWorkerName } from './worker-name.ts';

/** Where a campaign finds its workers. */
export interface RedisFleetOptions {
  readonly url: string;
  readonly queue?: string | undefined;
  readonly campaign: string;
  readonly version: string;
  readonly log: Logger;
}

/** How often the queue is asked who works for it and what became of leases, in case an event was missed. */
const SWEEP_MS = 3000;
/** Leases in the queue when no worker is known. */
const LEAST_SLOTS = 4;
/** Nobody works: said after so many sweeps. */
const PATIENCE_SWEEPS = 2;
/** Outcomes that nobody collects are removed after this, seconds: a campaign that was killed may come back for them. */
const KEPT_SECONDS = 7 * 86_400;
const EVENTS_KEPT = 1000;
const CLOSE_MS = 2000;

const STATES = ['wait', 'active', 'completed', 'failed', 'delayed', 'prioritized'] as const;

/** A lease that is in the queue. */
interface Waiting {
  readonly data: LeaseJob;
  readonly resolve: (report: LeaseReport | null) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Workers behind a BullMQ queue. An outcome stays in Redis until the campaign has written it down; the name of a job is made
 * of the campaign and the seeds, so that neither a campaign that comes back nor a Redis that forgot can have a lease twice.
 */
export class RedisFleet implements Fleet {
  private readonly options: RedisFleetOptions;
  private readonly link: RedisLink;
  private readonly queue: Queue<LeaseJob, LeaseReport>;
  private readonly events: QueueEvents;
  private readonly waiting = new Map<string, Waiting>();
  private readonly timer: NodeJS.Timeout;
  private jobs = 0;
  private idleSweeps = 0;
  private sweeping = false;

  private constructor(options: RedisFleetOptions, link: RedisLink) {
    this.options = options;
    this.link = link;
    const name = options.queue ?? QUEUE_NAME;
    const common = { connection: link.client, skipVersionCheck: true };
    this.queue = new Queue(name, { ...common, streams: { events: { maxLen: EVENTS_KEPT } } });
    this.events = new QueueEvents(name, common);
    this.queue.on('error', (error) => this.heed(error));
    this.events.on('error', (error) => this.heed(error));
    this.events.on('completed', ({ jobId, returnvalue }) => {
      this.settle(jobId, returnvalue as unknown as LeaseReport);
    });
    this.events.on('failed', ({ jobId, failedReason }) => this.fail(jobId, new LeaseLost(failedReason)));
    link.client.on('ready', () => void this.sweep());
    this.timer = setInterval(() => void this.sweep(), SWEEP_MS);
  }

  /** Throws InputError if Redis cannot be had. */
  static async connect(options: RedisFleetOptions): Promise<RedisFleet> {
    const link = await RedisLink.connect(options.url, options.log);
    const fleet = new RedisFleet(options, link);
    try {
      await fleet.events.waitUntilReady();
      await fleet.lookForWorkers();
      return fleet;
    } catch (error) {
      await fleet.close();
      throw link.inputError(error);
    }
  }

  /** As many as all workers have threads, and as many waiting for them. */
  slots(): number {
    return Math.max(LEAST_SLOTS, 2 * this.jobs);
  }

  async inherited(): Promise<readonly Lease[]> {
    const jobs = await this.guarded(this.queue.getJobs([...STATES]));
    return jobs
      .filter((job) => job?.name === this.options.campaign && job.data.version === this.options.version)
      .map(({ data }) => ({ cell: data.place, from: data.from, to: data.to }));
  }

  async run(lease: Lease, cell: Cell, signal: AbortSignal): Promise<Delivery | null> {
    if (signal.aborted) return null;
    const { from, to } = lease;
    const data: LeaseJob = { place: lease.cell, from, to, cell, version: this.options.version };
    const id = `${this.options.campaign}-${lease.cell}-${from}-${to}`;
    await this.guarded(this.add(id, data));
    const abandon = (): void => {
      this.settle(id, null);
      // A worker may be at it; then this does nothing, and its outcome is there for a campaign that comes back.
      this.queue.remove(id).catch(() => undefined);
    };
    const report = await new Promise<LeaseReport | null>((resolve, reject) => {
      this.waiting.set(id, { data, resolve, reject });
      signal.addEventListener('abort', abandon, { once: true });
      // Of a job that a former life of the campaign left, the event is long past.
      void this.look(id);
    }).finally(() => signal.removeEventListener('abort', abandon));
    if (report === null) return null;
    if (report.version !== this.options.version) {
      throw new InputError('--redis', `numalab ${report.version} answered; this is ${this.options.version}`);
    }
    return { outcome: report.outcome, acknowledge: () => this.forget(id) };
  }

  async close(): Promise<void> {
    clearInterval(this.timer);
    const timeout = new Promise((resolve) => setTimeout(resolve, CLOSE_MS).unref());
    // Jobs that were abandoned are removed before the connection ends, unless Redis is away.
    const quiet = this.link.client.status === 'ready' ? this.link.client.ping() : null;
    await Promise.race([timeout, Promise.allSettled([quiet, this.events.close()])]);
    await Promise.race([timeout, this.queue.close().catch(() => undefined)]);
    this.link.close();
  }

  private async add(id: string, data: LeaseJob): Promise<void> {
    const kept = { age: KEPT_SECONDS };
    await this.queue.add(this.options.campaign, data, { jobId: id, removeOnComplete: kept, removeOnFail: kept });
  }

  /** Removes a job whose outcome is counted, or is not wanted. */
  private async forget(id: string): Promise<void> {
    await this.guarded(this.queue.remove(id));
  }

  private settle(id: string, report: LeaseReport | null): void {
    const waiting = this.waiting.get(id);
    this.waiting.delete(id);
    waiting?.resolve(report);
  }

  private fail(id: string, error: unknown): void {
    const waiting = this.waiting.get(id);
    if (waiting === undefined) return;
    this.waiting.delete(id);
    // Its halves have names of their own.
    if (error instanceof LeaseLost) this.queue.remove(id).catch(() => undefined);
    waiting.reject(error);
  }

  /** What became of one lease; adds it again if Redis has forgotten it. */
  private async look(id: string): Promise<void> {
    const job = await Job.fromId<LeaseJob, LeaseReport>(this.queue, id);
    const waiting = this.waiting.get(id);
    if (waiting === undefined) return;
    if (job === undefined) await this.add(id, waiting.data);
    else if (job.finishedOn !== undefined) {
      if (job.failedReason !== undefined) this.fail(id, new LeaseLost(job.failedReason));
      else this.settle(id, job.returnvalue);
    }
  }

  private async sweep(): Promise<void> {
    if (this.sweeping || this.link.client.status !== 'ready') return;
    this.sweeping = true;
    try {
      await this.lookForWorkers();
      await Promise.all([...this.waiting.keys()].map((id) => this.look(id)));
    } catch (error) {
      this.heed(error);
    } finally {
      this.sweeping = false;
    }
  }

  private async lookForWorkers(): Promise<void> {
    const workers = (await this.queue.getWorkers()).map(({ rawname }) => parseWorkerName(rawname ?? ''));
    const able = workers.filter((worker) => worker?.version === this.options.version);
    this.jobs = able.reduce((sum, worker) => sum + worker!.jobs, 0);
    this.idleSweeps = this.jobs > 0 ? 0 : this.idleSweeps + 1;
    if (this.idleSweeps === PATIENCE_SWEEPS) {
      const { version, queue = QUEUE_NAME, log } = this.options;
      log.warn({ queue, version, others: workers.length }, 'no worker of this version is there yet; waiting for one');
    }
  }

  /** Ends the campaign for what waiting does not mend; the rest comes right by itself. */
  private heed(error: unknown): void {
    if (!this.link.isFatal(error)) return;
    for (const id of [...this.waiting.keys()]) this.fail(id, this.link.inputError(error));
  }

  private async guarded<Value>(promise: Promise<Value>): Promise<Value> {
    try {
      return await promise;
    } catch (error) {
      throw this.link.inputError(error);
    }
  }
}
