import { watchTables } from '@numalab/checkers';
import {
  buildSpec,
  type CheckOptions,
  InlineMachine,
  type JudgedRun,
  judgeRaw,
  parseScenario,
} from '@numalab/coordinator';
import { type Guarantee, PROTOCOLS, type Protocol } from '@numalab/protocols';

/** Two nodes with three cores each that execute half of the time, for a short while; `set` is applied on top. */
const BASE = [
  'machine.nodes=2',
  'machine.coresPerNode=3',
  'machine.memoryPerNode=512MiB',
  'workload.duration=300us',
  'workload.duty=0.5',
];

/** What a test changes of the small machine. */
export interface Setup {
  /** A built-in protocol, or the test's own. Default: ack. */
  readonly protocol?: Protocol | string;
  /** `path=value`, as on the command line. */
  readonly set?: readonly string[];
  readonly seed?: number;
  readonly windowDivisor?: number;
  /** Called when the machine has booted. */
  readonly meddle?: (machine: InlineMachine) => void;
  /** Called when the run is over, before it is judged. */
  readonly spoil?: (machine: InlineMachine) => void;
  readonly checks?: Partial<CheckOptions>;
}

export const writers = (...list: readonly string[]): string => `kernel.writers=[${list.join(', ')}]`;

/** Few jump labels, patched often by the first core of each node; the others have time to fetch. */
export const JUMP_LABELS: string = writers('{ kind: jump-label, rate: 200k/s, keys: 3, batch: 1, cpus: [0, 3] }');

/** Builds the machine, lets the test meddle with it, runs it to its end and judges it; the machine is there to look into. */
export const runAndKeep = async (setup: Setup = {}): Promise<{ judged: JudgedRun; machine: InlineMachine }> => {
  const { protocol = 'ack', set = [], seed = 1, windowDivisor = 1, meddle, spoil, checks } = setup;
  const used: Protocol = typeof protocol === 'string' ? PROTOCOLS[protocol]! : protocol;
  const guarantee: Guarantee = used.guarantee;
  const named = typeof protocol === 'string' ? [`replication.protocol=${protocol}`] : [];
  const scenario = parseScenario('{}', { set: [...BASE, ...named, JUMP_LABELS, ...set] });
  const prepared = buildSpec(scenario, seed);
  const spec = { ...prepared.spec, guarantee, wholeWrites: used.wholeWrites === true };
  const machine = new InlineMachine(spec, used, prepared.watch, watchTables, windowDivisor);
  meddle?.(machine);
  const raw = await machine.run();
  spoil?.(machine);
  return { judged: judgeRaw(spec, raw, { minEvidence: 1, expect: [], ...checks }), machine };
};

/** {@link runAndKeep}, for who wants the judgement alone. */
export const run = async (setup: Setup = {}): Promise<JudgedRun> => (await runAndKeep(setup)).judged;

/** Ids of the broken rules, each once, in order. */
export const brokenRules = ({ judgement }: JudgedRun): string[] =>
  [...new Set(judgement.violations.map(({ id }) => id))].sort();

/** Messages of one rule's violations. */
export const messagesOf = ({ judgement }: JudgedRun, id: string): string[] =>
  judgement.violations.filter((finding) => finding.id === id).map(({ message }) => message);

/** How often a rule was put to the test. */
export const evidenceOf = ({ judgement }: JudgedRun, id: string): number =>
  judgement.rules.find((rule) => rule.id === id)!.evidence;
