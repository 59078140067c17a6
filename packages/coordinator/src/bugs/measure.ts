import { hunt } from '../hunt/hunt.ts';
import type { Scheduler } from '../scenario/draw-schedule.ts';
import { loadScenario } from '../scenario/load.ts';
import { BUGS } from './catalogue.ts';
import { type Caught, MOST_SEEDS, measureBug } from './measure-bug.ts';

/** The schedulers that a bug is hunted with. */
export const MEASURED: readonly Scheduler[] = ['random', 'pct', 'starvation'];

/** Runs without a bug, to see whether anything fires all the same. */
export interface CleanRuns {
  readonly from: number;
  readonly to: number;
  /** Runs made: fewer than asked for if they were cut off. */
  readonly runs: number;
  /** Runs in which a rule was broken, or that numalab could not end. */
  readonly alarms: number;
  readonly seconds: number;
  /** What fired, and with which seed. */
  readonly causes: readonly { readonly cause: string; readonly seed: number }[];
}

/** All that `bugs --measure` finds out. */
export interface Measurement {
  readonly caught: Readonly<Record<string, Readonly<Record<string, Caught>>>>;
  readonly clean: CleanRuns;
}

export interface MeasureOptions {
  /** Seeds that a bug is given. */
  readonly seeds?: number;
  /** Seeds without a bug: from `first` on, so many. */
  readonly first: number;
  readonly clean: number;
  readonly jobs?: number;
  readonly signal?: AbortSignal;
  readonly progress?: (line: string) => void;
}

const cleanRuns = async ({ first, clean, jobs, signal, progress }: MeasureOptions): Promise<CleanRuns> => {
  const [from, to] = [first, first + clean - 1];
  if (clean === 0) return { from, to, runs: 0, alarms: 0, seconds: 0, causes: [] };
  const { runs, failures, wallMs } = await hunt(loadScenario('small'), {
    seeds: { from, to },
    ...(jobs === undefined ? {} : { jobs }),
    ...(signal === undefined ? {} : { signal }),
    progress: ({ done, requested }) => progress?.(`${done} of ${requested} runs without a bug`),
  });
  const { total = 0, fail = 0, error = 0 } = runs;
  const causes = failures.map(({ cause, seed }) => ({ cause, seed }));
  return { from, to, runs: total, alarms: fail + error, seconds: wallMs / 1000, causes };
};

/** Hunts every bug with every scheduler, one thread, and then runs many seeds without any bug on all cores. */
export const measure = async (options: MeasureOptions): Promise<Measurement> => {
  const caught: Record<string, Record<string, Caught>> = {};
  for (const entry of BUGS) {
    const own: Record<string, Caught> = {};
    for (const scheduler of MEASURED) {
      // A signal arrives between turns of the event loop.
      await new Promise((resolve) => setImmediate(resolve));
      if (options.signal?.aborted === true) break;
      own[scheduler] = measureBug(entry, scheduler, options.seeds ?? MOST_SEEDS);
    }
    caught[entry.id] = own;
    const seeds = MEASURED.map((scheduler) => `${scheduler} ${own[scheduler]?.seed ?? '-'}`);
    options.progress?.(`bug ${entry.id}: ${seeds.join(', ')}`);
  }
  return { caught, clean: await cleanRuns(options) };
};
