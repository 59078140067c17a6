import type { CampaignProgress } from '../campaign/campaign.ts';
import { formatCount } from '../result/format.ts';
import type { CommandContext } from './context.ts';
import { ProgressLine } from './progress-line.ts';

/** Seconds as people say them: 45 s, 12 min, 3.5 h. */
export const formatSeconds = (seconds: number): string => {
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  if (seconds < 5400) return `${Math.ceil(seconds / 60)} min`;
  return seconds < 129_600 ? `${(seconds / 3600).toFixed(1)} h` : `${(seconds / 86_400).toFixed(1)} days`;
};

/** A rate to three digits: 1,230/s. */
export const formatRate = (perSecond: number): string =>
  perSecond >= 100 ? `${formatCount(Math.round(perSecond))}/s` : `${Number(perSecond.toPrecision(3))}/s`;

const textOf = (progress: CampaignProgress): string => {
  const { done, requested, failures, perSecond, remainingSeconds, slots, faultKinds, marks } = progress;
  const percent = Math.floor((done / requested) * 100);
  const parts = [`${formatCount(done)} of ${formatCount(requested)} runs (${percent} %)`];
  if (remainingSeconds !== null) parts.push(formatRate(perSecond));
  if (failures > 0) parts.push(`${failures} ${failures === 1 ? 'cause' : 'causes'} of failure`);
  if (faultKinds > 0) parts.push(`${faultKinds} kinds of faults fired`);
  if (done > 0) parts.push(`${marks[0]} of ${marks[1]} goals reached`);
  if (remainingSeconds !== null && done < requested) parts.push(`${formatSeconds(remainingSeconds)} left`);
  if (slots === 0) parts.push('no worker yet');
  return parts.join(', ');
};

/** How far a campaign is, on standard error. */
export const campaignProgressLine = (context: CommandContext, quiet: boolean): ProgressLine<CampaignProgress> =>
  new ProgressLine(context, quiet, textOf);
