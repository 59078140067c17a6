import { InputError } from '@numalab/base';
import { stringify } from 'yaml';
import { describeScenario } from '../scenario/describe.ts';
import { parseScenario } from '../scenario/load.ts';
import { faultShape, faultSpec } from '../scenario/resolve-faults.ts';
import { stallsOf } from '../scenario/resolve-schedule.ts';
import type { Scenario } from '../scenario/scenario.ts';

/** Whether `check` calls its problem. */
const makesSense = (check: (problem: () => never) => unknown): boolean => {
  const nonsense = new Error('makes no sense');
  try {
    check(() => {
      throw nonsense;
    });
    return true;
  } catch (error) {
    if (error === nonsense) return false;
    throw error;
  }
};

/** Those of a list of vCPUs that there are; all instead of none, unless none was meant. */
const inRange = (cpus: unknown, count: number): unknown => {
  if (!Array.isArray(cpus) || cpus.length === 0) return cpus;
  const kept = cpus.filter((cpu) => cpu < count);
  return kept.length === 0 ? null : kept;
};

/** `scenario` on the first `nodes` nodes with `coresPerNode` cores each, without what that leaves no place for; null: cannot be. */
const onMachine = (scenario: Scenario, nodes: number, coresPerNode: number): Scenario | null => {
  const { machine, kernel, workload, hypervisor, ...rest } = describeScenario(scenario) as Record<
    string,
    Record<string, unknown>
  >;
  const { distances } = scenario.machine;
  const matrix =
    typeof distances === 'string' ? distances : distances.slice(0, nodes).map((row) => row.slice(0, nodes));
  const count = nodes * coresPerNode;
  const writers = (kernel!.writers as Record<string, unknown>[]).map((writer) => ({
    ...writer,
    cpus: inRange(writer.cpus, count),
  }));
  const machineShape = { machine: { ...scenario.machine, nodes, coresPerNode }, hypervisor: scenario.hypervisor };
  const faults = scenario.faults.filter((fault) =>
    makesSense((problem) => faultSpec(fault, faultShape(machineShape), problem)),
  );
  const schedule = scenario.schedule.filter((choice) =>
    makesSense((problem) => stallsOf(choice, { nodes, coresPerNode }, problem)),
  );
  const described = {
    ...rest,
    machine: { ...machine, nodes, coresPerNode, distances: matrix },
    kernel: { ...kernel, writers },
    workload: { ...workload, cpus: inRange(workload!.cpus, count) },
    hypervisor: { ...hypervisor, node: Math.min(scenario.hypervisor.node, nodes - 1) },
    faults: [],
    schedule: [],
  };
  try {
    const smaller = parseScenario(stringify(described), {}, scenario.name, '/');
    return { ...smaller, name: scenario.name, file: scenario.file, faults, schedule };
  } catch (error) {
    // A matrix from a file has the size that it has; a protocol may want more nodes.
    if (error instanceof InputError) return null;
    throw error;
  }
};

/** Few nodes and cores to try, the smallest first. */
const sizesBelow = (count: number): number[] => {
  const sizes = [1, 2, 3, 4, Math.ceil(count / 2)].filter((size) => size < count);
  return [...new Set(sizes), count].sort((x, y) => x - y);
};

/** The same scenario on smaller machines, the smallest first. */
export const smallerMachines = (scenario: Scenario): Scenario[] => {
  const { nodes, coresPerNode } = scenario.machine;
  const sizes = sizesBelow(nodes).flatMap((n) => sizesBelow(coresPerNode).map((cores) => [n, cores] as const));
  return sizes
    .filter(([n, cores]) => n * cores < nodes * coresPerNode)
    .sort(([n, cores], [otherN, otherCores]) => n * cores - otherN * otherCores || n - otherN)
    .flatMap(([n, cores]) => onMachine(scenario, n, cores) ?? []);
};
