import { describe, expect, it } from 'vitest';
import type { JudgedRun } from '../engine/run-machine.ts';
import { faultOf } from '../scenario/draw-faults.ts';
import { loadScenario } from '../scenario/load.ts';
import type { Fault } from '../scenario/scenario.ts';
import { makeCell } from './cell.ts';
import { SeedMachine } from './seed-machine.ts';

const outcome = ({ digest, judgement: { verdict, violations, evidence, rules } }: JudgedRun): unknown => ({
  digest,
  verdict,
  violations,
  evidence,
  rules,
});

const FLIP: Fault = faultOf('flip-descriptor', { target: '1.oa', at: 20e6 });

describe('SeedMachine', () => {
  const cell = makeCell(loadScenario('small'), 'unrestricted', 'mixed');

  it('gives for every seed what a new machine gives, whatever was run before', () => {
    const reused = new SeedMachine();
    const verdicts = new Set<string>();
    for (let seed = 1; seed <= 40; seed++) {
      const run = outcome(reused.run(cell, seed));
      expect(run).toEqual(outcome(new SeedMachine().run(cell, seed)));
      verdicts.add((run as { verdict: string }).verdict);
    }
    expect(verdicts.size).toBeGreaterThan(1);
  });

  it('does not take tables for those of the run before if one bit of them is another', () => {
    const machine = new SeedMachine();
    const broken = (faults: readonly Fault[]): string[] =>
      machine.run(cell, 3, { faults }).judgement.rules.flatMap(({ id, held }) => (held ? [] : [id]));
    expect([broken([]), broken([])]).toEqual([[], []]);
    expect(broken([FLIP])).toEqual(['T1', 'T2']);
    expect(broken([])).toEqual([]);
  });
});
