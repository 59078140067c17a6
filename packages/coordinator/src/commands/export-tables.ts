import { InternalError } from '@numalab/base';
import type { Scenario } from '../scenario/scenario.ts';
import type { CommandContext } from './context.ts';
import type { ExportOptions } from './options.ts';

/** `export-tables SCENARIO`: a node's stage-2 tables as raw memory. Returns the exit code. */
export const exportTablesCommand = async (
  _scenario: Scenario,
  _options: ExportOptions,
  _context: CommandContext,
): Promise<number> => {
  throw new InternalError('export-tables is not built yet');
};
