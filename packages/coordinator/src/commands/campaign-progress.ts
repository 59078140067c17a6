import type { CampaignProgress } from '../campaign/campaign.ts';
import { formatCount } from '../result/format.ts';
import type { CommandContext } from './context.ts';

const REDRAW_MS = 200;
const LINE_MS = 5000;

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

/** How far a campaign is, on standard error: a line that is redrawn on a terminal, else one every few seconds. */
export class CampaignProgressLine {
  private readonly redraws: boolean;
  private readonly quiet: boolean;
  private readonly context: CommandContext;
  private last = performance.now();
  private width = 0;

  constructor(context: CommandContext, quiet: boolean) {
    this.context = context;
    this.quiet = quiet;
    this.redraws = context.isProgressTerminal;
  }

  /** Shows the progress if the last time is long enough ago. */
  update(progress: CampaignProgress): void {
    const now = performance.now();
    if (this.quiet || now - this.last < (this.redraws ? REDRAW_MS : LINE_MS)) return;
    this.last = now;
    if (this.redraws) this.draw(textOf(progress));
    else this.context.note(textOf(progress));
  }

  /** Wipes the line. */
  end(): void {
    if (this.width === 0) return;
    this.draw('');
    process.stderr.write('\r');
    this.width = 0;
  }

  private draw(text: string): void {
    process.stderr.write(`\r${text.padEnd(this.width)}`);
    this.width = text.length;
  }
}
