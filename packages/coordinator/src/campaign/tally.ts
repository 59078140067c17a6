import type { FaultResult, RuleResult } from '@numalab/checkers';
import type { Guarantee } from '@numalab/protocols';
import { build, decodeFromCompressedBase64, encodeIntoCompressedBase64, type Histogram } from 'hdr-histogram-js';

/** Numbers under names; those of two runs add up. */
export type Counts = Readonly<Record<string, number>>;

/** A way in which runs failed. */
export interface Failure {
  /** The rule and what broke it, in words that are the same for every seed. */
  readonly cause: string;
  /** The rule; `bug` for a run that numalab itself could not end. */
  readonly invariant: string;
  /** How the shortest of the runs put it. */
  readonly message: string;
  /** Runs that failed first of all in this way. */
  readonly count: number;
  /** Seed of the shortest of the runs, and how many events that has. */
  readonly seed: number;
  readonly events: number;
}

/** What one run adds to a tally. */
export interface RunTally {
  readonly verdict: 'pass' | 'fail' | 'unknown' | 'error';
  readonly failure: Omit<Failure, 'count'> | null;
  /** Events, writes, nodes … that add up. */
  readonly sums: Counts;
  /** Fetches that could have refuted each level. */
  readonly evidence: Readonly<Record<Guarantee, number>>;
  /** How often each rule was put to the test. */
  readonly rules: readonly Pick<RuleResult, 'id' | 'evidence'>[];
  /** How often each fault fired. */
  readonly faults: readonly Pick<FaultResult, 'kind' | 'fired'>[];
  /** Situations that the run reached. */
  readonly marks: readonly string[];
  /** Picoseconds, by histogram. */
  readonly times: Readonly<Record<HistogramName, readonly number[]>>;
}

/** What is measured for every write: see `WriteFigures`. */
export const HISTOGRAMS = ['writeLatencyPs', 'maintainedPs'] as const;
export type HistogramName = (typeof HISTOGRAMS)[number];

/** A {@link Tally} as plain data. */
export interface TallyData {
  readonly runs: Counts;
  readonly sums: Counts;
  readonly evidence: Counts;
  readonly rules: Counts;
  readonly faultsFired: Counts;
  readonly marks: Counts;
  /** HDR histograms, compressed, in base64. */
  readonly histograms: Readonly<Record<string, string>>;
  readonly failures: readonly Failure[];
}

/** Causes that are told apart; the failures of all further ones are counted as one. */
const MAX_CAUSES = 1000;
const FURTHER = 'further causes';

/** Times beyond this, some 19 minutes of virtual time, count as this. Fixed, so that equal runs give equal bytes. */
const MOST_PS = 2 ** 50;

/** Counters of 64 bits: a billion runs write more than 2^32 times. */
const newHistogram = (): Histogram =>
  build({ bitBucketSize: 64, highestTrackableValue: MOST_PS, numberOfSignificantValueDigits: 3 });

const addCounts = (into: Record<string, number>, from: Counts): void => {
  for (const name in from) into[name] = (into[name] ?? 0) + from[name]!;
};

const shorter = (one: Failure, other: Omit<Failure, 'count'>): boolean =>
  one.events < other.events || (one.events === other.events && one.seed <= other.seed);

/** Runs summed up. The order in which runs and tallies are added changes nothing. */
export class Tally {
  readonly runs: Record<string, number> = { total: 0, pass: 0, fail: 0, unknown: 0, error: 0 };
  readonly sums: Record<string, number> = {};
  readonly evidence: Record<string, number> = {};
  readonly rules: Record<string, number> = {};
  readonly faultsFired: Record<string, number> = {};
  readonly marks: Record<string, number> = {};
  readonly histograms: Readonly<Record<HistogramName, Histogram>> = {
    writeLatencyPs: newHistogram(),
    maintainedPs: newHistogram(),
  };
  private readonly causes = new Map<string, Failure>();

  /** Each cause with its count, the most frequent first. */
  failures(): readonly Failure[] {
    return [...this.causes.values()].sort((x, y) => y.count - x.count || (x.cause < y.cause ? -1 : 1));
  }

  /** Adds a run. */
  addRun(run: RunTally): void {
    this.runs.total!++;
    this.runs[run.verdict]!++;
    addCounts(this.sums, run.sums);
    addCounts(this.evidence, run.evidence);
    const { rules, faultsFired } = this;
    for (const { id, evidence } of run.rules) rules[id] = (rules[id] ?? 0) + evidence;
    for (const { kind, fired } of run.faults) faultsFired[kind] = (faultsFired[kind] ?? 0) + fired;
    for (const mark of run.marks) this.marks[mark] = (this.marks[mark] ?? 0) + 1;
    for (const name of HISTOGRAMS)
      for (const time of run.times[name]) this.histograms[name].recordValue(Math.min(time, MOST_PS));
    if (run.failure !== null) this.addFailure({ ...run.failure, count: 1 });
  }

  /** Adds the runs of another tally. */
  add(other: TallyData): void {
    addCounts(this.runs, other.runs);
    addCounts(this.sums, other.sums);
    addCounts(this.evidence, other.evidence);
    addCounts(this.rules, other.rules);
    addCounts(this.faultsFired, other.faultsFired);
    addCounts(this.marks, other.marks);
    for (const name of HISTOGRAMS) {
      const encoded = other.histograms[name];
      if (encoded !== undefined) this.histograms[name].add(decodeFromCompressedBase64(encoded, 64));
    }
    for (const failure of other.failures) this.addFailure(failure);
  }

  /** Plain data, for other threads, processes and files. */
  data(): TallyData {
    const histograms = HISTOGRAMS.filter((name) => this.histograms[name].totalCount > 0).map((name) => [
      name,
      encodeIntoCompressedBase64(this.histograms[name]),
    ]);
    return {
      runs: this.runs,
      sums: this.sums,
      evidence: this.evidence,
      rules: this.rules,
      faultsFired: this.faultsFired,
      marks: this.marks,
      histograms: Object.fromEntries(histograms),
      failures: this.failures(),
    };
  }

  private addFailure(failure: Failure): void {
    const isNew = !this.causes.has(failure.cause);
    const cause = isNew && this.causes.size >= MAX_CAUSES ? FURTHER : failure.cause;
    const known = this.causes.get(cause);
    if (known === undefined) this.causes.set(cause, { ...failure, cause });
    else {
      const count = known.count + failure.count;
      this.causes.set(cause, shorter(known, failure) ? { ...known, count } : { ...failure, cause, count });
    }
  }
}
