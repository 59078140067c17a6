/** Every built-in protocol against every kind of fault that a machine is built to survive. */

import { faultShape, loadScenario, survivableKinds } from '@numalab/coordinator';
import { FAULT_KINDS, type FaultKind } from '@numalab/interconnect';
import { PROTOCOLS } from '@numalab/protocols';
import { describe, expect, it } from 'vitest';
import { FAULT_CELLS, type FaultCell, FaultMachine, keeps } from './fault-matrix.ts';

const SEEDS = [1, 2, 3];

/** Steps that a hypervisor does not pass, for its half sends nothing to nodes' halves, or they nothing to it. */
const NOT_PASSED: Readonly<Record<string, readonly string[]>> = {
  post: ['hyp-crash handled'],
  direct: ['hyp-crash sent', 'hyp-crash handled'],
};

/** What stands against a cell, a line each. */
const wrongIn = (machine: FaultMachine, cell: FaultCell, isPassed: boolean): readonly string[] => {
  const wrong: string[] = [];
  const fired = cell.faults.map(() => 0);
  let evidence = 0;
  for (const seed of SEEDS) {
    const run = machine.run(cell, seed);
    const { verdict, reason, declared } = run.judgement;
    if (verdict !== 'pass' || !keeps(run)) wrong.push(`${cell.name}, seed ${seed}: ${verdict}, ${reason}`);
    for (const [i, { outcome, ...fault }] of run.faults.entries()) {
      fired[i]! += fault.fired;
      const isSurvived = fault.fired === 0 ? outcome === 'not fired' : ['repaired', 'masked'].includes(outcome);
      if (!isSurvived) wrong.push(`${cell.name}, seed ${seed}: the fault ended as ${outcome}`);
    }
    evidence += run.judgement.evidence[declared!];
  }
  if (fired.some((count) => count > 0 !== isPassed)) wrong.push(`${cell.name}: fired ${fired.join(' and ')} times`);
  if (evidence === 0) wrong.push(`${cell.name}: nothing could have refuted the declared level`);
  return wrong;
};

describe('every survivable fault', () => {
  it('has a cell', () => {
    const kinds = FAULT_CELLS.flatMap(({ faults }) => faults.map((fault) => (fault as { kind: FaultKind }).kind));
    const shape = faultShape(loadScenario('small'));
    expect(new Set(kinds)).toEqual(new Set(survivableKinds(FAULT_KINDS, shape)));
  });

  it.each(Object.keys(PROTOCOLS))('fires under %s, and it passes with what it declares', (protocol) => {
    const machine = new FaultMachine(protocol);
    const wrong = FAULT_CELLS.flatMap((cell) => {
      const own = cell.set === undefined ? machine : new FaultMachine(protocol, cell.set);
      return wrongIn(own, cell, NOT_PASSED[protocol]?.includes(cell.name) !== true);
    });
    expect(wrong).toEqual([]);
  });
});
