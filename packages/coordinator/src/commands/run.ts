import { InternalError } from '@numalab/base';
import type { Scenario } from '../scenario/scenario.ts';
import type { CommandContext } from './context.ts';
import type { RunOptions } from './options.ts';

/** `run [SCENARIO]`: one run and its report. Returns the exit code. */
export const runCommand = async (
  _scenario: Scenario,
  _options: RunOptions,
  _context: CommandContext,
): Promise<number> => {
  throw new InternalError('run is not built yet');
};
