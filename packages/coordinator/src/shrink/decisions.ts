import { makeCell } from '../campaign/cell.ts';
import type { Fault, Scenario, ScheduleChoice, Writer } from '../scenario/scenario.ts';
import type { Trial, TrialLog } from './trial.ts';

/** One thing that a run can be without. */
export type Decision =
  | { readonly kind: 'fault'; readonly fault: Fault }
  | { readonly kind: 'choice'; readonly choice: ScheduleChoice }
  | { readonly kind: 'action'; readonly writer: number; readonly action: number }
  /** A vCPU executes. */
  | { readonly kind: 'walk'; readonly cpu: number }
  /** Others fetch words that are being written. */
  | { readonly kind: 'probe' };

/** A run as the list of its decisions: what is not on it is the machine and the software. */
export interface Plan {
  readonly scenario: Scenario;
  readonly seed: number;
  readonly decisions: readonly Decision[];
}

const vcpusOf = ({ machine }: Scenario): number[] =>
  Array.from({ length: machine.nodes * machine.coresPerNode }, (_, cpu) => cpu);

/** The decisions of a run of `scenario`, of which `log` tells what writers did. */
export const decisionsOf = (scenario: Scenario, log: TrialLog): Decision[] => {
  const { faults, schedule, workload } = scenario;
  return [
    ...log.actions.map(({ writer, action }): Decision => ({ kind: 'action', writer, action })),
    ...faults.map((fault): Decision => ({ kind: 'fault', fault })),
    ...schedule.map((choice): Decision => ({ kind: 'choice', choice })),
    ...(workload.duty > 0 ? (workload.cpus ?? vcpusOf(scenario)) : []).map((cpu): Decision => ({ kind: 'walk', cpu })),
    ...(workload.probe ? [{ kind: 'probe' } as const] : []),
  ];
};

const writersOf = (scenario: Scenario, decisions: readonly Decision[]): Writer[] => {
  const writers = scenario.kernel.writers.map((writer, index): Writer => {
    // Others begin on what the whole trace leaves.
    if (writer.kind === 'recorded' && scenario.kernel.writers.length > 1) return writer;
    const only = decisions.flatMap((one) => (one.kind === 'action' && one.writer === index ? [one.action] : []));
    return { ...writer, only: only.sort((x, y) => x - y) };
  });
  // A writer's random choices depend on its place: only behind the last that does something can they be left out.
  while (writers.at(-1)?.only?.length === 0) writers.pop();
  return writers;
};

/** The scenario of a plan, which stands alone: run with the plan's seed it does what the plan says. */
export const scenarioOf = ({ scenario, decisions }: Plan): Scenario => {
  const walkers = decisions.flatMap((one) => (one.kind === 'walk' ? [one.cpu] : []));
  const all = vcpusOf(scenario);
  return {
    ...scenario,
    kernel: { ...scenario.kernel, writers: writersOf(scenario, decisions) },
    workload: {
      ...scenario.workload,
      cpus: walkers.length === all.length ? null : walkers,
      probe: decisions.some(({ kind }) => kind === 'probe'),
    },
    faults: decisions.flatMap((one) => (one.kind === 'fault' ? [one.fault] : [])),
    schedule: decisions.flatMap((one) => (one.kind === 'choice' ? [one.choice] : [])),
    comparison: false,
  };
};

const cells = new WeakMap<Scenario, ReturnType<typeof makeCell>>();

/** The cell of a scenario of which parts are left out; made once, because it reads files. */
const cellOf = (scenario: Scenario): ReturnType<typeof makeCell> => {
  const cell = cells.get(scenario) ?? makeCell(scenario, 'none');
  cells.set(scenario, cell);
  return cell;
};

/** A trial of a whole scenario. */
export const trialOf = (scenario: Scenario, seed: number, mostWindows: number, tells = false): Trial => ({
  cell: cellOf(scenario),
  seed,
  changes: {},
  mostWindows,
  tells,
});

/** A trial of a plan, on the machine of its scenario. */
export const trialOfPlan = (plan: Plan, mostWindows: number, tells = false): Trial => {
  const { faults, schedule, kernel, workload } = scenarioOf(plan);
  return {
    cell: cellOf(plan.scenario),
    seed: plan.seed,
    changes: { faults, schedule, writers: kernel.writers, workload },
    mostWindows,
    tells,
  };
};
