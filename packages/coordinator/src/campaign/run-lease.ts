import { InputError } from '@numalab/base';
import type { Cell } from './cell.ts';
import type { LeaseOutcome } from './lease.ts';
import { SeedMachine } from './seed-machine.ts';
import type { SeedRange } from './seed-set.ts';
import { type RunTally, Tally } from './tally.ts';
import { tallyOf, tallyOfError } from './tally-run.ts';

/** A lease as it travels to a thread. */
export interface LeaseTask extends SeedRange {
  readonly cell: Cell;
  /** The thread ends the lease after the run that is under way once the first word is not 0. */
  readonly stop: Int32Array;
}

/** What a thread answers; `refused`: the scenario cannot be run at all. */
export type LeaseAnswer =
  | { readonly kind: 'done'; readonly outcome: LeaseOutcome }
  | { readonly kind: 'refused'; readonly where: string; readonly message: string }
  /** Stopped before the first run. */
  | { readonly kind: 'nothing' };

/** The machine of the cell that this thread ran last. */
const machine = new SeedMachine();

/** What one seed of a cell adds. Throws InputError if the scenario cannot be built. */
const runSeed = (cell: Cell, seed: number): RunTally => {
  try {
    return tallyOf(machine.run(cell, seed), seed, cell.scenario.checks.expect);
  } catch (error) {
    if (error instanceof InputError) throw error;
    return tallyOfError(error, seed);
  }
};

/** Runs the seeds of a lease one after the other. Never rejects for what a run does. */
export const runLease = async ({ cell, from, to, stop }: LeaseTask): Promise<LeaseAnswer> => {
  const started = performance.now();
  const cpu = process.threadCpuUsage();
  const tally = new Tally();
  let seed = from;
  try {
    for (; seed <= to && Atomics.load(stop, 0) === 0; seed++) tally.addRun(runSeed(cell, seed));
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    return { kind: 'refused', where: error.where, message: error.what };
  }
  if (seed === from) return { kind: 'nothing' };
  const { user, system } = process.threadCpuUsage(cpu);
  const busyMs = performance.now() - started;
  return { kind: 'done', outcome: { to: seed - 1, tally: tally.data(), busyMs, cpuMs: (user + system) / 1000 } };
};
