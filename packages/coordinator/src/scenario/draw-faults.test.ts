import { FAULT_KINDS } from '@numalab/interconnect';
import { describe, expect, it } from 'vitest';
import { faultPlan } from '../machine/fault-plan.ts';
import { scenarioYaml } from './describe.ts';
import { drawFaults, type SwarmOptions } from './draw-faults.ts';
import { parseScenario } from './load.ts';
import { survivableKinds } from './resolve-faults.ts';

const OPTIONS: SwarmOptions = { nodes: 4, ecc: 'secded', journal: true, horizonPs: 300e6 };
const seeds = Array.from({ length: 400 }, (_, seed) => seed);

describe('faults that a seed draws', () => {
  it('are the same for the same seed, and differ between seeds', () => {
    expect(drawFaults(OPTIONS, 7)).toEqual(drawFaults(OPTIONS, 7));
    const different = new Set(seeds.map((seed) => JSON.stringify(drawFaults(OPTIONS, seed))));
    expect(different.size).toBeGreaterThan(300);
  });

  it('are of every kind that is survived, and of no other unless asked for', () => {
    const kindsOf = (options: SwarmOptions): Set<string> =>
      new Set(seeds.flatMap((seed) => drawFaults(options, seed).map(({ kind }) => kind)));
    expect(kindsOf(OPTIONS)).toEqual(new Set(survivableKinds(FAULT_KINDS, OPTIONS)));
    expect(kindsOf({ ...OPTIONS, unrestricted: true })).toEqual(new Set(FAULT_KINDS));
    const without = FAULT_KINDS.filter((kind) => kind !== 'flip-journal');
    expect(kindsOf({ ...OPTIONS, unrestricted: true, journal: false })).toEqual(new Set(without));
  });

  it('of one kind do not depend on which other kinds there are', () => {
    for (const seed of seeds) {
      const drops = drawFaults(OPTIONS, seed).filter(({ kind }) => kind === 'drop');
      expect(drawFaults({ ...OPTIONS, kinds: ['drop'] }, seed)).toEqual(drops);
    }
  });

  it('make a scenario that can be written down and read again', () => {
    for (const seed of seeds) {
      const scenario = { ...parseScenario('{}'), faults: drawFaults(OPTIONS, seed) };
      expect(parseScenario(scenarioYaml(scenario)).faults).toEqual(scenario.faults);
    }
  });
});

describe('a plan', () => {
  it('keeps what it says of a fault when another is left out', () => {
    const scenario = parseScenario('{}');
    for (const seed of seeds) {
      const faults = drawFaults(OPTIONS, seed);
      const whole = faultPlan(scenario, faults, seed)?.faults ?? [];
      for (const [left, { name }] of whole.entries()) {
        if (whole.filter((fault) => fault.name.startsWith(name)).length > 1) continue;
        const rest = faultPlan(
          scenario,
          faults.filter((_, i) => i !== left),
          seed,
        );
        expect(rest?.faults ?? []).toEqual(whole.filter((_, i) => i !== left));
      }
    }
  });

  it('tells two faults that say the same apart', () => {
    const fault = { kind: 'drop', probability: 0.1 };
    const scenario = parseScenario(JSON.stringify({ faults: [fault, fault] }));
    expect(faultPlan(scenario, scenario.faults, 1)?.faults.map(({ name }) => name)).toEqual([
      'drop p 0.1',
      'drop p 0.1 (2)',
    ]);
  });
});
