import { InputError } from '@numalab/base';
import { BEGIN_ACTION, TRACE_FAULT, type TraceSink } from '@numalab/interconnect';
import type { Cell } from '../campaign/cell.ts';
import { SeedMachine } from '../campaign/seed-machine.ts';
import { tallyOf } from '../campaign/tally-run.ts';
import type { InlineMachine } from '../engine/inline.ts';
import type { SpecOverrides } from '../machine/build-spec.ts';

/** A run to be tried, as it travels to a thread. */
export interface Trial {
  readonly cell: Cell;
  readonly seed: number;
  readonly changes: Pick<SpecOverrides, 'faults' | 'schedule' | 'writers' | 'workload'>;
  /** A run that is not over after so many windows did not fail: one that hangs takes long. */
  readonly mostWindows: number;
  /** Whether to tell what happened in it. */
  readonly tells: boolean;
}

/** What happened in a run that can be left out of another. */
export interface TrialLog {
  /** Actions of writers, in the order in which they began; of a recorded writer that is alone, its rows. */
  readonly actions: readonly { readonly writer: number; readonly action: number }[];
  /** When planned faults hit something. */
  readonly hits: readonly { readonly name: string; readonly at: number }[];
}

/** What came of a trial; `cause` is null unless the run failed. */
export interface TrialOutcome {
  readonly verdict: string;
  readonly cause: string | null;
  readonly message: string;
  /** Moment of the finding, picoseconds. */
  readonly timePs: number;
  readonly events: number;
  /** How much work it was. */
  readonly windows: number;
  readonly log: TrialLog | null;
}

const machine = new SeedMachine();

/** Takes down what a {@link TrialLog} needs. */
class Log implements TraceSink {
  readonly begun: { readonly time: number; readonly writer: number; readonly operand: number }[] = [];
  readonly hits: { readonly name: string; readonly at: number }[] = [];

  add(time: number, kind: number, _from: number, a: number, b: number, _c: number, body: unknown): void {
    if (kind === BEGIN_ACTION) this.begun.push({ time, writer: a, operand: b });
    else if (kind === TRACE_FAULT && a === 0) this.hits.push({ name: String(body), at: time });
  }

  watch(of: InlineMachine): void {
    for (const node of of.nodes) node.traceTo(this);
    of.hypervisor.traceTo(this);
  }
}

/** The rows of a trace, if nobody else writes: nobody says when one begins. */
const rowsOf = (writers: InlineMachine['spec']['writers']): TrialLog['actions'] => {
  const [writer] = writers;
  if (writer?.kind !== 'recorded' || writers.length > 1) return [];
  return [...writer.rows].map((row) => ({ writer: 0, action: row }));
};

/** Of a synthetic writer a message names the agent: its actions are counted here as the writer counts them. */
const logOf = (log: Log, { spec }: { readonly spec: InlineMachine['spec'] }): TrialLog => {
  const done = new Map<string, number>();
  const actions = log.begun
    .toSorted((x, y) => x.time - y.time)
    .map(({ writer, operand }) => {
      const planned = spec.writers[writer]!;
      if (planned.kind !== 'synthetic') return { writer, action: operand };
      const key = `${writer} ${operand}`;
      let count = done.get(key) ?? 0;
      const numberOf = (n: number): number => n * planned.agents.length + operand;
      while (planned.only !== null && !planned.only.includes(numberOf(count))) count++;
      done.set(key, count + 1);
      return { writer, action: numberOf(count) };
    });
  return { actions: [...rowsOf(spec.writers), ...actions], hits: log.hits };
};

/** Runs a trial on this thread's machine. Never throws for what a run does: a run that cannot be built or ended did not fail. */
export const runTrial = ({ cell, seed, changes, tells, mostWindows }: Trial): TrialOutcome => {
  const log = new Log();
  let used: InlineMachine | null = null;
  try {
    const run = machine.run(
      cell,
      seed,
      changes,
      (built) => {
        used = built;
        if (tells) log.watch(built);
      },
      mostWindows,
    );
    if (run.raw.interrupted) {
      const message = 'it was not over in time';
      return { verdict: 'too long', cause: null, message, timePs: 0, events: 0, windows: mostWindows, log: null };
    }
    const { verdict, failure, sums } = tallyOf(run, seed, cell.scenario.checks.expect);
    const found = run.judgement.violations.find(({ id }) => !cell.scenario.checks.expect.includes(id));
    return {
      verdict,
      cause: failure?.cause ?? null,
      message: failure?.message ?? run.judgement.reason,
      timePs: found?.timePs ?? run.raw.endPs,
      events: sums.events ?? 0,
      windows: run.raw.windows,
      log: tells ? logOf(log, used!) : null,
    };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const verdict = error instanceof InputError ? 'refused' : 'error';
    return { verdict, cause: null, message, timePs: 0, events: 0, windows: 0, log: null };
  }
};
