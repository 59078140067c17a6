import { describe, expect, it } from 'vitest';
import { runScenario } from '../result/run-scenario.ts';
import { loadScenario } from '../scenario/load.ts';
import { ABSENT } from './absent.ts';
import { BUGS } from './catalogue.ts';

/** Every entry of the catalogue; numbers are stable, with gaps. */
const CATALOGUE =
  '1 2 3 4 5 6 7 8 9 10 13 14 15 16 17 18 19 20 21 23 24 25 26 27 28 29 30 31 32 33 35 37 38 39 40 41 43 44 45 46 47 48 49 50 51 52 53 56 59 63'.split(
    ' ',
  );

/** The seed of an entry shows its bug unless the timing of the machine has changed since: then one of these does. */
const FURTHER_SEEDS = 20;

describe('the catalogue of bugs', () => {
  it('has a switch or a reason for every entry', () => {
    const ids = [...BUGS, ...ABSENT].map(({ id }) => id);
    expect(ids.sort((x, y) => Number(x) - Number(y))).toEqual(CATALOGUE);
  });
});

describe.each(BUGS)('bug $id: $title', ({ id, rule, seed, scenario, set }) => {
  it('breaks its rule, and without it the same seeds pass', async () => {
    const wrong = loadScenario(scenario, { set: [...set, `bugs=["${id}"]`] });
    const right = loadScenario(scenario, { set });
    let broken: readonly string[] = [];
    for (let at = seed; at < seed + FURTHER_SEEDS && !broken.includes(rule); at++) {
      broken = (await runScenario(wrong, { seed: at })).violations.map((finding) => finding.id);
      expect([at, (await runScenario(right, { seed: at })).violations]).toEqual([at, []]);
    }
    expect(broken).toContain(rule);
  });
});
