/** A known bug that the machine can be given. */
export interface BugEntry {
  /** Its number in the catalogue. */
  readonly id: string;
  readonly title: string;
  /** The rule that catches it. */
  readonly rule: string;
  /** The built-in scenario that shows it within 200 seeds, and what is changed there. */
  readonly scenario: string;
  readonly set: readonly string[];
}

const writers = (list: string): string => `kernel.writers=[${list}]`;
const JUMP_LABELS = writers('{ kind: jump-label, rate: 200k/s, keys: 3, batch: 1, cpus: [0, 2] }');
const SHORT = ['workload.duration=100us', 'workload.duty=0.5', 'machine.coresPerNode=3'];
const by = (protocol: string, ...set: readonly string[]): readonly string[] => [
  ...SHORT,
  JUMP_LABELS,
  `replication.protocol=${protocol}`,
  ...set,
];

/** The bugs that exist as switches, by number. Each is a few lines where the right code stands; see `MachineSpec.bugs`. */
export const BUGS: readonly BugEntry[] = [
  {
    id: '9',
    title: 'cache maintenance reaches the issuing node’s copy alone',
    rule: 'R5',
    scenario: 'small',
    set: by('ack', 'machine.ctr={ idc: false, dic: false }'),
  },
  {
    id: '13',
    title: 'no barrier after a descriptor is stored: the walker does not see the new mapping',
    rule: 'R2',
    scenario: 'small',
    set: by('ack'),
  },
  {
    id: '14',
    title: 'a TLBI is given the wrong address',
    rule: 'T4',
    scenario: 'small',
    set: by('bbm'),
  },
  {
    id: '27',
    title: 'TLBI without the DSB that completes it',
    rule: 'T4',
    scenario: 'small',
    set: by('bbm'),
  },
  {
    id: '28',
    title: 'a path forgets its TLBI',
    rule: 'T4',
    scenario: 'small',
    set: by('bbm'),
  },
  {
    id: '31',
    title: 'VTTBR_EL2.CnP is set although roots differ',
    rule: 'T6',
    scenario: 'small',
    set: by('ack'),
  },
  {
    id: '33',
    title: 'a page is left writable when it is mapped again',
    rule: 'T2',
    scenario: 'small',
    set: by('bbm'),
  },
];

/** Ids that `--bug` takes. */
export const BUG_IDS: readonly string[] = BUGS.map(({ id }) => id);
