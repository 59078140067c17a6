import { InternalError } from '@numalab/base';
import type { Scenario } from '../scenario/scenario.ts';
import type { CommandContext } from './context.ts';
import type { TranslateOptions } from './options.ts';

/** `translate SCENARIO`: answers for IPAs on standard input. Returns the exit code. */
export const translateCommand = async (
  _scenario: Scenario,
  _options: TranslateOptions,
  _context: CommandContext,
): Promise<number> => {
  throw new InternalError('translate is not built yet');
};
