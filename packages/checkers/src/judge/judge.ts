import { collect } from '@numalab/base';
import type { HypervisorReport } from '@numalab/hypervisor';
import type { Finding, MachineSpec, NodeReport } from '@numalab/node-worker';
import { GUARANTEES, type Guarantee } from '@numalab/protocols';
import { Budget } from './budget.ts';
import type { Refutation } from './counter-example.ts';
import { type AppliedJudgement, judgeApplied, WritePages } from './judge-applied.ts';
import { type FetchJudgement, judgeFetches } from './judge-fetches.ts';
import { judgePools } from './judge-pools.ts';
import { judgeProgress } from './judge-progress.ts';
import { judgeReplicas, judgeWrites } from './judge-replicas.ts';
import { judgeStores } from './judge-stores.ts';
import { appliedAtOf, brokenLevel, isAtLeast, refutations, strongestHeld } from './levels.ts';
import { RULES, ruleOf } from './rules.ts';
import { type TimedWrite, timedWrites } from './timeline.ts';

export type Verdict = 'pass' | 'fail' | 'unknown';

/** A rule's result over a run: how often it was put to the test, and whether it held. */
export interface RuleResult {
  readonly id: string;
  readonly says: string;
  readonly held: boolean;
  /** Whether the declared level asks for it: a rule that nobody asked for breaks nothing. */
  readonly demanded: boolean;
  readonly evidence: number;
  /** Everything of it was judged before the budget ran out. */
  readonly complete: boolean;
  /** What its judge cannot tell. */
  readonly doesNotVerify: string;
  /** The first finding, if it did not hold. */
  readonly example: Finding | null;
}

export interface JudgeInput {
  readonly spec: MachineSpec;
  readonly nodes: readonly NodeReport[];
  readonly hypervisor: HypervisorReport;
  /** Value of a word (offset from `_text` in words) when replication began. */
  readonly valueAtBoot: (word: number) => number;
  /** Findings of the judges of tables and translations: T1 to T6. */
  readonly tableFindings: readonly Finding[];
  /** Table entries, edits and cached translations that those judged. */
  readonly tableEvidence: Readonly<Record<string, number>>;
  readonly minEvidence: number;
  /** Entries of the history that judges may look at; default: all. */
  readonly budget?: number;
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

/** Rules that only some levels ask for: the weakest of these. */
const DEMANDED_FROM: Readonly<Record<string, Guarantee>> = { R4: 'ordered', X1: 'completed', K1: 'completed' };
/** Rules whose judges the budget can stop. */
const BUDGETED: ReadonlySet<string> = new Set(['R3', 'R5', 'R6', 'X1', 'K1']);

/** A finding as one line: the cause first, then the rule. */
export const findingText = ({ id, message }: Finding): string => `${message} (${id}: ${ruleOf(id).says})`;

const isDemanded = (id: string, spec: MachineSpec, declared: Guarantee | null): boolean => {
  if (id === 'R6') return spec.wholeWrites ?? false;
  const from = DEMANDED_FROM[id];
  return from === undefined || isAtLeast(declared, from);
};

/** Findings of every rule, whether it is asked for or not. */
const findingsOf = (
  input: JudgeInput,
  writes: readonly TimedWrite[],
  fetches: FetchJudgement,
  applied: readonly AppliedJudgement[],
  replicas: ReturnType<typeof judgeReplicas>,
  level: readonly Finding[],
): {
  readonly found: Readonly<Record<string, readonly Finding[]>>;
  readonly tests: Readonly<Record<string, number>>;
} => {
  const { nodes, interrupted, tableFindings } = input;
  const known = [...nodes.flatMap((node) => node.findings), ...tableFindings];
  const of = (id: string): Finding[] => (known.length === 0 ? [] : known.filter((finding) => finding.id === id));
  const progress = interrupted ? { findings: [], tests: 0 } : judgeProgress(nodes, input.hypervisor);
  const found: Record<string, readonly Finding[]> = {
    R1: replicas.findings,
    R2: [...judgeWrites(input, writes, applied), ...of('R2')],
    R3: [...of('R3'), ...fetches.invented],
    R4: of('R4'),
    R5: level,
    R6: fetches.torn,
    X1: fetches.late,
    K1: fetches.comparisons,
    E1: [...of('E1'), ...judgeStores(nodes, writes)],
    T1: of('T1'),
    T2: of('T2'),
    T3: of('T3'),
    T4: of('T4'),
    T5: of('T5'),
    T6: of('T6'),
    L1: progress.findings,
    M1: [...of('M1'), ...judgePools(nodes)],
  };
  const { evidence } = fetches;
  const tests = {
    R1: replicas.compared,
    R2: writes.length,
    R3: nodes.reduce((sum, node) => sum + node.counts.fetches + node.counts.loads, 0),
    R4: evidence.fetches,
    R6: evidence.wholeWrites,
    X1: evidence.synchronisations,
    K1: evidence.comparisons,
    E1: nodes.reduce((sum, node) => sum + node.counts.emulationsChecked, 0),
    L1: progress.tests,
    M1: nodes.length,
    ...input.tableEvidence,
  };
  return { found, tests };
};

/** What each node's log of its copy says; nothing where nothing is replicated, and none of the primary where nothing traps. */
export const judgeLogs = (
  { spec, nodes, interrupted }: JudgeInput,
  writes: readonly TimedWrite[],
): AppliedJudgement[] => {
  if (spec.strategy === 'none') return [];
  const byPage = new WritePages(spec, writes);
  const copies = spec.strategy === 'stage1' ? nodes.slice(1) : nodes;
  return collect(copies, ({ id, applied }) => judgeApplied(id, applied, byPage, !interrupted));
};

/**
 * Decides a run: every rule of the list, the strongest level that held, and the verdict. Pass: nothing is broken and the
 * declared level held with enough evidence. Unknown: nothing is broken, but too few fetches could have broken it, or the
 * budget ended first. What each rule's judge verifies and does not is in {@link RULES}.
 */
export const judge = (input: JudgeInput): Judgement => {
  const { spec, nodes, minEvidence } = input;
  const declared = spec.strategy === 'stage2' ? spec.guarantee : null;
  const writes = timedWrites(spec, nodes, input.hypervisor);
  const budget = new Budget(input.budget ?? Infinity);
  const nodeOf = (cpu: number): number => Math.floor(cpu / spec.coresPerNode);
  const writerOf = (number: number): number => {
    const write = writes[number - 1];
    return write === undefined || write.node < 0 ? -1 : write.node * spec.coresPerNode + write.core;
  };
  const fetches = judgeFetches(nodes, writes, writerOf, input.valueAtBoot, budget);
  const applied = judgeLogs(input, writes);
  const applications = nodes.reduce((sum, node) => sum + node.applied.kinds.length, 0);
  const replicas = judgeReplicas(input, writes);
  const evidence: Record<Guarantee, number> = {
    eventual: replicas.compared,
    ordered: spec.strategy === 'stage2' ? Math.min(applications, fetches.evidence.ordered) : fetches.evidence.ordered,
    completed: fetches.evidence.completed,
    atomic: fetches.evidence.atomic,
  };
  const disordered = applied.flatMap(({ ordered }) => ordered ?? []);
  const refuted = refutations(replicas.findings, disordered, fetches.shortest, {
    writes,
    writerOf,
    nodeOf,
    appliedAt: appliedAtOf(nodes),
  });
  const unjudged: readonly Guarantee[] = budget.exhausted ? ['completed', 'atomic'] : [];
  // A run without writes holds what it declares vacuously.
  const held = writes.length === 0 ? declared : strongestHeld(refuted, evidence, minEvidence, unjudged);
  const { found, tests } = findingsOf(input, writes, fetches, applied, replicas, brokenLevel(declared, refuted));
  const rules = collect(RULES, ({ id, says, doesNotVerify }): RuleResult => {
    const findings = found[id]!;
    const count = id === 'R5' ? (declared === null ? 0 : evidence[declared]) : (tests[id as keyof typeof tests] ?? 0);
    return {
      id,
      says,
      held: findings.length === 0,
      demanded: isDemanded(id, spec, declared),
      evidence: count,
      complete: !budget.exhausted || !BUDGETED.has(id),
      doesNotVerify,
      example: findings[0] ?? null,
    };
  });
  const violations = rules.flatMap(({ id, demanded }) => (demanded ? found[id]! : []));
  const exhausted = budget.exhausted ? (input.budget ?? 0) : -1;
  const { verdict, reason } = decide(input, { declared, held, evidence, violations, exhausted, writes: writes.length });
  return { verdict, reason, declared, held, evidence, refuted, violations, rules, writes };
};

interface Decision {
  readonly declared: Guarantee | null;
  readonly held: Guarantee | null;
  readonly evidence: Readonly<Record<Guarantee, number>>;
  readonly violations: readonly Finding[];
  /** The budget that ran out, -1: none did. */
  readonly exhausted: number;
  readonly writes: number;
}

const decide = (input: JudgeInput, decision: Decision): { verdict: Verdict; reason: string } => {
  const { expect, minEvidence } = input;
  const { declared, held, evidence, violations, exhausted, writes } = decision;
  if (expect.length > 0) {
    const missing = expect.filter((id) => !violations.some((finding) => finding.id === id));
    const other = violations.find((finding) => !expect.includes(finding.id));
    if (other !== undefined) return { verdict: 'fail', reason: findingText(other) };
    if (missing.length > 0)
      return { verdict: 'fail', reason: `expected to be broken, but held: ${missing.join(', ')}` };
    return { verdict: 'pass', reason: `broken as expected: ${expect.join(', ')}` };
  }
  if (violations.length > 0) return { verdict: 'fail', reason: findingText(violations[0]!) };
  if (exhausted >= 0) {
    const reason = `no rule was broken in what was judged, but the budget of ${exhausted} entries ran out`;
    return { verdict: 'unknown', reason };
  }
  if (declared === null || writes === 0) return { verdict: 'pass', reason: 'no rule was broken' };
  if (isAtLeast(held, declared)) return { verdict: 'pass', reason: `${declared} held, and no rule was broken` };
  const weak = GUARANTEES.find((level) => evidence[level] < minEvidence)!;
  return {
    verdict: 'unknown',
    reason: `no rule was broken, but only ${evidence[weak]} of ${minEvidence} fetches could have refuted ${weak}`,
  };
};
