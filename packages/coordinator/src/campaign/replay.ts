import { describeScenario } from '../scenario/describe.ts';
import { type Cell, scenarioOfSeed } from './cell.ts';

const quote = (text: string): string => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

/** The faults, or the choices of the scheduler, of a seed as a scenario file spells them, without what they leave open. */
const drawnText = (cell: Cell, seed: number, key: 'faults' | 'schedule'): string =>
  JSON.stringify(describeScenario(scenarioOfSeed(cell, seed))[key], (_key, value: unknown) =>
    value === null ? undefined : value,
  );

/** The command line that runs a seed of a cell again; `settings` are the words that its scenario was loaded with. */
export const replayOf = (cell: Cell, seed: number, settings: readonly string[]): string => {
  const { name, file, replication, machine } = cell.scenario;
  const isBuiltin = file === null || !/\.ya?ml$/.test(name);
  const words = ['numalab', 'run', isBuiltin ? name : file, '--seed', String(seed)];
  if (replication.strategy === 'stage2') words.push('--protocol', replication.protocol);
  words.push(...settings);
  if (typeof machine.distances === 'string') words.push('--set', `machine.distances=${machine.distances}`);
  if (cell.faults !== 'none') words.push('--set', `faults=${drawnText(cell, seed, 'faults')}`);
  if (cell.scheduler !== 'random') words.push('--set', `schedule=${drawnText(cell, seed, 'schedule')}`);
  return words.map(quote).join(' ');
};
