import type colors from 'picocolors';
import { formatCount, formatTime } from '../result/format.ts';
import type { CampaignResult, HistogramResult } from './campaign-result.ts';

const MOST_FAILURES = 20;

const timesLine = (label: string, times: HistogramResult | null): string[] => {
  if (times === null) return [];
  const parts = (['p50', 'p90', 'p99', 'p999', 'max'] as const).map((name) => `${name} ${formatTime(times[name])}`);
  return [`${label.padEnd(12)} ${parts.join(', ')}`];
};

const failureLines = ({ failures }: CampaignResult): string[] => {
  const lines = failures
    .slice(0, MOST_FAILURES)
    .flatMap((failure) => [
      `${formatCount(failure.count)} × ${failure.cause}`,
      `    ${failure.message}`,
      `    ${failure.replay}`,
    ]);
  const more = failures.length - MOST_FAILURES;
  return [...(lines.length > 0 ? [''] : []), ...lines, ...(more > 0 ? [`… and ${more} more causes`] : [])];
};

/** The report of a campaign, cause of failures first. */
export const campaignLines = (
  result: CampaignResult,
  paint: ReturnType<typeof colors.createColors>,
  quiet: boolean,
): string[] => {
  const { verdict, reason, runs, cells, marks, faultsFired } = result;
  const colour = { pass: paint.green, fail: paint.red, unknown: paint.yellow }[verdict];
  const cut = result.interrupted ? ' (interrupted)' : '';
  const head = `${colour(verdict.toUpperCase())} ${formatCount(runs.total)} runs${cut}: ${reason}`;
  if (quiet) return [head];
  const missed = Object.keys(marks).filter((name) => marks[name] === 0);
  const fired = Object.entries(faultsFired).map(([kind, count]) => `${kind} ${formatCount(count)}`);
  const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
  return [
    head,
    ...failureLines(result),
    '',
    ...(cells.length > 1
      ? cells.map((cell) => `${cell.verdict.toUpperCase().padEnd(8)} ${cell.name}: ${cell.reason}`)
      : []),
    `runs         ${formatCount(runs.pass)} passed, ${formatCount(runs.fail)} failed, ${formatCount(runs.unknown)} unknown, ${formatCount(runs.error)} errors`,
    `time         ${seconds(result.wallMs)}, ${seconds(result.cpuMs)} of processors; ${runs.perSecond.toFixed(1)} runs/s`,
    ...timesLine('writes', result.histograms.writeLatencyPs),
    ...timesLine('maintained', result.histograms.maintainedPs),
    ...(fired.length > 0 ? [`faults       ${fired.join(', ')}`] : []),
    ...(missed.length > 0 ? [`not reached  ${missed.join(', ')}`] : []),
  ];
};
