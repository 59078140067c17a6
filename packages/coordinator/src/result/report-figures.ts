import { formatBytes, formatCount, formatPercent, formatTime } from './format.ts';
import type { MeasuredRun, RunResult } from './run-result.ts';

/** A line of the table: a figure of the run and of the run without replication. A row without a figure is a heading. */
export interface FigureRow {
  readonly name: string;
  readonly run: string;
  readonly baseline: string;
  /** It explains the row above. */
  readonly minor?: boolean;
}

type Figure = readonly [name: string, of: (run: MeasuredRun) => string];

const NONE = '-';
const time = (ps: number | null): string => (ps === null ? NONE : formatTime(ps));
const bytes = (count: number): string => (count === 0 ? NONE : formatBytes(count));

const fetched = (name: string, pick: (run: MeasuredRun) => number): Figure => [
  name,
  (run) => `${formatCount(pick(run))} ${formatPercent(pick(run) / Math.max(1, run.fetches.total)).padStart(8)}`,
];

const FETCHES: readonly Figure[] = [
  ['words fetched', ({ fetches }) => formatCount(fetches.total)],
  fetched('  L1 instruction cache', ({ fetches }) => fetches.l1i),
  fetched('  L2', ({ fetches }) => fetches.l2),
  fetched('  last-level cache', ({ fetches }) => fetches.llc),
  fetched('  DRAM of the same node', ({ fetches }) => fetches.local),
  fetched('  DRAM of another node', ({ fetches }) => fetches.remote),
  fetched('  granules shared with EL2', ({ fetches }) => fetches.shared),
  ['mean time of a fetched word', ({ fetches }) => time(fetches.meanPs)],
  ['loads of text and constants', ({ loads }) => formatCount(loads.total)],
  ['  from another node', ({ loads }) => formatCount(loads.remote)],
];

const WALKS: readonly Figure[] = [
  ['translation walks', ({ walks }) => formatCount(walks.count)],
  ['  descriptor reads, local', ({ walks }) => formatCount(walks.localReads)],
  ['  descriptor reads, remote', ({ walks }) => formatCount(walks.remoteReads)],
  ['TLB invalidations broadcast', ({ tlbis }) => formatCount(tlbis)],
];

const WRITES: readonly Figure[] = [
  ['text writes', ({ writes }) => formatCount(writes.retired)],
  ['  trapped to EL2', ({ writes }) => formatCount(writes.trapped)],
  ['  latency, median', ({ writes }) => time(writes.latencyPs.p50)],
  ['  latency, 99th percentile', ({ writes }) => time(writes.latencyPs.p99)],
  ['  latency, maximum', ({ writes }) => time(writes.latencyPs.max)],
  ['  with own maintenance, median', ({ writes }) => time(writes.maintainedPs.p50)],
];

const MEMORY: readonly Figure[] = [
  ['replicas', ({ memory }) => bytes(memory.replicaBytes)],
  ['stage-1 tables of its own', ({ memory }) => bytes(memory.stage1Bytes)],
  ['stage-2 tables, used', ({ memory }) => bytes(memory.stage2Bytes)],
  ['stage-2 tables, reserved', ({ memory }) => bytes(memory.stage2ReservedBytes)],
  ['constants left on node 0', ({ memory }) => bytes(memory.notReplicatedConstantBytes)],
];

const leafRows = ({ memory }: RunResult): FigureRow[] =>
  Object.entries(memory.leafBytes).map(([size, count]) => ({
    name: `  range mapped by leaves of ${size}`,
    run: bytes(count),
    baseline: NONE,
    minor: true,
  }));

/** The rows of the table: where fetches were served, walks, writes, memory. */
export const figureRows = (result: RunResult): FigureRow[] => {
  const { comparison } = result;
  const rows = (figures: readonly Figure[]): FigureRow[] =>
    figures.map(([name, of]) => ({
      name,
      run: of(result),
      baseline: comparison === null ? '' : of(comparison),
      minor: name.startsWith('  '),
    }));
  const duty = `${Number((result.duty * 100).toPrecision(6))} %`;
  return [
    ...rows(FETCHES),
    ...rows(WALKS),
    ...rows(WRITES),
    ...rows(MEMORY).filter(({ run, baseline }) => run !== NONE || (baseline !== NONE && baseline !== '')),
    ...leafRows(result),
    { name: 'duty of the vCPUs', run: duty, baseline: duty },
  ];
};
