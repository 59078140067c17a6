import { watchTables } from '@numalab/checkers';
import {
  buildSpec,
  drawFaults,
  type Fault,
  faultShape,
  InlineMachine,
  type JudgedRun,
  judgeRaw,
  loadScenario,
  type Scenario,
} from '@numalab/coordinator';
import type { FaultKind } from '@numalab/interconnect';
import { PROTOCOLS } from '@numalab/protocols';

/** Faults with a moment get one while the small scenario is at work. */
const HORIZON_PS = 300e6;

/** One run of a scenario; `faults` instead of the scenario's own. */
export const runWith = async (scenario: Scenario, seed: number, faults?: readonly Fault[]): Promise<JudgedRun> => {
  const { protocol } = scenario.replication;
  const { spec, watch } = buildSpec(scenario, seed, faults === undefined ? {} : { faults });
  const machine = new InlineMachine(spec, PROTOCOLS[protocol]!, watch, watchTables);
  return judgeRaw(spec, await machine.run(), { minEvidence: 0, expect: [] });
};

/** What a swarm of faults over many seeds came to. */
export interface Swarm {
  /** One line for every broken rule. */
  readonly broken: readonly string[];
  /** Faults by kind and outcome: `drop: repaired`. */
  readonly outcomes: ReadonlyMap<string, number>;
}

/** Runs the small scenario under `protocol` with the faults of `kinds` that each seed draws; `set` is applied on top. */
export const swarm = async (
  protocol: string,
  kinds: readonly FaultKind[],
  seeds: readonly number[],
  set: readonly string[] = [],
): Promise<Swarm> => {
  const scenario = loadScenario('small', { protocol, set });
  const broken: string[] = [];
  const outcomes = new Map<string, number>();
  for (const seed of seeds) {
    const faults = drawFaults({ ...faultShape(scenario), horizonPs: HORIZON_PS, kinds }, seed);
    const run = await runWith(scenario, seed, faults);
    for (const { kind, outcome } of run.faults) {
      outcomes.set(`${kind}: ${outcome}`, (outcomes.get(`${kind}: ${outcome}`) ?? 0) + 1);
    }
    for (const { id, message } of run.judgement.violations) broken.push(`seed ${seed}: ${id} ${message}`);
  }
  return { broken, outcomes };
};
