import { formatBytes, formatCount, formatTime } from './format.ts';
import type { MeasuredRun } from './run-result.ts';

const share = (part: number, total: number): number => (total === 0 ? 0 : part / total);
const percent = (ratio: number): string => `${(ratio * 100).toFixed(2)} %`;

const change = (before: number, now: number): string => {
  const ratio = Math.abs(now - before) / before;
  return `${(ratio * 100).toFixed(1)} % ${now < before ? 'less' : 'more'}`;
};

interface Weighed {
  readonly gains: readonly string[];
  readonly costs: readonly string[];
}

/** The mean fetch latency goes where it belongs: shorter is a gain, longer a cost. */
const weighFetchTime = (run: MeasuredRun, baseline: MeasuredRun, gains: string[], costs: string[]): void => {
  const [now, before] = [run.fetches.meanPs, baseline.fetches.meanPs];
  if (now === null || before === null || now === before) return;
  const text = `a fetched word takes ${formatTime(now)} on average instead of ${formatTime(before)} (${change(before, now)})`;
  (now < before ? gains : costs).push(text);
};

const weighLatency = (run: MeasuredRun, baseline: MeasuredRun, gains: string[], costs: string[]): void => {
  const [now, before] = [run.writes.latencyPs.p50, baseline.writes.latencyPs.p50];
  if (now === null) return;
  const than = before === null ? '' : ` instead of ${formatTime(before)}`;
  (before !== null && now < before ? gains : costs).push(
    `a write to text takes ${formatTime(now)} (median)${than}, ${formatTime(run.writes.latencyPs.max ?? now)} at most`,
  );
};

/** What replication brought and took, in plain words: `run` against the same run without it. */
export const weigh = (run: MeasuredRun, baseline: MeasuredRun, nodes: number): Weighed => {
  const gains: string[] = [];
  const costs: string[] = [];
  const before = baseline.fetches.remote;
  const now = run.fetches.remote + run.fetches.shared;
  if (before > 0) {
    const without = percent(share(before, baseline.fetches.total));
    gains.push(
      `${formatCount(now)} fetches waited for another node’s DRAM instead of ${formatCount(before)} (${without})`,
    );
  } else gains.push('none in fetches: without replication no fetch waited for another node’s DRAM either');
  weighFetchTime(run, baseline, gains, costs);
  weighLatency(run, baseline, gains, costs);
  const { replicaBytes, stage2Bytes, stage2ReservedBytes } = run.memory;
  costs.push(
    `${formatBytes(replicaBytes)} of replicas on ${nodes - 1} nodes, ${formatBytes(stage2Bytes)} of stage-2 tables (${formatBytes(stage2ReservedBytes)} reserved)`,
  );
  const perWalk = (of: MeasuredRun): number => share(of.walks.reads, of.walks.count);
  costs.push(
    `${perWalk(run).toFixed(1)} descriptor reads a walk instead of ${perWalk(baseline).toFixed(1)}; stage-1 tables stay on node 0 (${formatCount(run.walks.stage1Remote)} remote reads)`,
  );
  return { gains, costs };
};
