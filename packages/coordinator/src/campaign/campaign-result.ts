import type { Verdict } from '@numalab/checkers';
import { GUARANTEES, type Guarantee } from '@numalab/protocols';
import type { Histogram } from 'hdr-histogram-js';
import { type Cell, cellName, type DrawnFaults } from './cell.ts';
import { replayOf } from './replay.ts';
import type { SeedRange } from './seed-set.ts';
import { type Counts, type Failure, HISTOGRAMS, type HistogramName, Tally } from './tally.ts';
import { MARK_NAMES } from './tally-run.ts';

/** Runs by how they ended; `error`: numalab could not end them. */
export interface RunCounts {
  readonly total: number;
  readonly pass: number;
  readonly fail: number;
  readonly unknown: number;
  readonly error: number;
}

/** A merged HDR histogram: values in picoseconds, to three digits. */
export interface HistogramResult {
  readonly count: number;
  readonly min: number;
  readonly mean: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
  /** The whole of it in HdrHistogram's V2 compressed encoding, base64. */
  readonly hdr: string;
}

/** What a tally says, ready to be printed. */
export interface TallyResult {
  readonly evidence: Counts;
  /** How often each rule was put to the test. */
  readonly rules: Counts;
  readonly faultsFired: Counts;
  /** Runs that reached each situation; 0 for one that none did. */
  readonly marks: Counts;
  readonly events: number;
  readonly virtualTimePs: number;
  readonly writes: number;
  /** Null without values. */
  readonly histograms: Readonly<Record<HistogramName, HistogramResult | null>>;
}

/** A failure and the cell in which it happened. */
export interface CampaignFailure extends Failure {
  readonly scenario: string;
  readonly protocol: string | null;
  readonly topology: string | null;
  /** Place of the cell in `cells`. */
  readonly cell: number;
  /** The command line that runs the shortest of the runs again. */
  readonly replay: string;
}

/** What came of one cell of the matrix. */
export interface CellResult extends TallyResult {
  readonly name: string;
  readonly scenario: string;
  /** Null where nothing is replicated. */
  readonly protocol: string | null;
  /** Built-in machine or file; null for a matrix. */
  readonly topology: string | null;
  readonly faults: DrawnFaults;
  readonly hash: string;
  readonly verdict: Verdict;
  readonly reason: string;
  readonly declared: Guarantee | null;
  readonly runs: RunCounts;
  readonly busyMs: number;
}

/** What `numalab campaign --json` prints. */
export interface CampaignResult extends TallyResult {
  readonly campaign: string;
  readonly version: string;
  readonly seeds: SeedRange;
  readonly verdict: Verdict;
  readonly reason: string;
  /** Cut off by a signal: not all seeds were run. */
  readonly interrupted: boolean;
  /** `requested`: seeds times cells; `resumed`: read from the journal; `perSecond`: over all sessions. */
  readonly runs: RunCounts & { readonly requested: number; readonly resumed: number; readonly perSecond: number };
  /** Every cause once for each cell, the most frequent first. */
  readonly failures: readonly CampaignFailure[];
  readonly cells: readonly CellResult[];
  readonly leases: number;
  /** Real time of all sessions; time of all leases, each where it was run; processor time of those. Milliseconds. */
  readonly wallMs: number;
  readonly busyMs: number;
  readonly cpuMs: number;
}

/** What is counted for a cell. */
export interface CellTally {
  readonly cell: Cell;
  readonly declared: Guarantee | null;
  readonly tally: Tally;
  busyMs: number;
}

const histogramResult = (histogram: Histogram, hdr: string | undefined): HistogramResult | null => {
  if (hdr === undefined) return null;
  const at = (percent: number): number => histogram.getValueAtPercentile(percent);
  return {
    count: histogram.totalCount,
    min: histogram.minNonZeroValue,
    mean: Math.round(histogram.mean),
    p50: at(50),
    p90: at(90),
    p99: at(99),
    p999: at(99.9),
    max: histogram.maxValue,
    hdr,
  };
};

const tallyResult = (tally: Tally): TallyResult => {
  const data = tally.data();
  const none = Object.fromEntries(MARK_NAMES.map((name) => [name, 0]));
  const histograms = HISTOGRAMS.map((name) => [name, histogramResult(tally.histograms[name], data.histograms[name])]);
  return {
    evidence: data.evidence,
    rules: data.rules,
    faultsFired: data.faultsFired,
    marks: { ...none, ...data.marks },
    events: data.sums.events ?? 0,
    virtualTimePs: data.sums.virtualTimePs ?? 0,
    writes: data.sums.writes ?? 0,
    histograms: Object.fromEntries(histograms) as TallyResult['histograms'],
  };
};

const countsOf = ({ runs }: Tally): RunCounts => ({
  total: runs.total ?? 0,
  pass: runs.pass ?? 0,
  fail: runs.fail ?? 0,
  unknown: runs.unknown ?? 0,
  error: runs.error ?? 0,
});

/**
 * The verdict of many runs. Evidence adds up: runs that had too little to hold their level pass together if they have enough
 * together.
 */
const decide = ({ cell, declared, tally }: CellTally, requested: number): { verdict: Verdict; reason: string } => {
  const { total, fail, error, unknown } = countsOf(tally);
  const { minEvidence } = cell.scenario.checks;
  if (fail + error > 0) {
    const [first] = tally.failures();
    return { verdict: 'fail', reason: `${fail + error} of ${total} runs failed, most by ${first!.cause}` };
  }
  if (total < requested) return { verdict: 'unknown', reason: `${total} of ${requested} runs are done; none failed` };
  const needed = declared === null ? [] : GUARANTEES.slice(0, GUARANTEES.indexOf(declared) + 1);
  const weak = needed.find((level) => (tally.evidence[level] ?? 0) < minEvidence);
  if (unknown > 0 && weak !== undefined) {
    const evidence = tally.evidence[weak] ?? 0;
    return {
      verdict: 'unknown',
      reason: `no rule was broken, but in all runs only ${evidence} of ${minEvidence} fetches could have refuted ${weak}`,
    };
  }
  return { verdict: 'pass', reason: `no rule was broken in ${total} runs` };
};

const identityOf = ({ scenario }: Cell): Pick<CellResult, 'scenario' | 'protocol' | 'topology'> => {
  const { distances } = scenario.machine;
  return {
    scenario: scenario.name,
    protocol: scenario.replication.strategy === 'stage2' ? scenario.replication.protocol : null,
    topology: typeof distances === 'string' ? distances : null,
  };
};

const cellResult = (counted: CellTally, requested: number): CellResult => ({
  name: cellName(counted.cell),
  ...identityOf(counted.cell),
  faults: counted.cell.faults,
  hash: counted.cell.hash,
  ...decide(counted, requested),
  declared: counted.declared,
  runs: countsOf(counted.tally),
  ...tallyResult(counted.tally),
  busyMs: counted.busyMs,
});

/** A campaign as far as it has come. */
export interface CampaignState
  extends Pick<
    CampaignResult,
    'campaign' | 'version' | 'seeds' | 'interrupted' | 'leases' | 'wallMs' | 'busyMs' | 'cpuMs'
  > {
  readonly cells: readonly CellTally[];
  readonly resumed: number;
  readonly settings: readonly string[];
}

const WORST: readonly Verdict[] = ['fail', 'unknown', 'pass'];

/** The result of a campaign as far as it has come. */
export const campaignResult = (state: CampaignState): CampaignResult => {
  const { cells: counted, resumed, settings, ...rest } = state;
  const perCell = rest.seeds.to - rest.seeds.from + 1;
  const cells = counted.map((cell) => cellResult(cell, perCell));
  const all = new Tally();
  for (const { tally } of counted) all.add(tally.data());
  const worst = [...cells].sort((x, y) => WORST.indexOf(x.verdict) - WORST.indexOf(y.verdict))[0]!;
  const runs = countsOf(all);
  const failures = counted.flatMap(({ cell, tally }, index) =>
    tally.failures().map((failure) => ({
      ...failure,
      ...identityOf(cell),
      cell: index,
      replay: replayOf(cell, failure.seed, settings),
    })),
  );
  return {
    ...rest,
    verdict: worst.verdict,
    reason: cells.length === 1 ? worst.reason : `${worst.name}: ${worst.reason}`,
    runs: {
      ...runs,
      requested: perCell * cells.length,
      resumed,
      perSecond: rest.wallMs > 0 ? (runs.total * 1000) / rest.wallMs : 0,
    },
    failures: failures.sort((x, y) => y.count - x.count || x.cell - y.cell),
    ...tallyResult(all),
    cells,
  };
};
