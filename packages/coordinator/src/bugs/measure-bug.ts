import { makeCell } from '../campaign/cell.ts';
import { SeedMachine } from '../campaign/seed-machine.ts';
import type { Scheduler } from '../scenario/draw-schedule.ts';
import { loadScenario } from '../scenario/load.ts';
import type { Scenario } from '../scenario/scenario.ts';
import type { BugEntry } from './catalogue.ts';

/** Seeds within which a bug must be caught. */
export const MOST_SEEDS = 200;

/** How a hunt from seed 1 on catches a bug. */
export interface Caught {
  /** The first seed that breaks the rule of the bug's entry; null: none did. */
  readonly seed: number | null;
  /** Wall time until then, without loading the scenario and building the first machine. */
  readonly seconds: number;
  /** All rules that the seed broke, in the order of reports. */
  readonly rules: readonly string[];
}

/** The scenario of a bug's entry, with the bug and without. */
export const scenarioOfBug = ({ id, scenario, set }: BugEntry, isOn: boolean): Scenario =>
  loadScenario(scenario, { set: isOn ? [...set, `bugs=["${id}"]`] : set });

/** Runs the bug's scenario with seed after seed, one thread, until its rule is broken. */
export const measureBug = (entry: BugEntry, scheduler: Scheduler, seeds: number = MOST_SEEDS): Caught => {
  const cell = makeCell(scenarioOfBug(entry, true), 'none', scheduler);
  const machine = new SeedMachine();
  // Building the machine costs more than many a catch, and happens once a hunt.
  machine.run(cell, 0);
  const started = performance.now();
  const seconds = (): number => (performance.now() - started) / 1000;
  for (let seed = 1; seed <= seeds; seed++) {
    const broken = machine.run(cell, seed).judgement.violations.map(({ id }) => id);
    if (broken.includes(entry.rule)) return { seed, seconds: seconds(), rules: [...new Set(broken)] };
  }
  return { seed: null, seconds: seconds(), rules: [] };
};
