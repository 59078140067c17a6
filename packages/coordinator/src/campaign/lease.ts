import type { Cell } from './cell.ts';
import type { SeedRange } from './seed-set.ts';
import type { TallyData } from './tally.ts';

/** Seeds of a cell that somebody is asked to run. Plain data. */
export interface Lease extends SeedRange {
  /** Place of the cell in the campaign's matrix. */
  readonly cell: number;
}

/** What came of a lease: the runs of its first seeds, of all unless it was cut short. Plain data. */
export interface LeaseOutcome {
  /** The last seed that was run. */
  readonly to: number;
  readonly tally: TallyData;
  /** Time that the lease took where it was run, and processor time of its thread, milliseconds. */
  readonly busyMs: number;
  readonly cpuMs: number;
}

/** An outcome that counts once it is acknowledged: until then whoever keeps it must keep it. */
export interface Delivery {
  readonly outcome: LeaseOutcome;
  acknowledge(): Promise<void>;
}

/** Whoever was to run a lease is gone, and nobody knows why; perhaps because of a seed in it. */
export class LeaseLost extends Error {
  override readonly name = 'LeaseLost';
}

/** Those who run leases: threads of this process, or workers behind a queue. */
export interface Fleet {
  /** How many leases it wants to have at a time; changes as workers come and go. */
  slots(): number;
  /** Leases that a former life of this campaign left with it. */
  inherited(): Promise<readonly Lease[]>;
  /**
   * Has a lease run. Null: nothing was run, because `signal` aborted. Rejects with {@link LeaseLost}, or with InputError where
   * going on makes no sense.
   */
  run(lease: Lease, cell: Cell, signal: AbortSignal): Promise<Delivery | null>;
  /** Resolves when all it used is given back. */
  close(): Promise<void>;
}
