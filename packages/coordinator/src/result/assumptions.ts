import { LARGEST_DISTANCE, type LatencyProfile } from '@numalab/machine';
import type { PreparedMachine } from '../machine/build-spec.ts';
import type { Scenario } from '../scenario/scenario.ts';
import { formatDuration } from '../scenario/units.ts';

interface Sourced {
  readonly name: string;
  readonly source: string;
}

/** Every figure of a profile with its source. */
const figuresOf = ({ dram, line, bandwidth, core, caches }: LatencyProfile): Sourced[] => {
  const figures: Sourced[] = [];
  for (const [name, by] of Object.entries({ dram, line, bandwidth })) {
    figures.push({ name, source: by.local[1] });
    for (const [, , source] of [...by.sameSocket, ...by.otherSocket]) figures.push({ name, source });
  }
  for (const [name, [, source]] of Object.entries(core)) figures.push({ name, source });
  const { l1i, l2, llc, tlbEntries, walkCacheEntries } = caches;
  for (const [name, { source }] of Object.entries({ l1i, l2, llc })) figures.push({ name, source });
  for (const [name, [, source]] of Object.entries({ tlbEntries, walkCacheEntries })) figures.push({ name, source });
  return figures;
};

const profileNote = (profile: LatencyProfile): string => {
  const figures = figuresOf(profile);
  const guessed = figures.filter(({ source }) => source.startsWith('assumed'));
  // A name such as dram stands for a figure by distance each.
  const counts = new Map<string, number>();
  for (const { name } of guessed) counts.set(name, 1 + (counts.get(name) ?? 0));
  const names = [...counts].map(([name, count]) => (count === 1 ? name : `${name} (${count})`)).join(', ');
  const rest = guessed.length === 0 ? '' : `: ${names}`;
  return `${guessed.length} of the ${figures.length} figures of profile ${profile.name} are assumed, not published${rest}`;
};

const jitterNote = (jitter: number): string =>
  jitter === 0
    ? 'latencies do not vary (interconnect.jitter 0)'
    : `jitter of link latencies is log-normal with sigma 0.2${jitter === 1 ? '' : ` times ${jitter}`}, and only adds`;

/** What a run takes for granted, one sentence each. */
export const assumptionsOf = (scenario: Scenario, { spec, notes }: PreparedMachine): readonly string[] => {
  const { duty, probe } = scenario.workload;
  const list = [
    ...notes,
    profileNote(spec.profile),
    jitterNote(spec.jitter),
    'vCPUs walk the real text at random and interpret nothing: how far caches help depends on the walk',
    `vCPUs execute ${Number((duty * 100).toPrecision(6))} % of the time (workload.duty); figures per time scale with it`,
  ];
  if (scenario.machine.topology.distances.some((row) => row.includes(LARGEST_DISTANCE))) {
    list.push('a distance of 255 is taken for the longest one; firmware means by it that there is no path');
  }
  if (probe)
    list.push('vCPUs of other nodes fetch the words being written (workload.probe), more often than kernels do');
  if (spec.strategy === 'stage2') {
    list.push('EL2 applies writes in a context of its own on each node, which takes no time from the vCPUs');
  }
  if (spec.strategy === 'stage2' && spec.journal) {
    const record = spec.recordPs === 0 ? 'takes no time' : `takes ${formatDuration(spec.recordPs)}`;
    list.push(`a record of the hypervisor’s journal ${record} (hypervisor.recordTime, which nothing published gives)`);
  }
  if (spec.scrubPs > 0) {
    list.push(
      'scrubbing: EL2 knows the number of each word’s last write, a page is read at one moment, and the hypervisor compares hashes in no time',
    );
  }
  return list;
};
