import { InputError } from '@numalab/base';
import { bugsPage } from '../bugs/bugs-page.ts';
import { BUGS } from '../bugs/catalogue.ts';
import { measure } from '../bugs/measure.ts';
import { type CommandContext, EXIT_FAIL, EXIT_INTERRUPTED, EXIT_PASS } from './context.ts';
import { writeOutputFile } from './output-folder.ts';

/** Seeds without a bug, unless the command line says how many. */
const CLEAN_SEEDS = 100_000;

/** Options of `bugs`. */
export interface BugsCommandOptions {
  readonly json: boolean;
  readonly measure: boolean;
  /** Seeds without a bug: how many, and the first. */
  readonly clean?: number;
  readonly first?: number;
  readonly jobs?: number;
  /** File for the table. */
  readonly out?: string;
}

const measureBugs = async (options: BugsCommandOptions, context: CommandContext): Promise<number> => {
  const { clean = CLEAN_SEEDS, first = 1, jobs, out, json } = options;
  if (out !== undefined) writeOutputFile('--out', out, '');
  const found = await measure({
    clean,
    first,
    ...(jobs === undefined ? {} : { jobs }),
    signal: context.signal,
    progress: (line) => context.note(line),
  });
  const page = bugsPage(found);
  if (out !== undefined) writeOutputFile('--out', out, page);
  if (json) context.printJson(found);
  else if (out === undefined) context.print(page);
  if (context.interrupted) return EXIT_INTERRUPTED;
  const missed = Object.values(found.caught).some((own) => Object.values(own).some(({ seed }) => seed === null));
  return missed || found.clean.alarms > 0 ? EXIT_FAIL : EXIT_PASS;
};

/** `bugs`: the known bugs that can be switched on, and how soon they are caught. Returns the exit code; throws InputError. */
export const bugsCommand = async (options: BugsCommandOptions, context: CommandContext): Promise<number> => {
  if (options.measure) return await measureBugs(options, context);
  for (const name of ['clean', 'first', 'jobs', 'out'] as const) {
    if (options[name] !== undefined) throw new InputError(`--${name}`, 'needs --measure');
  }
  if (options.json) context.printJson(BUGS);
  else {
    const { bold } = context.colors;
    for (const { id, title, rule } of BUGS) context.print(`${bold(id.padEnd(4))} ${rule.padEnd(4)} ${title}`);
  }
  return EXIT_PASS;
};
