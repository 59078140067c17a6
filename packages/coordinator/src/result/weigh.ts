import { formatBytes, formatCount, formatPercent, formatTime } from './format.ts';
import type { MeasuredRun } from './run-result.ts';

const share = (part: number, total: number): number => (total === 0 ? 0 : part / total);

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

/** Writers wait for the trap and for their own maintenance; only both together compare with a store that does not trap. */
const weighLatency = (run: MeasuredRun, baseline: MeasuredRun, gains: string[], costs: string[]): void => {
  const [now, before] = [run.writes.maintainedPs, baseline.writes.maintainedPs];
  if (now.p50 === null || now.max === null || before.p50 === null || before.max === null) return;
  const text = `a write to text with its writer’s maintenance takes ${formatTime(now.p50)} (median; at most ${formatTime(now.max)}) instead of ${formatTime(before.p50)} (${formatTime(before.max)})`;
  (now.p50 < before.p50 ? gains : costs).push(text);
};

/** What replication brought and took, in plain words: `run` against the same run without it. */
export const weigh = (run: MeasuredRun, baseline: MeasuredRun, nodes: number): Weighed => {
  const gains: string[] = [];
  const costs: string[] = [];
  const before = baseline.fetches.remote;
  const { remote, shared } = run.fetches;
  const part = (words: number, of: MeasuredRun): string =>
    `${formatCount(words)} (${formatPercent(share(words, of.fetches.total))})`;
  if (before > 0) {
    const behind = shared === 0 ? '' : `; ${part(shared, run)} by granules that all nodes share`;
    gains.push(
      `${part(remote, run)} fetches are served by another node’s DRAM instead of ${part(before, baseline)}${behind}`,
    );
  } else gains.push('none in fetches: without replication no fetch is served by another node’s DRAM either');
  weighFetchTime(run, baseline, gains, costs);
  weighLatency(run, baseline, gains, costs);
  const { replicaBytes, stage1Bytes, stage2Bytes, stage2ReservedBytes } = run.memory;
  const byKernel = run.strategy === 'stage1';
  const tables = byKernel
    ? `${formatBytes(stage1Bytes)} of stage-1 tables`
    : `${formatBytes(stage2Bytes)} of stage-2 tables (${formatBytes(stage2ReservedBytes)} reserved)`;
  costs.push(`${formatBytes(replicaBytes)} of replicas on ${nodes - 1} nodes, ${tables}`);
  const perWalk = (of: MeasuredRun): number => share(of.walks.reads, of.walks.count);
  const where = byKernel ? 'those of fixmap and linear map' : 'stage-1 tables';
  costs.push(
    `${perWalk(run).toFixed(1)} descriptor reads a walk instead of ${perWalk(baseline).toFixed(1)}; ${where} stay on node 0 (${formatCount(run.walks.stage1Remote)} remote reads)`,
  );
  return { gains, costs };
};
