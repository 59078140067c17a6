import { type Command, InvalidArgumentError } from 'commander';
import { parseDuration } from '../scenario/units.ts';
import { type Runner, wholeNumber } from './options.ts';

const moment = (text: string): number => {
  const ps = parseDuration(text);
  if (Number.isNaN(ps)) throw new InvalidArgumentError('It must be a time with a unit, such as 12us or 750ns.');
  return ps;
};

const each =
  <Value>(read: (text: string) => Value) =>
  (text: string, previous: readonly Value[]): readonly Value[] => [...previous, read(text)];

const words = (text: string): string => text;

/** `trace`. */
export const addTrace = (program: Command, run: Runner): void => {
  program
    .command('trace')
    .description('the events of a run as text, in order')
    .argument('<dir>', 'folder of run --out, or of a failure of hunt')
    .option('--node <n>', 'of this node, or hyp (repeatable)', each(words), [])
    .option('--kind <name>', 'of this kind, such as numbered or applied (repeatable)', each(words), [])
    .option('--write <n>', 'of this write (repeatable)', each(wholeNumber(1, Number.MAX_SAFE_INTEGER)), [])
    .option('--from <time>', 'from this moment on, such as 12us', moment, 0)
    .option('--to <time>', 'up to this moment', moment, Infinity)
    .option('--json', 'a JSON document a line', false)
    .action((directory: string, options) =>
      run(async (context) => (await import('./trace.ts')).traceCommand(directory, options, context)),
    );
};
