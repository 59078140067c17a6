import { InputError } from '@numalab/base';
import { readRunFolder } from '../hunt/run-folder.ts';
import { runScenario } from '../result/run-scenario.ts';
import { buildVersion } from '../version.ts';
import { type CommandContext, EXIT_FAIL, EXIT_INTERRUPTED, EXIT_PASS } from './context.ts';

/** Options of `replay`. */
export interface ReplayOptions {
  readonly json: boolean;
}

/** `replay DIR`: runs the run of a folder again and compares digests. Returns the exit code; throws InputError. */
export const replayCommand = async (
  path: string,
  { json }: ReplayOptions,
  context: CommandContext,
): Promise<number> => {
  const { signal } = context;
  const { record, scenario } = readRunFolder(path);
  const version = buildVersion();
  if (record.version !== version) {
    throw new InputError(path, `was written by numalab ${record.version}; this is ${version}, whose runs may differ`);
  }
  const { seed, digest, verdict, reason, interrupted } = await runScenario(
    { ...scenario, comparison: false },
    { seed: record.seed, signal },
  );
  if (interrupted) {
    context.note('interrupted before the run was over');
    return EXIT_INTERRUPTED;
  }
  const same = digest === record.digest;
  if (json) context.printJson({ same, seed, digest, recorded: record.digest, verdict, reason });
  else {
    const compared = same ? `the same: digest ${digest}` : `not the same: digest ${digest}, recorded ${record.digest}`;
    context.print(compared, `${verdict.toUpperCase()} ${reason}`);
  }
  return same ? EXIT_PASS : EXIT_FAIL;
};
