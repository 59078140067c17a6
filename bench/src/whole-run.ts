import { loadScenario, runWithMachine } from '@numalab/coordinator';
import { type Figure, median } from './figure.ts';

/** How often a run is repeated, each with a seed of its own, after one that warms up. */
const REPEATS = 5;

/** A scenario whose speed is one figure. */
export interface WholeRun {
  readonly name: string;
  readonly scenario: string;
  readonly set: readonly string[];
  /** Millions of these per second, at least. */
  readonly target: number;
  readonly unit: 'fetches' | 'events';
}

/**
 * Runs a scenario inline, all checks on, and gives what it did per second of real time, the judges' at the end included; boot
 * is left out. Throws if a run does not pass: the speed of a wrong run is no figure.
 */
export const measureRun = async ({ name, scenario, set, target, unit }: WholeRun): Promise<Figure> => {
  const loaded = loadScenario(scenario, { set: [...set, 'comparison=false'] });
  const rates: number[] = [];
  let note = '';
  for (let seed = 0; seed <= REPEATS; seed++) {
    const { result, judged } = await runWithMachine(loaded, { seed });
    if (result.verdict !== 'pass') throw new Error(`${name}, seed ${seed}: ${result.verdict}: ${result.reason}`);
    const count = unit === 'fetches' ? result.fetches.total : result.events;
    if (seed > 0) rates.push(count / (judged.raw.wallMs + judged.judgeMs) / 1000);
    note = `${count.toLocaleString('en')} ${unit}, ${result.writes.retired} writes`;
  }
  const [low, high] = [Math.min(...rates), Math.max(...rates)];
  return {
    name,
    value: `${median(rates).toFixed(2)} M ${unit}/s`,
    target: `${target} M`,
    note: `${note}; ${REPEATS} seeds, ${low.toFixed(2)} to ${high.toFixed(2)}`,
  };
};
