import { InputError } from '@numalab/base';
import { TableMemo, watchTables } from '@numalab/checkers';
import { InlineMachine } from '../engine/inline.ts';
import { loadProtocol } from '../engine/protocol-ref.ts';
import { type JudgedRun, judgeRaw } from '../engine/run-machine.ts';
import { buildSpec, type PreparedMachine } from '../machine/build-spec.ts';
import { type Cell, faultsOf, scheduleOf } from './cell.ts';
import type { LeaseOutcome } from './lease.ts';
import type { SeedRange } from './seed-set.ts';
import { Tally } from './tally.ts';
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

/** The cell that this thread ran last, and its machine, which is set back for the next seed instead of being built anew. */
let current: Cell | null = null;
let machine: InlineMachine | null = null;
let spent: PreparedMachine | null = null;
const memo = new TableMemo();

const judgedRun = async (cell: Cell, seed: number): Promise<JudgedRun> => {
  const { scenario } = cell;
  const prepared = buildSpec(scenario, seed, { faults: faultsOf(cell, seed), schedule: scheduleOf(cell, seed) }, spent);
  const { spec, watch } = prepared;
  const protocol = loadProtocol(spec.protocol);
  if (machine === null) {
    machine = new InlineMachine(spec, protocol, watch, watchTables);
    machine.checkpoint();
  } else machine.reset(spec, protocol, watch);
  spent = prepared;
  return judgeRaw(spec, machine.runShort(), scenario.checks, memo);
};

/** Runs one seed of a cell. Throws InputError if the scenario cannot be built. */
const runSeed = async (cell: Cell, seed: number, tally: Tally): Promise<void> => {
  try {
    tally.addRun(tallyOf(await judgedRun(cell, seed), seed, cell.scenario.checks.expect));
  } catch (error) {
    machine = null;
    spent = null;
    if (error instanceof InputError) throw error;
    tally.addRun(tallyOfError(error, seed));
  }
};

/** Runs the seeds of a lease one after the other. Never rejects for what a run does. */
export const runLease = async ({ cell, from, to, stop }: LeaseTask): Promise<LeaseAnswer> => {
  if (current?.hash !== cell.hash) {
    current = cell;
    machine = null;
    spent = null;
  }
  const started = performance.now();
  const cpu = process.threadCpuUsage();
  const tally = new Tally();
  let seed = from;
  try {
    for (; seed <= to && Atomics.load(stop, 0) === 0; seed++) await runSeed(current, seed, tally);
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    return { kind: 'refused', where: error.where, message: error.message.slice(error.where.length + 2) };
  }
  if (seed === from) return { kind: 'nothing' };
  const { user, system } = process.threadCpuUsage(cpu);
  const busyMs = performance.now() - started;
  return { kind: 'done', outcome: { to: seed - 1, tally: tally.data(), busyMs, cpuMs: (user + system) / 1000 } };
};
