import type { Finding, LiveCount, LiveNodeReport, MachineSpec, WordLog } from '@numalab/node-worker';
import { GUARANTEES, type Guarantee } from '@numalab/protocols';
import { byWord } from './by-word.ts';
import { type Refutation, Shortest } from './counter-example.ts';
import type { Judgement, RuleResult, Verdict } from './judge.ts';
import { lateExecutions } from './judge-executions.ts';
import { judgeWord } from './judge-word.ts';
import { brokenLevel, isAtLeast, strongestHeld } from './levels.ts';
import { ruleOf } from './rules.ts';
import { type TimedWrite, versionsByWord } from './timeline.ts';

/** What a live run left to judge. Moments are picoseconds of real time since it began. */
export interface LiveJudgeInput {
  readonly spec: MachineSpec;
  readonly nodes: readonly LiveNodeReport[];
  /** The writes on record, from number 1. */
  readonly writes: readonly TimedWrite[];
  /** What the record's ticks are as moments. */
  readonly timeOf: (tick: number) => number;
  readonly valueAtBoot: (word: number) => number;
  /** Words in which copies and reference differ, and words compared; empty and 0 if the run was cut off. */
  readonly diverged: readonly Finding[];
  readonly comparedWords: number;
  readonly numbered: number;
  readonly retired: number;
  /** Retired writes whose stores cannot have returned, because their nodes went down. */
  readonly orphaned: number;
  /** What nodes that went down had found. */
  readonly lostFindings: readonly Finding[];
  readonly tableFindings: readonly Finding[];
  readonly tableEvidence: Readonly<Record<string, number>>;
  readonly minEvidence: number;
  readonly expect: readonly string[];
  readonly interrupted: boolean;
  /** Whether everything came to rest at the end. */
  readonly rested: boolean;
  readonly cellsTorn: number;
}

const LEVEL_IDS: readonly string[] = GUARANTEES;

const inTime = (log: WordLog, timeOf: (tick: number) => number): WordLog => ({
  ...log,
  lastIssue: log.lastIssue.map((tick) => (tick < 0 ? -1 : timeOf(tick))),
  lastIssueEnd: log.lastIssueEnd.map((tick) => (tick < 0 ? -1 : timeOf(tick))),
  firstEndIssue: log.firstEndIssue.map((tick) => (tick < 0 ? -1 : timeOf(tick))),
  firstEnd: log.firstEnd.map((tick) => (tick === Infinity ? tick : timeOf(tick))),
  lastExecution: log.lastExecution.map((tick) => (tick < 0 ? -1 : timeOf(tick))),
});

/** The record, judged word by word as in virtual time. */
const judgeRecord = (input: LiveJudgeInput): { refuted: Refutation[]; findings: Finding[] } => {
  const { nodes, writes, timeOf, spec } = input;
  const versions = versionsByWord(writes, input.valueAtBoot);
  const logs = byWord(nodes.map(({ words }) => words.map((log) => inTime(log, timeOf))));
  const shortest = new Shortest();
  const findings: Finding[] = [];
  const writerOf = (number: number): number => {
    const write = writes[number - 1];
    return write === undefined ? -1 : write.node * spec.coresPerNode + write.core;
  };
  const syncs = byWord(
    nodes.map(({ synchronisations }) => synchronisations.map((sync) => ({ ...sync, time: timeOf(sync.time) }))),
  );
  for (const [word, wordLogs] of logs) {
    const start = { number: 0, value: input.valueAtBoot(word), begin: -Infinity, end: -Infinity };
    const judged = judgeWord(word, versions.get(word) ?? [start], wordLogs, shortest);
    for (const { message, timePs } of judged.invented) findings.push({ id: 'R3', message, timePs });
    findings.push(...lateExecutions(word, judged.sights, writerOf, syncs.get(word) ?? []));
  }
  const refuted = shortest.examples.map(({ level, word, write, kind, fetches, from, to }): Refutation => {
    const message = `on record, a fetch of word ${word} contradicts write ${write.number} (${kind})`;
    const found = shortest.found(level);
    return { level, message, timePs: to, spanPs: to - from, offset: word * 4, writes: [], fetches, found };
  });
  return { refuted, findings };
};

const fromFinding = (level: Guarantee, { message, timePs }: Finding, found: number): Refutation => ({
  level,
  message,
  timePs,
  spanPs: 0,
  offset: -1,
  writes: [],
  fetches: [],
  found,
});

const firstOfEach = (refuted: readonly Refutation[]): Refutation[] =>
  GUARANTEES.flatMap((level) => refuted.find((refutation) => refutation.level === level) ?? []);

const hangs = ({ rested, interrupted, nodes }: LiveJudgeInput): Finding[] => {
  if (rested || interrupted) return [];
  const stuck = nodes.flatMap((node) => node.stuck);
  const message = stuck[0] ?? 'not everything came to rest after the last write';
  return [{ id: 'L1', message, timePs: 0 }];
};

const lost = ({ rested, numbered, retired, orphaned, nodes }: LiveJudgeInput): Finding[] => {
  if (!rested) return [];
  const over = nodes.reduce((sum, { counts }) => sum + counts.writesOver, 0);
  if (numbered === retired && retired === over + orphaned) return [];
  const gone = orphaned === 0 ? '' : `, ${orphaned} went down with their nodes`;
  const message = `${numbered} writes were numbered, ${retired} retired, and ${over} stores returned${gone}`;
  return [{ id: 'R2', message, timePs: 0 }];
};

/**
 * Decides a live run. Verifies: what each fetch was put to while the threads raced (see LiveChecks); the same once more by the
 * judge of the simulator for what is on record; at the end every copy and table. When: after all threads have ended. Does not
 * verify: that nothing went unseen. Pass means that nothing was refuted among what was checked, with enough evidence.
 */
export const judgeLive = (input: LiveJudgeInput): Judgement => {
  const { nodes, spec, minEvidence } = input;
  const sum = (count: LiveCount): number => nodes.reduce((total, { counts }) => total + counts[count], 0);
  const record = judgeRecord(input);
  const all = [...input.lostFindings, ...nodes.flatMap((node) => [...node.findings, ...node.recordFindings])];
  const refuted = firstOfEach([
    ...all.flatMap(({ id, message, timePs }) =>
      LEVEL_IDS.includes(id) ? [fromFinding(id as Guarantee, { id, message, timePs }, 1)] : [],
    ),
    ...input.diverged.slice(0, 1).map((finding) => fromFinding('eventual', finding, input.diverged.length)),
    ...record.refuted,
  ]);
  const declared = spec.guarantee;
  const evidence: Record<Guarantee, number> = {
    eventual: input.comparedWords,
    ordered: sum('checked'),
    completed: sum('completedEvidence'),
    atomic: sum('atomicEvidence'),
  };
  const held = input.numbered === 0 ? declared : strongestHeld(refuted, evidence, minEvidence, []);
  const of = (id: string): Finding[] => [...all, ...record.findings].filter((finding) => finding.id === id);
  const torn = input.cellsTorn === 0 ? [] : [{ id: 'R3', message: 'this machine tears 64-bit cells', timePs: 0 }];
  const broken = new Map<string, readonly Finding[]>([
    ['R1', input.diverged],
    ['R2', [...of('R2'), ...lost(input)]],
    ['R3', [...torn, ...of('R3')]],
    ['R4', isAtLeast(declared, 'ordered') ? of('R4') : []],
    ['R5', brokenLevel(declared, refuted)],
    ['X1', isAtLeast(declared, 'completed') ? of('X1') : []],
    ['K1', isAtLeast(declared, 'completed') ? of('K1') : []],
    ['E1', of('E1')],
    ...['T1', 'T2', 'T3', 'T4', 'T6'].map((id): [string, Finding[]] => [
      id,
      [...of(id), ...input.tableFindings.filter((finding) => finding.id === id)],
    ]),
    ['L1', [...of('L1'), ...hangs(input)]],
    ['M1', [...of('M1'), ...input.tableFindings.filter(({ id }) => id === 'M1')]],
  ]);
  const tested: Readonly<Record<string, number>> = {
    R1: input.comparedWords,
    R2: input.numbered,
    R3: sum('fetches') + sum('loads'),
    R4: sum('checked'),
    R5: declared === null ? 0 : evidence[declared],
    X1: sum('synchronisedEvidence'),
    K1: sum('compared'),
    E1: sum('emulationsChecked'),
    L1: nodes.length,
    M1: nodes.length,
    ...input.tableEvidence,
  };
  const violations = [...broken.values()].flat();
  const rules: RuleResult[] = [...broken].map(([id, findings]) => ({
    id,
    says: ruleOf(id).says,
    held: findings.length === 0,
    demanded: true,
    evidence: tested[id] ?? 0,
    complete: true,
    example: findings[0] ?? null,
    doesNotVerify: ruleOf(id).doesNotVerify,
  }));
  return {
    ...decide(input, declared, held, violations),
    declared,
    held,
    evidence,
    refuted,
    violations,
    rules,
    writes: input.writes,
  };
};

const decide = (
  { expect, interrupted, numbered }: LiveJudgeInput,
  declared: Guarantee | null,
  held: Guarantee | null,
  violations: readonly Finding[],
): { verdict: Verdict; reason: string } => {
  const unexpected = violations.find(({ id }) => !expect.includes(id));
  if (unexpected !== undefined) return { verdict: 'fail', reason: `${unexpected.id}: ${unexpected.message}` };
  if (interrupted) return { verdict: 'unknown', reason: 'interrupted; no rule was broken until then' };
  if (expect.length > 0) {
    const missing = expect.filter((id) => !violations.some((finding) => finding.id === id));
    if (missing.length > 0)
      return { verdict: 'fail', reason: `expected to be broken, but held: ${missing.join(', ')}` };
    return { verdict: 'pass', reason: `broken as expected: ${expect.join(', ')}` };
  }
  if (numbered === 0 || declared === null) return { verdict: 'pass', reason: 'no rule was broken' };
  if (isAtLeast(held, declared)) {
    return { verdict: 'pass', reason: `nothing refuted ${declared} in what was checked, and no rule was broken` };
  }
  return { verdict: 'unknown', reason: `no rule was broken, but too few fetches could have refuted ${declared}` };
};
