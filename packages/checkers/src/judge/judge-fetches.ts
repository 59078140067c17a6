import { collect } from '@numalab/base';
import type { Comparison, Finding, GroupLog, NodeReport, Synchronisation, WordLog } from '@numalab/node-worker';
import type { Budget } from './budget.ts';
import { byWord } from './by-word.ts';
import { Shortest } from './counter-example.ts';
import { judgeComparisons } from './judge-comparisons.ts';
import { lateExecutions } from './judge-executions.ts';
import { judgeWholeWrites } from './judge-whole-writes.ts';
import { judgeWord, type Sight } from './judge-word.ts';
import { type TimedWrite, versionsByWord } from './timeline.ts';

/** What fetches, loads and executions of all nodes prove. */
export interface FetchJudgement {
  readonly shortest: Shortest;
  /** R3. */
  readonly invented: readonly Finding[];
  /** X1. */
  readonly late: readonly Finding[];
  /** R6. */
  readonly torn: readonly Finding[];
  /** K1. */
  readonly comparisons: readonly Finding[];
  /** Fetches that could have refuted a level, or of numbered words (`ordered`), and how often rules were put to the test. */
  readonly evidence: {
    readonly ordered: number;
    readonly completed: number;
    readonly atomic: number;
    readonly fetches: number;
    readonly synchronisations: number;
    readonly wholeWrites: number;
    readonly comparisons: number;
  };
}

const earliestFirst = (findings: readonly Finding[]): Finding[] => [...findings].sort((a, b) => a.timePs - b.timePs);

/**
 * Judges every word that was seen, each by itself, and then writes of several words. `valueAtBoot` gives the image. Stops where
 * the budget ends: what was found until then stands.
 */
export const judgeFetches = (
  nodes: readonly NodeReport[],
  writes: readonly TimedWrite[],
  writerOf: (number: number) => number,
  valueAtBoot: (word: number) => number,
  budget: Budget,
): FetchJudgement => {
  const versionsOf = versionsByWord(writes, valueAtBoot);
  const logs: Map<number, WordLog[]> = byWord(collect(nodes, (node) => node.words));
  const syncs: Map<number, Synchronisation[]> = byWord(collect(nodes, (node) => node.synchronisations));
  const compared: Map<number, Comparison[]> = byWord(collect(nodes, (node) => node.comparisons));
  const shortest = new Shortest();
  const invented: Finding[] = [];
  const late: Finding[] = [];
  const comparisons: Finding[] = [];
  const sightsOf = new Map<number, readonly Sight[]>();
  const evidence = { ordered: 0, completed: 0, atomic: 0, fetches: 0, synchronisations: 0, comparisons: 0 };
  for (const [word, wordLogs] of logs) {
    const versions = versionsOf.get(word) ?? [
      { number: 0, value: valueAtBoot(word), begin: -Infinity, end: -Infinity },
    ];
    const own = { syncs: syncs.get(word) ?? [], compared: compared.get(word) ?? [] };
    const entries = wordLogs.reduce((sum, log) => sum + log.numbers.length, 0);
    if (!budget.spend(versions.length + entries + own.syncs.length + own.compared.length)) break;
    const judged = judgeWord(word, versions, wordLogs, shortest);
    for (const { message, timePs } of judged.invented) invented.push({ id: 'R3', message, timePs });
    late.push(...lateExecutions(word, judged.sights, writerOf, own.syncs));
    comparisons.push(...judgeComparisons(word, versions, own.compared, writerOf));
    sightsOf.set(word, judged.sights);
    evidence.completed += judged.completedEvidence;
    evidence.atomic += judged.atomicEvidence;
    evidence.synchronisations += own.syncs.length;
    evidence.comparisons += own.compared.length;
    for (const { numbers, counts } of wordLogs) {
      for (let i = 0; i < numbers.length; i++) {
        evidence.fetches += counts[i]!;
        if (numbers[i]! > 0) evidence.ordered += counts[i]!;
      }
    }
  }
  const groups: GroupLog[] = [];
  let combinations = 0;
  for (const node of nodes) {
    for (const group of node.groups) {
      groups.push(group);
      combinations += group.cpus.length;
    }
  }
  const enough = budget.spend(combinations);
  const whole = enough ? judgeWholeWrites({ writes, sightsOf, groups, writerOf }) : { findings: [], tests: 0 };
  return {
    shortest,
    invented: earliestFirst(invented),
    late: earliestFirst(late),
    torn: whole.findings,
    comparisons: earliestFirst(comparisons),
    evidence: { ...evidence, wholeWrites: whole.tests },
  };
};
