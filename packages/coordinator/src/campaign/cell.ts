import { createHash } from 'node:crypto';
import { drawFaults } from '../scenario/draw-faults.ts';
import { drawSchedule, type Scheduler } from '../scenario/draw-schedule.ts';
import { readInputFile } from '../scenario/files.ts';
import { faultShape } from '../scenario/resolve-faults.ts';
import type { Fault, Scenario, ScheduleChoice } from '../scenario/scenario.ts';

/** Faults that a run draws from its seed beside those that its scenario plans; `unrestricted`: what nothing survives, too. */
export type DrawnFaults = 'none' | 'swarm' | 'unrestricted';

/** One cell of a campaign's matrix: what is run with every seed. Plain data. */
export interface Cell {
  readonly scenario: Scenario;
  readonly faults: DrawnFaults;
  readonly scheduler: Scheduler;
  /** Of all that a run depends on but its seed and numalab itself. */
  readonly hash: string;
}

/** Files whose content a run depends on. */
const filesOf = ({ kernel, replication }: Scenario): string[] => {
  const files = kernel.writers.flatMap((writer) => (writer.kind === 'recorded' ? [writer.file] : []));
  if (kernel.image !== 'builtin') files.push(kernel.image);
  if (kernel.map !== null) files.push(kernel.map);
  if (/[/\\]/.test(replication.protocol)) files.push(replication.protocol);
  return files;
};

/** JSON in which the order of keys means nothing, and a file is its content wherever it lies. */
const canonical = (value: unknown, contents: ReadonlyMap<string, string>): string =>
  JSON.stringify(value, (_key, part: unknown) => {
    if (typeof part === 'string') return contents.get(part) ?? part;
    if (typeof part !== 'object' || part === null || Array.isArray(part)) return part;
    return Object.fromEntries(Object.entries(part).sort(([x], [y]) => (x < y ? -1 : 1)));
  });

/**
 * The hash of a scenario: the same for the same machine, software and faults, whatever the files that say so are called. A
 * protocol's file counts with its own text, not with that of modules it imports. Throws InputError if a file that is named
 * cannot be read.
 */
export const scenarioHash = (scenario: Scenario, faults: DrawnFaults, scheduler: Scheduler): string => {
  const contents = new Map(
    filesOf(scenario).map((file) => [file, `sha256:${createHash('sha256').update(readInputFile(file)).digest('hex')}`]),
  );
  const { name: _, file: __, ...content } = scenario;
  return createHash('sha256')
    .update(canonical({ ...content, drawn: { faults, scheduler } }, contents))
    .digest('hex')
    .slice(0, 24);
};

/** A cell of a campaign. Throws InputError like {@link scenarioHash}. */
export const makeCell = (scenario: Scenario, faults: DrawnFaults, scheduler: Scheduler = 'random'): Cell => ({
  scenario,
  faults,
  scheduler,
  hash: scenarioHash(scenario, faults, scheduler),
});

/** What breaks in the run of one seed: what the scenario plans, and what the seed draws. */
export const faultsOf = ({ scenario, faults }: Cell, seed: number): readonly Fault[] => {
  if (faults === 'none') return scenario.faults;
  const { durationPs } = scenario.workload;
  const options = { ...faultShape(scenario), horizonPs: durationPs, unrestricted: faults === 'unrestricted' };
  return [...scenario.faults, ...drawFaults(options, seed)];
};

/** Who gets less time in the run of one seed: what the scenario says, and what the scheduler draws. */
export const scheduleOf = ({ scenario, scheduler }: Cell, seed: number): readonly ScheduleChoice[] => {
  const { nodes, coresPerNode } = scenario.machine;
  const options = { nodes, coresPerNode, horizonPs: scenario.workload.durationPs };
  return [...scenario.schedule, ...drawSchedule(options, seed, scheduler)];
};

/** A cell's scenario with what a seed draws written out: run with that seed it is the same run. */
export const scenarioOfSeed = (cell: Cell, seed: number): Scenario => ({
  ...cell.scenario,
  faults: faultsOf(cell, seed),
  schedule: scheduleOf(cell, seed),
  comparison: false,
});

/** A cell as people name it: `small, ack`. */
export const cellName = ({ scenario, faults, scheduler }: Cell): string => {
  const { name, replication, machine } = scenario;
  const protocol = replication.strategy === 'stage2' ? replication.protocol : replication.strategy;
  const topology = typeof machine.distances === 'string' ? machine.distances : 'a matrix';
  const drawn = [
    ...(faults === 'none' ? [] : [`faults ${faults}`]),
    ...(scheduler === 'random' ? [] : [`scheduler ${scheduler}`]),
  ];
  return [name, protocol, topology, ...drawn].join(', ');
};
