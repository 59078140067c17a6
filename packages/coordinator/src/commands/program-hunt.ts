import { type Command, Option } from 'commander';
import { SCHEDULERS } from '../scenario/draw-schedule.ts';
import { type HuntCommandOptions, type Runner, seedRange, wholeNumber } from './options.ts';

const MOST_JOBS = 1024;

/** `hunt`. */
export const addHunt = (program: Command, run: Runner): void => {
  const collect = (value: string, previous: readonly string[]): readonly string[] => [...previous, value];
  program
    .command('hunt')
    .description('many seeds with faults drawn from each, on all cores; every distinct failure once')
    .argument('[scenario]', 'file, or id of a built-in scenario (default: small, or what --bug names)')
    .addOption(new Option('--seeds <range>', 'A..B, both ends included').argParser(seedRange))
    .option('--exhaustive', 'no seeds: every order of messages and every crash, for 2 or 3 nodes and 2 writes', false)
    .option('--crashes <n>', 'with --exhaustive: crashes in one run (default: 1)', wholeNumber(0, 2))
    .option(
      '--early-timers <n>',
      'with --exhaustive: timers that fire while something else can (default: 0)',
      wholeNumber(0, 2),
    )
    .option('--max-states <n>', 'with --exhaustive: give up beyond (default: 4000000)', wholeNumber(1, 100_000_000))
    .addOption(
      new Option('--faults <which>', 'faults drawn from the seed (default: swarm; none with --bug)').choices([
        'none',
        'swarm',
      ]),
    )
    .option('--unrestricted', 'draw also faults that no protocol is asked to survive', false)
    .addOption(
      new Option('--scheduler <which>', 'whose turn it is: random (jitter alone), pct, starvation, or one by seed')
        .choices(SCHEDULERS)
        .default('mixed'),
    )
    .option('--protocol <name|file>', 'update protocol, instead of the scenario’s')
    .option('--bug <id>', 'switch on a known bug (repeatable)', collect, [])
    .option('--duration <time>', 'how long to run, such as 2ms, instead of the scenario’s')
    .option('--set <path=value>', 'change the scenario, such as machine.nodes=8 (repeatable)', collect, [])
    .option('--jobs <n>', 'threads (default: cores)', wholeNumber(1, MOST_JOBS))
    .option('--out <dir>', 'write a folder per failure there, for replay')
    .option('--json', 'print one JSON document', false)
    .option('--quiet', 'print less', false)
    .action((reference: string | undefined, options: HuntCommandOptions) =>
      run(async (context) => {
        if (options.exhaustive) return (await import('./hunt-exhaustive.ts')).exhaustive(reference, options, context);
        return (await import('./hunt.ts')).huntCommand(reference, options, context);
      }),
    );
};
