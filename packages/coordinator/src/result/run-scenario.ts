import { InputError } from '@numalab/base';
import { findingText, type Judgement, type Verdict } from '@numalab/checkers';
import { relays } from '@numalab/hypervisor';
import type { NodeReport, ScrubCounts } from '@numalab/node-worker';
import { GUARANTEES } from '@numalab/protocols';
import { type JudgedRun, type Placement, type PlacementOptions, runMachine } from '../engine/run-machine.ts';
import { buildSpec, type PreparedMachine, type SpecOverrides } from '../machine/build-spec.ts';
import { fieldOf } from '../machine/place.ts';
import type { Scenario } from '../scenario/scenario.ts';
import { assumptionsOf } from './assumptions.ts';
import { measuredRun, nodeResult } from './measure.ts';
import type { Comparison, MeasuredRun, RunResult } from './run-result.ts';
import { weigh } from './weigh.ts';

/** Violations that a result holds; the rest are counted. */
const VIOLATIONS_KEPT = 100;

/** Where and how a scenario is run. None of it changes what happens but the seed. */
export interface RunScenarioOptions extends Partial<PlacementOptions> {
  readonly seed: number;
  /** Judges the protocol by another level than it declares. */
  readonly guarantee?: SpecOverrides['guarantee'];
  /** Told which run begins, before {@link PlacementOptions.progress} tells of it. */
  readonly begins?: (part: 'scenario' | 'comparison') => void;
}

/** A result, and what is left of the machine for whoever wants to look closer. */
export interface ScenarioRun {
  readonly result: RunResult;
  readonly prepared: PreparedMachine;
  readonly judged: JudgedRun;
}

/** A run that was cut off can be refuted but not passed. */
const verdictOf = (
  { verdict, reason, violations }: Judgement,
  expect: readonly string[],
  interrupted: boolean,
): { readonly verdict: Verdict; readonly reason: string } => {
  if (!interrupted) return { verdict, reason };
  const broken = violations.find(({ id }) => !expect.includes(id));
  if (broken !== undefined) return { verdict: 'fail', reason: findingText(broken) };
  return { verdict: 'unknown', reason: 'interrupted; no rule was broken until then' };
};

const isWeak = (judgement: Judgement): boolean =>
  judgement.declared !== null && GUARANTEES.indexOf(judgement.declared) < GUARANTEES.indexOf('completed');

const warningsOf = (
  scenario: Scenario,
  { spec }: PreparedMachine,
  judgement: Judgement,
  nodes: readonly NodeReport[],
): string[] => {
  const warnings: string[] = [];
  if (spec.protocolOptions.multicast === true && !relays(spec)) {
    warnings.push(
      'a crash is planned, so replication.protocolOptions.multicast is off: each node is sent a message of its own, because what a node passes on would be lost with it',
    );
  }
  if (isWeak(judgement)) {
    warnings.push(
      `${scenario.replication.protocol} declares ${judgement.declared}, which is too weak for Linux: it relies on completed, that no core fetches the old word once the writer’s store is over`,
    );
  }
  const exhausted = nodes.filter(({ poolFailures }) => poolFailures > 0).map(({ id }) => id);
  if (exhausted.length > 0) {
    warnings.push(
      `the stage-2 pool of node ${exhausted.join(', ')} was exhausted: MMIO was unmapped to make room, and where that did not help the kernel got an abort`,
    );
  }
  return warnings;
};

const scrubOf = (nodes: readonly NodeReport[]): ScrubCounts | null => {
  const counts = nodes.flatMap(({ scrub }) => scrub ?? []);
  const sum = (pick: (of: ScrubCounts) => number): number => counts.reduce((total, of) => total + pick(of), 0);
  if (counts.length === 0) return null;
  return {
    pages: sum(({ pages }) => pages),
    suspects: sum(({ suspects }) => suspects),
    words: sum(({ words }) => words),
  };
};

const placementOf = (options: RunScenarioOptions): PlacementOptions => ({
  ...options,
  placement: options.placement ?? 'inline',
  threads: options.threads ?? null,
});

/** The run without replication that a run is compared with; null if there is nothing to compare, or it was cut off. */
const compare = async (
  scenario: Scenario,
  options: RunScenarioOptions,
  run: MeasuredRun,
): Promise<Comparison | null> => {
  if (!scenario.comparison || run.strategy === 'none' || options.signal?.aborted === true) return null;
  options.begins?.('comparison');
  const prepared = buildSpec(scenario, options.seed, { strategy: 'none' });
  const { watcherOf: _, trace: __, ...placement } = placementOf(options);
  // What breaks without replication is no finding about the protocol; this run is measured, not judged.
  const judged = await runMachine(prepared.spec, prepared.watch, { minEvidence: 0, expect: [] }, placement);
  if (judged.raw.interrupted) return null;
  const nodes = judged.raw.nodes.map((report) => nodeResult(prepared, report));
  const measured = measuredRun(prepared, judged, nodes);
  return { ...measured, ...weigh(run, measured, nodes.length) };
};

/** {@link runScenario}, and the machine as it is at the end. */
export const runWithMachine = async (scenario: Scenario, options: RunScenarioOptions): Promise<ScenarioRun> => {
  const { seed, guarantee } = options;
  const placement = placementOf(options);
  const prepared = buildSpec(scenario, seed, guarantee === undefined ? {} : { guarantee });
  options.begins?.('scenario');
  const judged = await runMachine(prepared.spec, prepared.watch, scenario.checks, placement);
  const { judgement, raw } = judged;
  const nodes = raw.nodes.map((report) => nodeResult(prepared, report));
  const measured = measuredRun(prepared, judged, nodes);
  const result: RunResult = {
    scenario: scenario.name,
    seed,
    mode: 'sim',
    placement: placement.placement,
    protocol: prepared.spec.strategy === 'stage2' ? scenario.replication.protocol : null,
    ...verdictOf(judgement, scenario.checks.expect, raw.interrupted),
    interrupted: raw.interrupted,
    guarantee: {
      declared: judgement.declared,
      held: judgement.held,
      evidence: judgement.evidence,
      refuted: judgement.refuted,
    },
    violations: judgement.violations.slice(0, VIOLATIONS_KEPT),
    violationCount: judgement.violations.length,
    rules: judgement.rules,
    ...measured,
    duty: scenario.workload.duty,
    faults: judged.faults,
    scrub: scrubOf(raw.nodes),
    nodes,
    comparison: await compare(scenario, options, measured),
    assumptions: assumptionsOf(scenario, prepared),
    recorded: prepared.recorded ?? null,
    warnings: warningsOf(scenario, prepared, judgement, raw.nodes),
  };
  return { result, prepared, judged };
};

/**
 * Runs a scenario in virtual time, judges it, and, if the scenario asks for it, runs it once more without replication to
 * compare. What happens depends on scenario and seed alone. Throws InputError for a scenario that cannot be built; a run that
 * `signal` cuts off ends with what there is.
 */
export const runScenario = async (scenario: Scenario, options: RunScenarioOptions): Promise<RunResult> =>
  (await runWithMachine(scenario, options)).result;

/** Throws InputError unless casemate can judge the scenario's tables. */
export const checkCasemate = (scenario: Scenario, placement: Placement): void => {
  const { granule, ipaBits, lpa2 } = scenario.machine.stage2;
  const fail = (field: string, what: string): never => {
    throw new InputError(`--casemate: ${fieldOf(scenario, field)}`, what);
  };
  if (granule !== '4K') fail('machine.stage2.granule', `must be 4K, not ${granule}`);
  if (lpa2) fail('machine.stage2.lpa2', 'must be false');
  if (ipaBits !== 48) fail('machine.stage2.ipaBits', `must be 48, not ${ipaBits}`);
  const { strategy } = scenario.replication;
  if (strategy !== 'stage2') fail('replication.strategy', `must have stage-2 tables; ${strategy} has none`);
  if (placement !== 'inline') throw new InputError('--casemate', 'needs --placement inline');
};
