import { stringify } from 'yaml';
import type { Fault, MachineScenario, Scenario, ScheduleChoice, Writer } from './scenario.ts';
import { formatBandwidth, formatDuration, formatRate, formatSize } from './units.ts';

const describeWriter = ({ rate, at, ...rest }: Writer): Record<string, unknown> => ({
  ...rest,
  rate: formatRate(rate),
  at: at === null ? null : formatDuration(at),
});

/** Without the keys that it leaves open: what is left is what makes it up. */
const describeFault = ({ at, during, for: span, ...rest }: Fault): Record<string, unknown> => {
  const time = (ps: number | null): string | null => (ps === null ? null : formatDuration(ps));
  const all = { ...rest, at: time(at), during: during?.map(formatDuration) ?? null, for: time(span) };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== null));
};

const describeChoice = ({ target, during, slow }: ScheduleChoice): Record<string, unknown> => ({
  target,
  during: during.map(formatDuration),
  ...(slow === null ? {} : { slow }),
});

const describeMachine = ({ topology: _, ...machine }: MachineScenario): Record<string, unknown> => {
  const { l1i, l2, llc, ...others } = machine.caches;
  return {
    ...machine,
    memoryPerNode: formatSize(machine.memoryPerNode),
    base: `0x${machine.base.toString(16)}`,
    caches: {
      l1i: { ...l1i, bytes: formatSize(l1i.bytes) },
      l2: { ...l2, bytes: formatSize(l2.bytes) },
      llc: { ...llc, bytes: formatSize(llc.bytes) },
      ...others,
    },
  };
};

/** A loaded scenario in the vocabulary of scenario files, with every default spelled out. Loading it gives the same again. */
export const describeScenario = (scenario: Scenario): Record<string, unknown> => {
  const { kernel, hypervisor, interconnect, workload } = scenario;
  const { durationPs, ...otherWork } = workload;
  const { jitter1024, bandwidth, ...links } = interconnect;
  return {
    machine: describeMachine(scenario.machine),
    kernel: {
      ...kernel,
      kaslrOffset: formatSize(kernel.kaslrOffset),
      writers: kernel.writers.map(describeWriter),
    },
    replication: scenario.replication,
    hypervisor: {
      ...hypervisor,
      recordTime: formatDuration(hypervisor.recordTime),
      scrub: hypervisor.scrub === null ? null : formatDuration(hypervisor.scrub),
    },
    interconnect: { ...links, jitter: jitter1024 / 1024, bandwidth: formatBandwidth(bandwidth) },
    workload: { duration: formatDuration(durationPs), ...otherWork },
    faults: scenario.faults.map(describeFault),
    schedule: scenario.schedule.map(describeChoice),
    checks: scenario.checks,
    bugs: scenario.bugs,
    comparison: scenario.comparison,
  };
};

/** {@link describeScenario} as YAML. */
export const scenarioYaml = (scenario: Scenario): string =>
  stringify(describeScenario(scenario), { lineWidth: 80, aliasDuplicateObjects: false });
