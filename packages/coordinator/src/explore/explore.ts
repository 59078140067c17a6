import { InputError } from '@numalab/base';
import type { Verdict } from '@numalab/checkers';
import type { MachineSpec } from '@numalab/node-worker';
import { GUARANTEES, type Guarantee, type Protocol } from '@numalab/protocols';
import { withDeadline } from '../engine/deadline.ts';
import { isForeign, loopsForEver } from '../engine/protocol-ref.ts';
import { optionsOf } from '../machine/build-spec.ts';
import { fieldOf } from '../machine/place.ts';
import type { Scenario } from '../scenario/scenario.ts';
import { type MachineStep, searchMachine } from './machine-model.ts';
import type { Broken } from './monitor.ts';
import type { Coverage, Found } from './search.ts';
import { MOST_NODES, MOST_WRITES, smallMachine } from './small-machine.ts';
import { storyOf } from './story.ts';

/** How far a search goes. */
export interface Scope {
  /** Crashes in one run, of a node or of the hypervisor. */
  readonly crashes: number;
  /** Timers of the protocol that fire in one run at most: when nothing else can happen; and while something else can. */
  readonly timers: number;
  readonly earlyTimers: number;
  /** States, beyond which the search gives up. */
  readonly maxStates: number;
}

/** One way in which something does not hold. */
export interface ExploredFailure {
  /** What is alike in all of them. */
  readonly cause: string;
  readonly invariant: string;
  readonly message: string;
  /** States that show it. */
  readonly count: number;
  /** Choices until the first. */
  readonly events: number;
  /** Who does what, and what comes of it: the shortest way there. */
  readonly story: readonly string[];
}

/** A level that some state refutes, as a failure does or because the protocol does not promise it. */
export interface RefutedLevel extends Pick<ExploredFailure, 'message' | 'events' | 'story'> {
  readonly level: Guarantee;
}

/** What came of one search. */
export interface Explored extends Coverage {
  /** Protocol, or `session layer`. */
  readonly subject: string;
  readonly declared: Guarantee | null;
  /** The strongest level that no state refutes. */
  readonly held: Guarantee | null;
  readonly refuted: readonly RefutedLevel[];
  readonly verdict: Verdict;
  readonly failures: readonly ExploredFailure[];
  /** Transitions that crashes, or links that lose, repeat or damage, have made. */
  readonly faults: Readonly<Record<string, number>>;
  /** Its own bounds, in words. */
  readonly bounds: readonly string[];
  readonly wallMs: number;
}

const isAtLeast = (level: Guarantee, other: Guarantee): boolean =>
  GUARANTEES.indexOf(level) >= GUARANTEES.indexOf(other);

/** Whether a protocol that declares `declared` must not let this happen. */
const isDemanded = ({ guarantee }: Protocol, { id, level }: Broken): boolean => {
  if (id === 'level') return isAtLeast(guarantee, level!);
  return id === 'R4' ? isAtLeast(guarantee, 'ordered') : true;
};

const invariantOf = ({ id }: Broken): string => (id === 'level' ? 'R5' : id);

export const failureOf = (found: Broken & { readonly count: number }, story: readonly string[]): ExploredFailure => {
  const { message, count, level, id } = found;
  const what = id === 'level' ? `${level} does not hold` : id === 'error' ? 'the protocol throws' : message;
  return {
    cause: `${invariantOf(found)} ${what.replaceAll(/\d+/g, 'N')}`,
    invariant: invariantOf(found),
    message,
    count,
    events: story.length,
    story,
  };
};

const refutedOf = (
  found: readonly { readonly broken: Found<MachineStep>; readonly story: readonly string[] }[],
): RefutedLevel[] => {
  const refuted: RefutedLevel[] = [];
  for (const level of GUARANTEES) {
    const own = found.find(({ broken }) => broken.level === level);
    if (own !== undefined) {
      const { broken, story } = own;
      refuted.push({ level, message: broken.message, events: story.length, story });
    } else if (refuted.length > 0) refuted.push({ ...refuted.at(-1)!, level });
  }
  return refuted;
};

export const verdictOf = (failures: number, complete: boolean): Verdict => {
  if (failures > 0) return 'fail';
  return complete ? 'pass' : 'unknown';
};

/** Refuses a scenario that is beyond what can be searched. */
export const checkScope = (scenario: Scenario): void => {
  const { nodes } = scenario.machine;
  const { writes } = scenario.workload;
  if (nodes < 2 || nodes > MOST_NODES) {
    throw new InputError(
      fieldOf(scenario, 'machine.nodes'),
      `--exhaustive takes 2 to ${MOST_NODES} nodes, not ${nodes}`,
    );
  }
  if (writes !== null && (writes < 1 || writes > MOST_WRITES)) {
    throw new InputError(
      fieldOf(scenario, 'workload.writes'),
      `--exhaustive takes 1 to ${MOST_WRITES} writes, not ${writes}`,
    );
  }
  if (scenario.replication.strategy !== 'stage2') {
    throw new InputError(fieldOf(scenario, 'replication.strategy'), '--exhaustive is for stage2');
  }
};

/** Writes of a search of `scenario`, by the node that each comes from: the first of node 0, the next of node 1, and so on. */
export const originsOf = (scenario: Scenario): readonly number[] =>
  Array.from({ length: scenario.workload.writes ?? 2 }, (_, i) => i % scenario.machine.nodes);

/** The machine of a search: what differs between protocols is put onto `base`, for which a kernel has been made ready. */
export const specOf = (scenario: Scenario, protocol: Protocol, base: MachineSpec): MachineSpec => ({
  ...base,
  protocol: scenario.replication.protocol,
  protocolOptions: optionsOf(scenario, protocol),
  guarantee: protocol.guarantee,
});

const crashesText = (crashes: number): string => {
  if (crashes === 0) return 'no crashes';
  const where = "at any step of the hypervisor or of a node's EL2";
  return crashes === 1
    ? `1 crash at most, ${where}, so none while the machine recovers from one`
    : `${crashes} crashes at most, ${where}, recovery included`;
};

/** Everything that `protocol` can do within `scope` on the machine of `spec`, to which the nodes `origins` write in turn. */
export const exploreProtocol = async (
  spec: MachineSpec,
  protocol: Protocol,
  origins: readonly number[],
  scope: Scope,
  signal?: AbortSignal,
  progress?: (states: number) => void,
): Promise<Explored> => {
  const started = performance.now();
  const machine = smallMachine(spec, protocol, origins);
  const { maxStates, ...bounds } = scope;
  const {
    found,
    outcomes: _,
    ...covered
  } = await searchMachine(machine, bounds, {
    maxStates,
    isFailure: (broken) => isDemanded(protocol, broken),
    within: (piece) => (isForeign(spec.protocol) ? withDeadline(piece, () => loopsForEver(spec.protocol)) : piece()),
    ...(signal === undefined ? {} : { signal }),
    ...(progress === undefined ? {} : { progress }),
  });
  const told = found.map((broken) => ({ broken, story: storyOf(broken.path) }));
  const failures = told
    .filter(({ broken }) => isDemanded(protocol, broken))
    .map(({ broken, story }) => failureOf(broken, story));
  const refuted = refutedOf(told);
  return {
    subject: protocol.name,
    declared: protocol.guarantee,
    held: GUARANTEES.filter((level) => refuted.every((other) => other.level !== level)).at(-1) ?? null,
    refuted,
    verdict: verdictOf(failures.length, covered.complete),
    failures,
    bounds: [
      `${spec.nodes} nodes`,
      `${origins.length} writes to the same words, of different nodes`,
      crashesText(scope.crashes),
      `timers only when nothing else can happen${scope.earlyTimers > 0 ? `, but ${scope.earlyTimers} earlier` : ''}, ${scope.timers} at most`,
    ],
    ...covered,
    wallMs: performance.now() - started,
  };
};
