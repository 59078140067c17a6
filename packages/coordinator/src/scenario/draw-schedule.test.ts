import { describe, expect, it } from 'vitest';
import { scenarioYaml } from './describe.ts';
import { drawSchedule, type ScheduleOptions } from './draw-schedule.ts';
import { parseScenario } from './load.ts';

const OPTIONS: ScheduleOptions = { nodes: 4, coresPerNode: 4, horizonPs: 300e6 };
const seeds = Array.from({ length: 60 }, (_, seed) => seed);

describe('the choices that a scheduler draws', () => {
  it('are the same for the same seed, and of every kind', () => {
    const kinds = new Set<string>();
    for (const seed of seeds) {
      const choices = drawSchedule(OPTIONS, seed, 'mixed');
      expect(drawSchedule(OPTIONS, seed, 'mixed')).toEqual(choices);
      for (const { target, slow } of choices) kinds.add(`${target.replace(/\d+/g, '#')} ${slow === null}`);
    }
    for (const whom of ['cpu #', 'el# #', 'node #', 'hyp', '#>hyp', 'hyp>#', '*>#']) {
      expect(kinds).toContain(`${whom} true`);
    }
    expect(kinds).toContain('cpu # false');
  });

  it('are none for random, one actor’s turn after another for pct, a few windows for starvation', () => {
    for (const seed of seeds) {
      expect(drawSchedule(OPTIONS, seed, 'random')).toEqual([]);
      const pct = drawSchedule(OPTIONS, seed, 'pct');
      // At every moment one of the 21 actors is held up by nothing, and no two stretches of one actor overlap.
      for (const at of [0, 100e6, 299e6]) {
        const slow = pct.filter(({ during: [from, to] }) => at >= from && at < to).map(({ target }) => target);
        expect(new Set(slow).size).toBe(slow.length);
        expect(slow.length).toBe(20);
      }
      const starvation = drawSchedule(OPTIONS, seed, 'starvation');
      expect(starvation.length).toBeGreaterThanOrEqual(1);
      expect(starvation.length).toBeLessThanOrEqual(4);
    }
  });

  it('can be written down and read again', () => {
    for (const seed of seeds) {
      const scenario = { ...parseScenario('machine: { nodes: 4 }'), schedule: drawSchedule(OPTIONS, seed, 'mixed') };
      expect(parseScenario(scenarioYaml(scenario)).schedule).toEqual(scenario.schedule);
    }
  });

  it('are refused where they make no sense, by their place', () => {
    const refuse = (choice: string): string => {
      try {
        parseScenario(`machine: { nodes: 2, coresPerNode: 2 }\nschedule: [${choice}]`);
      } catch (error) {
        return (error as Error).message;
      }
      return '';
    };
    expect(refuse('{ target: cpu 4, during: [1us, 2us] }')).toMatch(/schedule\.?\[?0.*vCPU 4 is beyond the last of 4/);
    expect(refuse('{ target: el2 2, during: [1us, 2us] }')).toMatch(/node 2 is beyond/);
    expect(refuse('{ target: 0>0, during: [1us, 2us] }')).toMatch(/no link/);
    expect(refuse('{ target: core 1, during: [1us, 2us] }')).toMatch(/none of cpu N/);
    expect(refuse('{ target: hyp, during: [2us, 1us] }')).toMatch(/must end after it begins/);
    expect(refuse('{ target: hyp, during: [1us, 2us], slow: 1 }')).toMatch(/slow/);
  });
});
