import type { Lease } from './lease.ts';
import { type SeedRange, type SeedSet, seedCount } from './seed-set.ts';

/** Work that a lease should hold, and at least holds unless fewer seeds are left; milliseconds of one thread. */
const TARGET_MS = 2000;
const LEAST_MS = 1000;
/** Seeds of the first leases of a cell, when nobody knows yet how long a run takes. */
const FIRST_SEEDS = 4;
/** Weight of the newest lease in the time that a run is thought to take. */
const NEWEST = 0.5;

/** Cuts the seeds that are left of each cell into leases, so large that dealing costs little and a lost one is soon redone. */
export class Dealer {
  private readonly left: readonly SeedSet[];
  private readonly fixedSeeds: number | null;
  /** Milliseconds per run, by cell; NaN while unknown. */
  private readonly runMs: Float64Array;
  /** Halves of leases that were lost; dealt again as they are. */
  private readonly halves: Lease[] = [];

  /** `left`: the seeds still to be run, by cell. `fixedSeeds`: seeds of every lease; null: as many as fit the time. */
  constructor(left: readonly SeedSet[], fixedSeeds: number | null = null) {
    this.left = left;
    this.fixedSeeds = fixedSeeds;
    this.runMs = new Float64Array(left.length).fill(Number.NaN);
  }

  /** Seeds not yet dealt. */
  get remaining(): number {
    return [...this.left.map(({ size }) => size), ...this.halves.map(seedCount)].reduce((sum, size) => sum + size, 0);
  }

  /** The next lease, if `slots` share what is left; null if nothing is. */
  next(slots: number): Lease | null {
    const half = this.halves.pop();
    if (half !== undefined) return half;
    const cell = this.left.findIndex(({ size }) => size > 0);
    const taken = this.left[cell]?.take(this.seedsOf(cell, slots));
    return taken ? { cell, ...taken } : null;
  }

  /** Takes a lease that is dealt by other means out of what is left. False if that is not left, or not as a whole. */
  reserve({ cell, from, to }: Lease): boolean {
    const left = this.left[cell];
    if (left === undefined || !(from <= to) || !left.has({ from, to })) return false;
    left.remove({ from, to });
    return true;
  }

  /** Seeds that were dealt but not run. */
  giveBack(cell: number, range: SeedRange): void {
    this.left[cell]!.add(range);
  }

  /** A lease of several seeds that was lost: halves of it are dealt next, so that a seed that kills is found. */
  split({ cell, from, to }: Lease): void {
    const middle = Math.floor((from + to) / 2);
    this.halves.push({ cell, from: middle + 1, to }, { cell, from, to: middle });
  }

  /** So many runs of a cell took so long. */
  learn(cell: number, runs: number, busyMs: number): void {
    const known = this.runMs[cell]!;
    const now = busyMs / runs;
    this.runMs[cell] = Number.isNaN(known) ? now : known + NEWEST * (now - known);
  }

  private seedsOf(cell: number, slots: number): number {
    if (this.fixedSeeds !== null) return this.fixedSeeds;
    const runMs = this.runMs[cell]!;
    if (Number.isNaN(runMs)) return FIRST_SEEDS;
    // Towards the end the leases shrink, so that nobody waits long for the last one.
    const share = Math.ceil(this.left[cell]!.size / slots);
    const most = Math.max(1, Math.round(TARGET_MS / Math.max(runMs, 1e-3)));
    return Math.max(Math.ceil((most * LEAST_MS) / TARGET_MS), Math.min(most, share));
  }
}
