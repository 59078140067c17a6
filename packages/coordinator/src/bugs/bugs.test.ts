import { describe, expect, it } from 'vitest';
import { runScenario } from '../result/run-scenario.ts';
import { loadScenario } from '../scenario/load.ts';
import { BUGS } from './catalogue.ts';

const SEEDS = 200;

describe.each(BUGS)('bug $id: $title', ({ id, rule, scenario, set }) => {
  it('breaks its rule within 200 seeds, and without it those seeds pass', async () => {
    const right = loadScenario(scenario, { set });
    const wrong = loadScenario(scenario, { set: [...set, `bugs=["${id}"]`] });
    let broken: readonly string[] = [];
    for (let seed = 1; seed <= SEEDS && !broken.includes(rule); seed++) {
      broken = (await runScenario(wrong, { seed })).violations.map((finding) => finding.id);
      expect([seed, (await runScenario(right, { seed })).violations]).toEqual([seed, []]);
    }
    expect(broken).toContain(rule);
  });
});
