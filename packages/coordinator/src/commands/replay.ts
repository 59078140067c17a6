import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { InputError } from '@numalab/base';
import { readRunFolder, traceOf } from '../hunt/run-folder.ts';
import { runScenario } from '../result/run-scenario.ts';
import { type Difference, firstDifference } from '../trace/first-difference.ts';
import { buildVersion } from '../version.ts';
import { type CommandContext, EXIT_FAIL, EXIT_INTERRUPTED, EXIT_PASS } from './context.ts';

/** Options of `replay`. */
export interface ReplayOptions {
  readonly json: boolean;
}

const releaseOf = (version: string): string => version.split('+', 1)[0]!;

const differenceLines = ({ same, recorded, now }: Difference): string[] => [
  `first different event, after ${same.toLocaleString('en')} that are the same:`,
  `  recorded  ${recorded ?? 'nothing: the run had ended'}`,
  `  now       ${now ?? 'nothing: the run has ended'}`,
];

/**
 * `replay DIR`: runs the run of a folder again and compares digests and events; if they differ, names the first event that
 * does. Another release is refused. Other sources of the same are told, because whoever changes them wants to know what that
 * changes. Returns the exit code; throws InputError.
 */
export const replayCommand = async (
  path: string,
  { json }: ReplayOptions,
  context: CommandContext,
): Promise<number> => {
  const { signal } = context;
  const { record, scenario } = readRunFolder(path);
  const recordedTrace = traceOf(path);
  const version = buildVersion();
  if (releaseOf(record.version) !== releaseOf(version)) {
    throw new InputError(path, `was written by numalab ${record.version}; this is ${version}, whose runs may differ`);
  }
  if (record.version !== version) {
    context.note(`${path} was written by numalab ${record.version}; this is ${version}, whose runs may differ`);
  }
  const trace = mkdtempSync(join(tmpdir(), 'numalab-replay-'));
  try {
    const { seed, digest, verdict, reason, interrupted } = await runScenario(
      { ...scenario, comparison: false },
      { seed: record.seed, signal, trace },
    );
    if (interrupted) {
      context.note('interrupted before the run was over');
      return EXIT_INTERRUPTED;
    }
    const difference = firstDifference(recordedTrace, trace);
    const same = digest === record.digest && difference === null;
    if (json) context.printJson({ same, seed, digest, recorded: record.digest, verdict, reason, difference });
    else {
      const compared = same
        ? `the same: digest ${digest}`
        : `not the same: digest ${digest}, recorded ${record.digest}`;
      const noted =
        difference === null ? ['no event differs: what differs is what cores fetched'] : differenceLines(difference);
      context.print(compared, ...(same ? [] : noted), `${verdict.toUpperCase()} ${reason}`);
    }
    return same ? EXIT_PASS : EXIT_FAIL;
  } finally {
    rmSync(trace, { recursive: true, force: true });
  }
};
