import { displayPath } from '../scenario/files.ts';
import type { Scenario } from '../scenario/scenario.ts';
import type { MachineOptions } from './options.ts';

const quote = (text: string): string => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

/** The command line that runs the same again. Placement and threads change nothing that happens and are left out. */
export const replayLine = (scenario: Scenario, options: MachineOptions): string => {
  const isBuiltin = scenario.file === null || !/\.ya?ml$/.test(scenario.name);
  const words = [
    'numalab',
    'run',
    isBuiltin ? scenario.name : displayPath(scenario.file!),
    '--seed',
    String(options.seed),
  ];
  if (options.protocol !== undefined) words.push('--protocol', options.protocol);
  if (options.duration !== undefined) words.push('--duration', options.duration);
  for (const bug of options.bug) words.push('--bug', bug);
  for (const set of options.set) words.push('--set', set);
  return words.map(quote).join(' ');
};
