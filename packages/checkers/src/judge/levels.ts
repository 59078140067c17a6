import { APPLY_STORE, type Finding, type NodeReport } from '@numalab/node-worker';
import { GUARANTEES, type Guarantee } from '@numalab/protocols';
import {
  type CounterExample,
  type FetchSeen,
  ns,
  place,
  type Refutation,
  type Shortest,
  type WriteSeen,
  writer,
} from './counter-example.ts';
import type { TimedWrite } from './timeline.ts';

/** When `node` had `number` in its copy, and how; null if never. */
export type AppliedAt = (node: number, number: number) => number | null;

export const isAtLeast = (level: Guarantee | null, other: Guarantee): boolean =>
  level !== null && GUARANTEES.indexOf(level) >= GUARANTEES.indexOf(other);

/** What was late or missing: the message that would have kept the last fetch from seeing what it saw. */
const lateness = (node: number, write: number, fetch: FetchSeen, appliedAt: AppliedAt): string => {
  const at = appliedAt(node, write);
  if (at === null) return `node ${node} never applied write ${write}`;
  if (at > fetch.issuePs) return `node ${node} stored write ${write} only at ${ns(at)}`;
  return `node ${node} had stored write ${write} at ${ns(at)}, and its maintenance had not reached CPU ${fetch.cpu}`;
};

const describe = (
  example: CounterExample,
  writerCpu: number,
  nodeOf: (cpu: number) => number,
  at: AppliedAt,
): string => {
  const { kind, word, write, fetches } = example;
  const last = fetches.at(-1)!;
  const node = nodeOf(last.cpu);
  const subject = `write ${write.number}${writer(writerCpu)} to ${place(word)}`;
  const saw = `CPU ${last.cpu} on node ${node} issued a fetch at ${ns(last.issuePs)} that still saw write ${last.number}`;
  if (kind === 'late') {
    return `${subject} had ended at ${ns(write.end)}, and ${saw}; ${lateness(node, write.number, last, at)}`;
  }
  if (kind === 'back') {
    const first = fetches[0]!;
    return `${subject} was seen by a fetch of CPU ${first.cpu} that ended at ${ns(first.endPs)}, and ${saw}; ${lateness(node, write.number, last, at)}`;
  }
  return `${subject} began at ${ns(write.begin)}, and a fetch of CPU ${last.cpu} on node ${node} that had ended at ${ns(last.endPs)} saw write ${last.number}`;
};

/** What is needed to put counter-examples into words. */
export interface Evidence {
  readonly writes: readonly TimedWrite[];
  readonly writerOf: (number: number) => number;
  readonly nodeOf: (cpu: number) => number;
  readonly appliedAt: AppliedAt;
}

const writeSeen = ({ writes, writerOf }: Evidence, number: number): WriteSeen[] => {
  const write = writes[number - 1];
  if (write === undefined) return [];
  const { begin, end } = write;
  return [{ number, cpu: writerOf(number), beginPs: begin, endPs: Number.isFinite(end) ? end : null }];
};

const fromFetches = (level: 'completed' | 'atomic', shortest: Shortest, evidence: Evidence): Refutation | null => {
  const example = shortest.of(level);
  if (example === undefined) return null;
  const { word, write, fetches, from, to } = example;
  const numbers = [...new Set([write.number, ...fetches.map(({ number }) => number)])].sort((a, b) => a - b);
  return {
    level,
    message: describe(example, evidence.writerOf(write.number), evidence.nodeOf, evidence.appliedAt),
    timePs: to,
    spanPs: to - from,
    offset: word * 4,
    writes: numbers.flatMap((number) => writeSeen(evidence, number)),
    fetches,
    found: shortest.found(level),
  };
};

/** A refutation by a finding that no fetch was needed for. */
const fromFinding = (level: Guarantee, findings: readonly Finding[]): Refutation | null => {
  const first = findings.reduce<Finding | null>(
    (best, one) => (best === null || one.timePs < best.timePs ? one : best),
    null,
  );
  if (first === null) return null;
  const { message, timePs } = first;
  return { level, message, timePs, spanPs: 0, offset: -1, writes: [], fetches: [], found: findings.length };
};

const shorter = (a: Refutation, b: Refutation): boolean => {
  const operations = (of: Refutation): number => of.writes.length + of.fetches.length;
  return operations(a) < operations(b) || (operations(a) === operations(b) && a.spanPs <= b.spanPs);
};

/**
 * The refuted levels, weakest first, each with its shortest counter-example. A level includes those before it, so what refutes
 * a level refutes the stronger ones too; they name their own counter-example if they have one that is shorter.
 */
export const refutations = (
  diverged: readonly Finding[],
  disordered: readonly Finding[],
  shortest: Shortest,
  evidence: Evidence,
): readonly Refutation[] => {
  const out: Refutation[] = [];
  const own: Readonly<Record<Guarantee, Refutation | null>> = {
    eventual: fromFinding('eventual', diverged),
    ordered: fromFinding('ordered', disordered),
    completed: fromFetches('completed', shortest, evidence),
    atomic: fromFetches('atomic', shortest, evidence),
  };
  for (const level of GUARANTEES) {
    const before = out.at(-1);
    const inherited = before === undefined ? null : { ...before, level };
    const found = own[level];
    if (found === null) {
      if (inherited !== null) out.push(inherited);
    } else
      out.push(inherited !== null && inherited.fetches.length > 0 && shorter(inherited, found) ? inherited : found);
  }
  return out;
};

/** The strongest level that nothing refutes and that enough fetches could have refuted. */
export const strongestHeld = (
  refuted: readonly Refutation[],
  evidence: Readonly<Record<Guarantee, number>>,
  minEvidence: number,
  unjudged: readonly Guarantee[],
): Guarantee | null => {
  let held: Guarantee | null = null;
  for (const level of GUARANTEES) {
    const isRefuted = refuted.some((refutation) => refutation.level === level);
    if (isRefuted || evidence[level] < minEvidence || unjudged.includes(level)) break;
    held = level;
  }
  return held;
};

/** R5: the weakest of the refuted levels that the protocol declares or includes. */
export const brokenLevel = (declared: Guarantee | null, refuted: readonly Refutation[]): Finding[] => {
  const first = refuted.find(({ level }) => isAtLeast(declared, level));
  if (first === undefined) return [];
  const { level, message, timePs } = first;
  const rule = level === declared ? `${level} does not hold` : `${level} does not hold, which ${declared} includes`;
  return [{ id: 'R5', message: `${message}; ${rule}`, timePs }];
};

/** Looks up when nodes applied writes: read from their logs when it is asked, which is once for each message. */
export const appliedAtOf =
  (nodes: readonly NodeReport[]): AppliedAt =>
  (node, number) => {
    const log = nodes.find(({ id }) => id === node)?.applied;
    const at = log?.kinds.findIndex((kind, i) => kind === APPLY_STORE && log.subjects[i] === number) ?? -1;
    return at < 0 ? null : log!.times[at]!;
  };
