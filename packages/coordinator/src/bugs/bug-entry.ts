/** A known bug that the machine can be given. */
export interface BugEntry {
  /** Its number in the catalogue. */
  readonly id: string;
  readonly title: string;
  /** Where it happened: a commit, an advisory or an issue; or that it was derived for this design. */
  readonly origin: string;
  /** The rule that catches it. */
  readonly rule: string;
  /** A seed that shows it. */
  readonly seed: number;
  /** The built-in scenario that shows it within 200 seeds, and what is changed there. */
  readonly scenario: string;
  readonly set: readonly string[];
}

/** The origin of what no history is known of. */
export const DERIVED = 'derived';

const SHORT = ['workload.duration=100us', 'workload.duty=0.5', 'workload.focus=0.8', 'machine.coresPerNode=3'];

/** Writers of a scenario, instead of those that it has. */
export const writers = (...list: readonly string[]): string => `kernel.writers=[${list.join(', ')}]`;

/** Faults that a scenario plans. */
export const faults = (...list: readonly string[]): string => `faults=[${list.join(', ')}]`;

/** Jump labels from two cores of different nodes, again and again. */
export const JUMP_LABELS: string = writers('{ kind: jump-label, rate: 200k/s, keys: 3, batch: 1, cpus: [0, 4] }');
/** Distinguishable stores from all cores, several in flight, to few places. */
export const STORES: string = writers('{ kind: synthetic, rate: 2M/s, sites: 2, width: 4, inFlight: 6 }');

/** A short run of `protocol`, with jump labels unless `set` says otherwise. */
export const by = (protocol: string, ...set: readonly string[]): readonly string[] => [
  ...SHORT,
  JUMP_LABELS,
  `replication.protocol=${protocol}`,
  ...set,
];
