import { randomUUID } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { assert, InputError } from '@numalab/base';
import { type Logger, pino } from 'pino';
import { buildSpec } from '../machine/build-spec.ts';
import type { Scheduler } from '../scenario/draw-schedule.ts';
import type { Scenario } from '../scenario/scenario.ts';
import { buildVersion } from '../version.ts';
import { type CampaignResult, type CellTally, campaignResult } from './campaign-result.ts';
import { type Cell, cellName, type DrawnFaults, makeCell } from './cell.ts';
import { Dealer } from './dealer.ts';
import { Journal } from './journal.ts';
import { type Fleet, type Lease, LeaseLost, type LeaseOutcome } from './lease.ts';
import { LocalFleet } from './local-fleet.ts';
import { type SeedRange, SeedSet, seedCount } from './seed-set.ts';
import { Tally } from './tally.ts';
import { MARK_NAMES, tallyOfError } from './tally-run.ts';

/** How far a campaign is. */
export interface CampaignProgress {
  readonly done: number;
  readonly requested: number;
  readonly failures: number;
  /** Runs per second since this session began. */
  readonly perSecond: number;
  /** Seconds; null while unknown. */
  readonly remainingSeconds: number | null;
  /** How many leases can be under way. */
  readonly slots: number;
  /** Kinds of faults that have fired so far. */
  readonly faultKinds: number;
  /** Situations that should be reached sometimes: how many were, of how many. */
  readonly marks: readonly [reached: number, of: number];
}

/** What a campaign runs, where, and whom it tells. */
export interface CampaignOptions {
  /** Both ends included. */
  readonly seeds: SeedRange;
  /** Default none. */
  readonly faults?: DrawnFaults;
  /** Who decides whose turn it is; default random: jitter alone. */
  readonly scheduler?: Scheduler;
  /** Folder of the journal. A campaign with the same one takes up where the last ended; without one it cannot be resumed. */
  readonly out?: string;
  /** `redis://` or `rediss://`: leases are run by the workers of that queue. Default: by threads of this process. */
  readonly redis?: string;
  /** Name of the queue; default `numalab`. */
  readonly queue?: string;
  /** Threads of this process; default: cores. */
  readonly jobs?: number;
  /** Seeds of a lease; default: as many as take some two seconds. */
  readonly seedsPerLease?: number;
  /** Words of the command line, such as `--duration 10us`, that the scenarios were loaded with: for lines that run one again. */
  readonly settings?: readonly string[];
  /** Ends the campaign soon, with what there is. */
  readonly signal?: AbortSignal;
  /** Told after every lease. */
  readonly progress?: (progress: CampaignProgress) => void;
  /** Told after every lease what has been counted so far. */
  readonly counted?: (lease: Lease, outcome: LeaseOutcome) => void;
  /** Default: silent. */
  readonly log?: Logger;
  /** Who runs the leases instead; the campaign closes it. */
  readonly fleet?: Fleet;
}

/** One campaign at work. */
class Campaign {
  readonly cells: readonly CellTally[];
  private readonly options: CampaignOptions;
  private readonly dealer: Dealer;
  private readonly stopped = new AbortController();
  /** Milliseconds at work, by earlier session. */
  private readonly sessions = new Map<number, number>();
  private readonly started = performance.now();
  private leases = 0;
  private resumed = 0;
  private busyMs = 0;
  private cpuMs = 0;

  constructor(cells: readonly Cell[], options: CampaignOptions) {
    this.options = options;
    this.cells = cells.map((cell) => {
      // Throws InputError for what cannot be built, before anything is started.
      const { spec } = buildSpec(cell.scenario, options.seeds.from);
      const declared = spec.strategy === 'none' ? null : spec.guarantee;
      return { cell, declared, tally: new Tally(), busyMs: 0 };
    });
    const left = cells.map(() => new SeedSet(options.seeds));
    this.dealer = new Dealer(left, options.seedsPerLease ?? null);
  }

  /** Opens the journal and counts what it holds. */
  async resume(option: string, version: string, id: string): Promise<Journal | null> {
    const { out, seeds } = this.options;
    if (out === undefined) return null;
    const cells = this.cells.map(({ cell }) => cell);
    const journal = await Journal.open(out, option, version, cells, id, ({ session, elapsedMs, lease, outcome }) => {
      const done = { cell: lease.cell, from: lease.from, to: outcome.to };
      if (!this.dealer.reserve(done)) {
        const which = `seeds ${done.from}..${done.to} of ${this.cells[done.cell] ? cellName(cells[done.cell]!) : 'no cell'}`;
        throw new InputError(
          option,
          `${out} holds ${which}, which are not among ${seeds.from}..${seeds.to} or there twice`,
        );
      }
      this.sessions.set(session, elapsedMs);
      this.resumed += seedCount(done);
      this.count(lease, outcome);
    });
    return journal;
  }

  /** Has all leases run that are left, until `signal` aborts. */
  async drive(fleet: Fleet, journal: Journal | null): Promise<void> {
    const pending = new Set<Promise<void>>();
    let failure: unknown;
    const start = (lease: Lease): void => {
      const promise = this.perform(lease, fleet, journal)
        .catch((error: unknown) => {
          failure ??= error;
          this.stopped.abort();
        })
        .finally(() => pending.delete(promise));
      pending.add(promise);
    };
    const stop = (): void => this.stopped.abort();
    this.options.signal?.addEventListener('abort', stop);
    if (this.options.signal?.aborted === true) stop();
    try {
      for (const lease of await fleet.inherited()) if (this.dealer.reserve(lease)) start(lease);
      for (;;) {
        while (!this.stopped.signal.aborted && pending.size < fleet.slots()) {
          const lease = this.dealer.next(fleet.slots());
          if (lease === null) break;
          start(lease);
        }
        if (pending.size === 0) break;
        await Promise.race(pending);
      }
    } finally {
      this.options.signal?.removeEventListener('abort', stop);
    }
    if (failure !== undefined) throw failure;
  }

  /** What there is so far. */
  result(version: string, campaign: string): CampaignResult {
    const { seeds } = this.options;
    return campaignResult({
      campaign,
      version,
      seeds,
      interrupted: this.dealer.remaining > 0,
      leases: this.leases,
      wallMs: [...this.sessions.values()].reduce((sum, ms) => sum + ms, this.resumedAll() ? 0 : this.elapsedMs()),
      busyMs: this.busyMs,
      cpuMs: this.cpuMs,
      cells: this.cells,
      resumed: this.resumed,
      settings: this.options.settings ?? [],
    });
  }

  /** Tells how far it is. */
  report(slots: number): void {
    const requested = this.cells.length * seedCount(this.options.seeds);
    const done = this.done();
    const perSecond = ((done - this.resumed) * 1000) / Math.max(1, this.elapsedMs());
    this.options.progress?.({
      done,
      requested,
      failures: this.cells.reduce((sum, { tally }) => sum + tally.failures().length, 0),
      perSecond,
      remainingSeconds: done === this.resumed ? null : (requested - done) / perSecond,
      slots,
      faultKinds: this.distinct(({ faultsFired }) => faultsFired),
      marks: [this.distinct(({ marks }) => marks), MARK_NAMES.length],
    });
  }

  /** How many names were counted at least once, in any cell. */
  private distinct(countsOf: (tally: Tally) => Readonly<Record<string, number>>): number {
    const names = this.cells.flatMap(({ tally }) => Object.entries(countsOf(tally)));
    return new Set(names.flatMap(([name, count]) => (count > 0 ? [name] : []))).size;
  }

  private done(): number {
    return this.cells.reduce((sum, { tally }) => sum + (tally.runs.total ?? 0), 0);
  }

  private resumedAll(): boolean {
    return this.done() === this.resumed;
  }

  private elapsedMs(): number {
    return performance.now() - this.started;
  }

  private async perform(lease: Lease, fleet: Fleet, journal: Journal | null): Promise<void> {
    const { cell } = this.cells[lease.cell]!;
    try {
      const delivery = await fleet.run(lease, cell, this.stopped.signal);
      if (delivery === null) {
        this.dealer.giveBack(lease.cell, lease);
        return;
      }
      this.take(lease, delivery.outcome, journal);
      this.report(fleet.slots());
      await delivery.acknowledge();
    } catch (error) {
      if (!(error instanceof LeaseLost)) throw error;
      this.lost(lease, error, journal);
    }
  }

  /** Writes down and counts what was run, and gives back what was not. */
  private take(lease: Lease, outcome: LeaseOutcome, journal: Journal | null): void {
    assert(outcome.to >= lease.from && outcome.to <= lease.to, `a lease up to seed ${lease.to} ended at ${outcome.to}`);
    const runs = outcome.to - lease.from + 1;
    assert(outcome.tally.runs.total === runs, `${outcome.tally.runs.total} runs in a lease of ${runs} seeds`);
    journal?.append({ elapsedMs: this.elapsedMs(), lease, outcome });
    this.count(lease, outcome);
    if (outcome.busyMs > 0) this.dealer.learn(lease.cell, runs, outcome.busyMs);
    if (outcome.to < lease.to) this.dealer.giveBack(lease.cell, { from: outcome.to + 1, to: lease.to });
    this.options.counted?.(lease, outcome);
  }

  private count(lease: Lease, outcome: LeaseOutcome): void {
    const counted = this.cells[lease.cell]!;
    counted.tally.add(outcome.tally);
    counted.busyMs += outcome.busyMs;
    this.leases++;
    this.busyMs += outcome.busyMs;
    this.cpuMs += outcome.cpuMs;
  }

  private lost(lease: Lease, error: LeaseLost, journal: Journal | null): void {
    if (this.stopped.signal.aborted) {
      this.dealer.giveBack(lease.cell, lease);
      return;
    }
    this.options.log?.warn({ lease, reason: error.message }, 'a lease was lost');
    if (seedCount(lease) > 1) {
      this.dealer.split(lease);
      return;
    }
    const tally = new Tally();
    tally.addRun(tallyOfError(error, lease.from));
    this.take(lease, { to: lease.to, tally: tally.data(), busyMs: 0, cpuMs: 0 }, journal);
  }
}

const fleetOf = async (options: CampaignOptions, campaign: string, version: string, log: Logger): Promise<Fleet> => {
  if (options.fleet !== undefined) return options.fleet;
  if (options.redis === undefined) return new LocalFleet(options.jobs ?? availableParallelism());
  const { RedisFleet } = await import('./redis-fleet.ts');
  return await RedisFleet.connect({ url: options.redis, queue: options.queue, campaign, version, log });
};

/**
 * Runs every scenario with every seed and sums up what happened. Runs depend on scenario and seed alone, so it makes no
 * difference where they are run and how they are cut into leases. With `out` the campaign can be killed at any moment and be
 * called again: nothing that was counted is run again. Throws InputError for a scenario that cannot be run, a journal of
 * another campaign, a queue that cannot be used; what was done until then is in the journal.
 */
export const campaign = async (scenarios: readonly Scenario[], options: CampaignOptions): Promise<CampaignResult> => {
  const { seeds, faults = 'none', scheduler = 'random', log = pino({ level: 'silent' }) } = options;
  if (scenarios.length === 0) throw new InputError('campaign', 'has no scenario');
  if (!(seeds.from <= seeds.to)) throw new InputError('--seeds', `${seeds.from}..${seeds.to} are none`);
  const version = buildVersion();
  const work = new Campaign(
    scenarios.map((scenario) => makeCell(scenario, faults, scheduler)),
    options,
  );
  const newId = randomUUID();
  const journal = await work.resume('--out', version, newId);
  const id = journal?.campaign ?? newId;
  try {
    const fleet = await fleetOf(options, id, version, log);
    try {
      work.report(fleet.slots());
      await work.drive(fleet, journal);
    } finally {
      await fleet.close();
    }
  } finally {
    journal?.close();
  }
  return work.result(version, id);
};
