import type { HypervisorReport } from '@numalab/hypervisor';
import type { Finding, MachineSpec, NodeReport, Synchronisation } from '@numalab/node-worker';
import { GUARANTEES, type Guarantee } from '@numalab/protocols';
import { type AppliedJudgement, judgeApplied, WritePages } from './judge-applied.ts';
import { lateExecutions } from './judge-executions.ts';
import { judgeReplicas, judgeWrites } from './judge-replicas.ts';
import { type CounterExample, judgeWord } from './judge-word.ts';
import { type TimedWrite, timedWrites, versionsByWord } from './timeline.ts';

export type Verdict = 'pass' | 'fail' | 'unknown';

/** A rule's result over a run: how often it was put to the test, and whether it held. */
export interface RuleResult {
  readonly id: string;
  readonly held: boolean;
  readonly evidence: number;
}

/** A level that fetches or applications refuted, with the shortest counter-example. */
export interface Refutation {
  readonly level: Guarantee;
  readonly message: string;
  readonly timePs: number;
}

export interface JudgeInput {
  readonly spec: MachineSpec;
  readonly nodes: readonly NodeReport[];
  readonly hypervisor: HypervisorReport;
  /** Value of a word (offset from `_text` in words) when replication began. */
  readonly valueAtBoot: (word: number) => number;
  /** Findings of the judges of tables: T1 to T4, T6. */
  readonly tableFindings: readonly Finding[];
  /** Table entries and edits that those judged. */
  readonly tableEvidence: Readonly<Record<string, number>>;
  readonly minEvidence: number;
  /** The run was cut off: what was under way is nobody's fault. */
  readonly interrupted: boolean;
  /** Rules that must be broken: the run passes only if each was, and no other. */
  readonly expect: readonly string[];
}

export interface Judgement {
  readonly verdict: Verdict;
  /** Why the verdict is what it is, in one line. */
  readonly reason: string;
  readonly declared: Guarantee | null;
  readonly held: Guarantee | null;
  readonly evidence: Readonly<Record<Guarantee, number>>;
  readonly refuted: readonly Refutation[];
  readonly violations: readonly Finding[];
  readonly rules: readonly RuleResult[];
  readonly writes: readonly TimedWrite[];
}

const earliest = <Timed extends { readonly timePs: number }>(items: readonly Timed[]): Timed | null =>
  items.reduce<Timed | null>((best, item) => (best === null || item.timePs < best.timePs ? item : best), null);

interface Fetches {
  readonly counterExamples: readonly CounterExample[];
  readonly invented: readonly Finding[];
  readonly late: readonly Finding[];
  readonly evidence: { completed: number; atomic: number; ordered: number; fetches: number; synchronisations: number };
}

const judgeFetches = (input: JudgeInput, writes: readonly TimedWrite[]): Fetches => {
  const { coresPerNode } = input.spec;
  const writerOf = (number: number): number => {
    const write = writes[number - 1];
    return write === undefined ? -1 : write.node * coresPerNode + write.core;
  };
  const byWord = versionsByWord(writes, input.valueAtBoot);
  const logs = new Map<number, NodeReport['words'][number][]>();
  const counterExamples: CounterExample[] = [];
  const invented: Finding[] = [];
  const late: Finding[] = [];
  const evidence = { completed: 0, atomic: 0, ordered: 0, fetches: 0, synchronisations: 0 };
  for (const node of input.nodes) {
    for (const log of node.words) {
      const list = logs.get(log.word);
      if (list === undefined) logs.set(log.word, [log]);
      else list.push(log);
    }
  }
  const syncs = new Map<number, Synchronisation[]>();
  for (const node of input.nodes) {
    for (const sync of node.synchronisations) {
      evidence.synchronisations++;
      const list = syncs.get(sync.word);
      if (list === undefined) syncs.set(sync.word, [sync]);
      else list.push(sync);
    }
  }
  for (const [word, wordLogs] of logs) {
    const value = input.valueAtBoot(word);
    const versions = byWord.get(word) ?? [{ number: 0, value, begin: -Infinity, end: -Infinity }];
    const judged = judgeWord(word, versions, wordLogs);
    counterExamples.push(...judged.counterExamples);
    for (const { message, timePs } of judged.invented) invented.push({ id: 'R3', message, timePs });
    late.push(...lateExecutions(word, judged.sights, writerOf, syncs.get(word) ?? []));
    evidence.completed += judged.completedEvidence;
    evidence.atomic += judged.atomicEvidence;
    for (const log of wordLogs) {
      for (let i = 0; i < log.numbers.length; i++) {
        evidence.fetches += log.counts[i]!;
        if (log.numbers[i]! > 0) evidence.ordered += log.counts[i]!;
      }
    }
  }
  return { counterExamples, invented, late, evidence };
};

const isAtLeast = (level: Guarantee | null, other: Guarantee): boolean =>
  level !== null && GUARANTEES.indexOf(level) >= GUARANTEES.indexOf(other);

/** The strongest level that nothing refutes and that enough fetches could have refuted. */
const strongestHeld = (
  refuted: readonly Refutation[],
  evidence: Readonly<Record<Guarantee, number>>,
  minEvidence: number,
): Guarantee | null => {
  let held: Guarantee | null = null;
  for (const level of GUARANTEES) {
    if (refuted.some((refutation) => refutation.level === level) || evidence[level] < minEvidence) break;
    held = level;
  }
  return held;
};

const refutations = (
  applied: readonly AppliedJudgement[],
  fetches: Fetches,
  diverged: readonly Finding[],
): Refutation[] => {
  const out: Refutation[] = [];
  const add = (level: Guarantee, finding: { message: string; timePs: number } | null | undefined): void => {
    if (finding) out.push({ level, message: finding.message, timePs: finding.timePs });
  };
  add('eventual', diverged[0]);
  add('ordered', earliest(applied.flatMap(({ ordered }) => ordered ?? [])));
  for (const level of ['completed', 'atomic'] as const) {
    add(level, earliest(fetches.counterExamples.filter((example) => example.level === level)));
  }
  return out;
};

/** What each node's log of its copy says; nothing where nothing is replicated, and none of the primary where nothing traps. */
export const judgeLogs = (
  { spec, nodes, interrupted }: JudgeInput,
  writes: readonly TimedWrite[],
): AppliedJudgement[] => {
  if (spec.strategy === 'none') return [];
  const byPage = new WritePages(spec, writes);
  const copies = spec.strategy === 'stage1' ? nodes.slice(1) : nodes;
  return copies.map(({ id, applied }) => judgeApplied(id, applied, byPage, !interrupted));
};

/**
 * Decides a run: every rule of the list, the strongest level that held, and the verdict. Pass: nothing is broken and the
 * declared level held with enough evidence. Unknown: nothing is broken, but too few fetches could have broken it.
 */
export const judge = (input: JudgeInput): Judgement => {
  const { spec, nodes, minEvidence } = input;
  const declared = spec.strategy === 'stage2' ? spec.guarantee : null;
  const writes = timedWrites(spec, nodes, input.hypervisor);
  const fetches = judgeFetches(input, writes);
  const replicas = judgeReplicas(input, writes);
  const applied = judgeLogs(input, writes);
  const lost = judgeWrites(input, writes, applied);
  const applications = nodes.reduce((sum, node) => sum + node.applied.kinds.length, 0);
  const evidence: Record<Guarantee, number> = {
    eventual: replicas.compared,
    ordered: spec.strategy === 'stage2' ? Math.min(applications, fetches.evidence.ordered) : fetches.evidence.ordered,
    completed: fetches.evidence.completed,
    atomic: fetches.evidence.atomic,
  };
  const refuted = refutations(applied, fetches, replicas.findings);
  // A run without writes holds what it declares vacuously.
  const held = writes.length === 0 ? declared : strongestHeld(refuted, evidence, minEvidence);
  const fromNodes = (id: string): Finding[] =>
    nodes.flatMap((node) => node.findings.filter((finding) => finding.id === id));
  const broken = new Map<string, readonly Finding[]>([
    ['R1', replicas.findings],
    ['R2', [...lost, ...fromNodes('R2')]],
    ['R3', [...fromNodes('R3'), ...fetches.invented]],
    ['R4', isAtLeast(declared, 'ordered') ? fromNodes('R4') : []],
    ['R5', brokenLevel(declared, refuted)],
    ['X1', isAtLeast(declared, 'completed') ? fetches.late : []],
    ['K1', isAtLeast(declared, 'completed') ? nodes.flatMap((node) => node.comparisons) : []],
    ['E1', fromNodes('E1')],
    ...['T1', 'T2', 'T3', 'T4', 'T6'].map((id): [string, Finding[]] => [
      id,
      input.tableFindings.filter((f) => f.id === id),
    ]),
    ['L1', input.interrupted ? [] : [...fromNodes('L1'), ...stuck(nodes)]],
    ['M1', [...fromNodes('M1'), ...input.tableFindings.filter((f) => f.id === 'M1')]],
  ]);
  const tested: Record<string, number> = {
    R1: replicas.compared,
    R2: writes.length,
    R3: nodes.reduce((sum, node) => sum + node.counts.fetches + node.counts.loads, 0),
    R4: fetches.evidence.fetches,
    R5: declared === null ? 0 : evidence[declared],
    X1: fetches.evidence.synchronisations,
    K1: nodes.reduce((sum, node) => sum + node.counts.compared, 0),
    E1: nodes.reduce((sum, node) => sum + node.counts.emulationsChecked, 0),
    L1: nodes.length,
    M1: nodes.length,
    ...input.tableEvidence,
  };
  const violations = [...broken.values()].flat();
  const rules = [...broken].map(([id, findings]) => ({ id, held: findings.length === 0, evidence: tested[id] ?? 0 }));
  const { verdict, reason } = decide(input, declared, held, evidence, violations, writes.length);
  return { verdict, reason, declared, held, evidence, refuted, violations, rules, writes };
};

const stuck = (nodes: readonly NodeReport[]): Finding[] =>
  nodes.flatMap((node) => node.stuck.map((message) => ({ id: 'L1', message, timePs: 0 })));

const brokenLevel = (declared: Guarantee | null, refuted: readonly Refutation[]): Finding[] =>
  refuted
    .filter(({ level }) => isAtLeast(declared, level))
    .map(({ level, message, timePs }) => ({ id: 'R5', message: `${level} does not hold: ${message}`, timePs }));

const decide = (
  input: JudgeInput,
  declared: Guarantee | null,
  held: Guarantee | null,
  evidence: Readonly<Record<Guarantee, number>>,
  violations: readonly Finding[],
  writes: number,
): { verdict: Verdict; reason: string } => {
  const { expect, minEvidence } = input;
  if (expect.length > 0) {
    const missing = expect.filter((id) => !violations.some((finding) => finding.id === id));
    const others = violations.filter((finding) => !expect.includes(finding.id));
    if (others.length > 0) return { verdict: 'fail', reason: `${others[0]!.id}: ${others[0]!.message}` };
    if (missing.length > 0)
      return { verdict: 'fail', reason: `expected to be broken, but held: ${missing.join(', ')}` };
    return { verdict: 'pass', reason: `broken as expected: ${expect.join(', ')}` };
  }
  if (violations.length > 0) return { verdict: 'fail', reason: `${violations[0]!.id}: ${violations[0]!.message}` };
  if (declared === null || writes === 0) return { verdict: 'pass', reason: 'no rule was broken' };
  if (isAtLeast(held, declared)) return { verdict: 'pass', reason: `${declared} held, and no rule was broken` };
  const weak = GUARANTEES.find((level) => evidence[level] < minEvidence)!;
  return {
    verdict: 'unknown',
    reason: `no rule was broken, but only ${evidence[weak]} of ${minEvidence} fetches could have refuted ${weak}`,
  };
};
