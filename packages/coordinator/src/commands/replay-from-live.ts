import { replayFromLive } from '../live/live-order-file.ts';
import { type CommandContext, EXIT_FAIL, EXIT_PASS } from './context.ts';

/** Options of `replay`. */
export interface ReplayOptions {
  readonly seed: number;
  readonly json: boolean;
}

/** `replay DIR --from-live`: the order of a live run in virtual time. Returns the exit code; throws InputError. */
export const replayFromLiveCommand = async (
  directory: string,
  { seed, json }: ReplayOptions,
  context: CommandContext,
): Promise<number> => {
  const replayed = await replayFromLive(directory, seed);
  const { rows, live, sim, reason, differences } = replayed;
  const agrees = live === sim && differences.length === 0;
  if (json) context.printJson({ ...replayed, agrees });
  else {
    const left = differences.length === 0 ? 'the same memory' : 'other memory';
    context.print(
      `${agrees ? 'PASS' : 'FAIL'} ${rows} recorded stores left ${left} in virtual time; live ${live}, sim ${sim}: ${reason}`,
      ...differences.map((difference) => `  ${difference}`),
    );
  }
  return agrees ? EXIT_PASS : EXIT_FAIL;
};
