import type { ShrinkProgress } from '../shrink/shrink.ts';
import type { CommandContext } from './context.ts';
import { ProgressLine } from './progress-line.ts';

const textOf = ({ trials, events, decisions }: ShrinkProgress): string =>
  `${trials} runs tried, ${events} events and ${decisions} decisions left`;

/** How far a search is, on standard error. */
export const shrinkProgressLine = (context: CommandContext, quiet: boolean): ProgressLine<ShrinkProgress> =>
  new ProgressLine(context, quiet, textOf);
