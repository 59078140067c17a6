import { availableParallelism } from 'node:os';
import { assert, InputError } from '@numalab/base';
import { faultShape, faultSpec } from '../scenario/resolve-faults.ts';
import type { Fault, Scenario } from '../scenario/scenario.ts';
import { type Decision, decisionsOf, type Plan, scenarioOf, trialOf, trialOfPlan } from './decisions.ts';
import { minimise } from './minimise.ts';
import { smallerMachines } from './smaller-machine.ts';
import type { TrialOutcome } from './trial.ts';
import { Trials } from './trials.ts';

/** How far a search is. */
export interface ShrinkProgress {
  readonly trials: number;
  /** Of the smallest run so far. */
  readonly events: number;
  readonly decisions: number;
}

export interface ShrinkOptions {
  readonly seed: number;
  /** Threads; default: cores. */
  readonly jobs?: number;
  /** No trial begins later than this; default 50. */
  readonly seconds?: number;
  /** Ends the search soon, with the smallest so far. */
  readonly signal?: AbortSignal;
  readonly progress?: (progress: ShrinkProgress) => void;
}

/** How large a run is. */
export interface RunSize {
  readonly events: number;
  readonly nodes: number;
  readonly vcpus: number;
  /** vCPUs that execute. */
  readonly walking: number;
  readonly actions: number;
  readonly faults: number;
  readonly choices: number;
  readonly durationPs: number;
}

/** What happens without one decision of the smallest run. */
export interface Necessity {
  readonly decision: Decision;
  /** The verdict without it. */
  readonly verdict: string;
  /** How it fails then; null: it does not. */
  readonly cause: string | null;
}

/** The smallest run that was found. */
export interface Shrunk {
  readonly scenario: Scenario;
  readonly seed: number;
  readonly cause: string;
  readonly message: string;
  readonly before: RunSize;
  readonly after: RunSize;
  readonly necessity: readonly Necessity[];
  readonly trials: number;
  /** Nothing of it can be left out by itself. */
  readonly complete: boolean;
  readonly interrupted: boolean;
}

/** Seeds that a smaller machine is tried with, beside the run's own. */
const OTHER_SEEDS = 20;
/** Milliseconds after all other trials for seeing what happens without what is left. */
const LAST_MS = 5000;
/** A run may take this many times the windows of the first, and some more. */
const LONGER = 4;
const FEW_WINDOWS = 1000;
/** Milliseconds per second of all the time that looking for a smaller machine may take. */
const MACHINE_SHARE = 300;
/** Virtual time after a finding that a run is cut off at. */
const MARGIN_PS = 2_000_000;
/** Hits of a fault by chance that are told apart at most. */
const MAX_HITS = 256;

const sizeOf = (scenario: Scenario, decisions: readonly Decision[], events: number): RunSize => {
  const count = (kind: Decision['kind']): number => decisions.filter((one) => one.kind === kind).length;
  const { nodes, coresPerNode } = scenario.machine;
  return {
    events,
    nodes,
    vcpus: nodes * coresPerNode,
    walking: count('walk'),
    actions: count('action'),
    faults: count('fault'),
    choices: count('choice'),
    durationPs: scenario.workload.durationPs,
  };
};

/** A run on its way to becoming smaller; every step is a run that failed in the same way. */
class Search {
  readonly trials: Trials;
  readonly cause: string;
  plan: Plan;
  outcome: TrialOutcome;
  /** Runs that take longer than this did not fail in the same way, or are no smaller. */
  private readonly mostWindows: number;
  private readonly progress: (progress: ShrinkProgress) => void;

  constructor(trials: Trials, plan: Plan, outcome: TrialOutcome, progress: (progress: ShrinkProgress) => void) {
    this.trials = trials;
    this.plan = plan;
    this.outcome = outcome;
    this.cause = outcome.cause!;
    this.mostWindows = LONGER * outcome.windows + FEW_WINDOWS;
    this.progress = progress;
  }

  private take(plan: Plan, outcome: TrialOutcome): void {
    this.plan = plan;
    this.outcome = outcome;
    this.progress({ trials: this.trials.count, events: outcome.events, decisions: plan.decisions.length });
  }

  /** Takes the first of some scenarios, each with some seeds, that fails in the same way. */
  private async firstOf(
    tries: readonly { readonly scenario: Scenario; readonly seed: number }[],
    until = Infinity,
  ): Promise<boolean> {
    const found = await this.trials.first(
      tries.map(
        ({ scenario, seed }) =>
          () =>
            trialOf(scenario, seed, this.mostWindows, true),
      ),
      this.cause,
      until,
    );
    if (found === null) return false;
    const { scenario, seed } = tries[found.index]!;
    this.take({ scenario, seed, decisions: decisionsOf(scenario, found.outcome.log!) }, found.outcome);
    return true;
  }

  /** What hangs needs nobody who executes, and takes long as long as somebody does. */
  async leaveWalksOut(): Promise<void> {
    const { scenario, seed } = this.plan;
    await this.firstOf([{ scenario: { ...scenario, workload: { ...scenario.workload, cpus: [] } }, seed }]);
  }

  /** A smaller machine draws other random numbers, so more than one seed gets its chance. */
  async shrinkMachine(until: number): Promise<void> {
    const { scenario, seed } = this.plan;
    const seeds = [seed, ...Array.from({ length: OTHER_SEEDS }, (_, i) => i + 1).filter((other) => other !== seed)];
    await this.firstOf(
      smallerMachines(scenario).flatMap((smaller) => seeds.map((one) => ({ scenario: smaller, seed: one }))),
      until,
    );
  }

  /** The shortest duration that does; what a run does before its end does not depend on when that is. */
  async shrinkDuration(): Promise<void> {
    const { scenario, seed } = this.plan;
    const { durationPs } = scenario.workload;
    const parts = [64, 32, 16, 8, 4, 2].map((part) => Math.ceil(durationPs / part / 1000) * 1000);
    const cut = Math.ceil((this.outcome.timePs + MARGIN_PS) / 1000) * 1000;
    const shorter = [...parts, cut].filter((ps) => ps < durationPs).sort((x, y) => x - y);
    await this.firstOf(
      shorter.map((ps) => ({ scenario: { ...scenario, workload: { ...scenario.workload, durationPs: ps } }, seed })),
    );
  }

  /** Leaves out decisions until none can be left out by itself. */
  async shrinkDecisions(): Promise<void> {
    await minimise(this.plan.decisions, async (lists) => {
      const plans = lists.map((decisions) => ({ ...this.plan, decisions }));
      const found = await this.trials.first(
        plans.map((plan) => () => trialOfPlan(plan, this.mostWindows)),
        this.cause,
      );
      if (found === null) return -1;
      this.take(plans[found.index]!, found.outcome);
      return found.index;
    });
  }

  /** A fault by chance becomes one for each time that it hit, at that moment, so that single hits can be left out. */
  async tellHitsApart(): Promise<void> {
    const isByChance = (one: Decision): boolean =>
      one.kind === 'fault' && one.fault.at === null && one.fault.nth === null;
    if (!this.plan.decisions.some(isByChance)) return;
    const { log } = await this.trials.run(trialOfPlan(this.plan, this.mostWindows, true));
    const names = namesOf(this.plan);
    const decisions = this.plan.decisions.flatMap((one): Decision[] => {
      if (one.kind !== 'fault' || !isByChance(one)) return [one];
      const moments = new Set(log?.hits.filter(({ name }) => name === names.get(one.fault)).map(({ at }) => at));
      if (moments.size === 0 || moments.size > MAX_HITS || !HITS_AT_A_MOMENT.has(one.fault.kind)) return [one];
      return [...moments].map((at) => ({
        kind: 'fault',
        fault: { ...one.fault, probability: null, during: [at, at + 1] },
      }));
    });
    const plan = { ...this.plan, decisions };
    const found = await this.trials.first([() => trialOfPlan(plan, this.mostWindows)], this.cause);
    if (found !== null) this.take(plan, found.outcome);
  }

  /** What happens without each fault, choice and action that is left. */
  async necessity(until: number, isStopped: () => boolean): Promise<Necessity[]> {
    const { decisions } = this.plan;
    const ranks = { fault: 0, choice: 1, action: 2, walk: 3, probe: 3 };
    const results: Necessity[] = [];
    for (const decision of decisions.toSorted((x, y) => ranks[x.kind] - ranks[y.kind])) {
      if (decision.kind === 'walk' || decision.kind === 'probe') continue;
      // What is not known is not said.
      if (performance.now() > until || isStopped()) break;
      const plan = { ...this.plan, decisions: decisions.filter((other) => other !== decision) };
      const { verdict, cause } = await this.trials.run(trialOfPlan(plan, this.mostWindows));
      results.push({ decision, verdict, cause });
    }
    return results;
  }
}

/** Message faults: whether they hit is decided message by message, so that a moment names the message. */
const HITS_AT_A_MOMENT: ReadonlySet<string> = new Set([
  'drop',
  'duplicate',
  'delay',
  'reorder',
  'corrupt',
  'flip-message',
]);

/** The names under which the faults of a plan are planned. */
const namesOf = (plan: Plan): Map<Fault, string> => {
  const { faults, machine, hypervisor } = scenarioOf(plan);
  const seen = new Map<string, number>();
  return new Map(
    faults.map((fault) => {
      const { name } = faultSpec(
        fault,
        faultShape({ machine, hypervisor }),
        () => assert(false, 'a fault that ran makes sense') as never,
      );
      const count = (seen.get(name) ?? 0) + 1;
      seen.set(name, count);
      return [fault, count === 1 ? name : `${name} (${count})`];
    }),
  );
};

/**
 * Finds the smallest run that fails as the run of `scenario` with `options.seed` does: on the smallest machine, for the shortest time,
 * with the fewest faults, writes, scheduler's choices and executing vCPUs. Throws InputError if that run does not fail.
 */
export const shrink = async (scenario: Scenario, options: ShrinkOptions): Promise<Shrunk> => {
  const { seed, jobs = availableParallelism(), seconds = 50, signal, progress } = options;
  const deadline = performance.now() + seconds * 1000;
  const isOver = (): boolean => signal?.aborted === true || performance.now() > deadline;
  const trials = new Trials(jobs, isOver);
  try {
    const whole = { ...scenario, comparison: false };
    const outcome = await trials.run(trialOf(whole, seed, Infinity, true));
    if (outcome.cause === null) {
      throw new InputError(
        scenario.name,
        `with seed ${seed} does not fail (${outcome.verdict}: ${outcome.message}): there is nothing to shrink`,
      );
    }
    const decisions = decisionsOf(whole, outcome.log!);
    const search = new Search(trials, { scenario: whole, seed, decisions }, outcome, progress ?? (() => {}));
    const before = sizeOf(whole, decisions, outcome.events);
    await search.leaveWalksOut();
    await search.shrinkDuration();
    // Where no smaller machine does, that must not take the time that the rest needs.
    await search.shrinkMachine(performance.now() + seconds * MACHINE_SHARE);
    await search.shrinkDuration();
    await search.shrinkDecisions();
    await search.tellHitsApart();
    await search.shrinkDecisions();
    const complete = !isOver();
    const necessity = await search.necessity(deadline + LAST_MS, () => signal?.aborted === true);
    const { plan } = search;
    const smallest = scenarioOf(plan);
    return {
      scenario: smallest,
      seed: plan.seed,
      cause: search.cause,
      message: search.outcome.message,
      before,
      after: sizeOf(plan.scenario, plan.decisions, search.outcome.events),
      necessity,
      trials: trials.count,
      complete,
      interrupted: signal?.aborted === true,
    };
  } finally {
    await trials.close();
  }
};
