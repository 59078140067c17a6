import type { Command } from 'commander';
import { type Runner, wholeNumber } from './options.ts';

/** `shrink`. */
export const addShrink = (program: Command, run: Runner): void => {
  program
    .command('shrink')
    .description('the smallest run that fails like that of a folder, as a scenario, and its story')
    .argument('<dir>', 'folder of run --out, or of a failure of hunt')
    .option('--out <dir>', 'where to write it (default: smallest, in the folder)')
    .option('--jobs <n>', 'threads (default: cores)', wholeNumber(1, 1024))
    .option('--seconds <n>', 'how long to look for it', wholeNumber(1, 86_400), 50)
    .option('--json', 'print one JSON document', false)
    .option('--quiet', 'print less', false)
    .action((directory: string, options) =>
      run(async (context) => (await import('./shrink.ts')).shrinkCommand(directory, options, context)),
    );
};
