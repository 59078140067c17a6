import type { WordLog } from '@numalab/node-worker';
import type { Version } from './timeline.ts';

/** What all nodes together saw of one version of a word. Times in picoseconds. */
export interface Sight {
  readonly version: Version;
  lastIssue: number;
  lastIssueCpu: number;
  firstEnd: number;
  firstEndCpu: number;
  lastExecution: number;
  lastExecutionCpu: number;
}

/** A fetch that shows that a level does not hold. */
export interface CounterExample {
  readonly level: 'completed' | 'atomic';
  readonly message: string;
  readonly timePs: number;
}

/** A word, or number, that nobody wrote there. */
export interface Invented {
  readonly message: string;
  readonly timePs: number;
}

/** What one word's fetches prove. */
export interface WordJudgement {
  readonly counterExamples: readonly CounterExample[];
  readonly invented: readonly Invented[];
  /** (node, write) pairs of which a fetch could have refuted the level. */
  readonly completedEvidence: number;
  readonly atomicEvidence: number;
  readonly sights: readonly Sight[];
}

const hex = (value: number): string => `0x${(value >>> 0).toString(16)}`;
const ns = (ps: number): string => `${(ps / 1000).toFixed(1)} ns`;

const gather = (
  word: number,
  versions: readonly Version[],
  logs: readonly WordLog[],
  invented: Invented[],
): Sight[] => {
  const sights: Sight[] = versions.map((version) => ({
    version,
    lastIssue: -1,
    lastIssueCpu: -1,
    firstEnd: Infinity,
    firstEndCpu: -1,
    lastExecution: -1,
    lastExecutionCpu: -1,
  }));
  const indexOf = new Map(versions.map((version, i) => [version.number, i]));
  for (const log of logs) {
    for (let i = 0; i < log.numbers.length; i++) {
      const index = indexOf.get(log.numbers[i]!);
      const sight = index === undefined ? undefined : sights[index];
      const place = `word ${word} (offset ${hex(word * 4)})`;
      if (sight === undefined) {
        const message = `CPU ${log.lastIssueCpu[i]} saw ${place} with number ${log.numbers[i]}, which no write to it has`;
        invented.push({ message, timePs: log.lastIssue[i]! });
        continue;
      }
      if (sight.version.value !== log.values[i]) {
        const message = `CPU ${log.lastIssueCpu[i]} saw ${hex(log.values[i]!)} in ${place}, where write ${log.numbers[i]} had put ${hex(sight.version.value)}`;
        invented.push({ message, timePs: log.lastIssue[i]! });
      }
      if (log.lastIssue[i]! > sight.lastIssue) {
        sight.lastIssue = log.lastIssue[i]!;
        sight.lastIssueCpu = log.lastIssueCpu[i]!;
      }
      if (log.firstEnd[i]! < sight.firstEnd) {
        sight.firstEnd = log.firstEnd[i]!;
        sight.firstEndCpu = log.firstEndCpu[i]!;
      }
      if (log.lastExecution[i]! > sight.lastExecution) {
        sight.lastExecution = log.lastExecution[i]!;
        sight.lastExecutionCpu = log.lastExecutionCpu[i]!;
      }
    }
  }
  return sights;
};

/**
 * Verifies: that every value and number seen of a word was written there; and, exactly, whether a fetch issued after a write
 * ended saw an earlier number (`completed`), and whether fetches of the word are linearizable (`atomic`).
 * When: at the end of a run, from the latest issue and the earliest end per number, which is all that can refute either.
 * Does not verify: how several words relate; fetches of words that no writer was planned to write (those are compared with
 * the image as they happen). Loads count like fetches. Linear in the number of versions.
 */
export const judgeWord = (word: number, versions: readonly Version[], logs: readonly WordLog[]): WordJudgement => {
  const invented: Invented[] = [];
  const counterExamples: CounterExample[] = [];
  const sights = gather(word, versions, logs, invented);
  let laterEnd: Version | null = null;
  let laterSeen: Sight | null = null;
  const place = `word ${word} (offset ${hex(word * 4)})`;
  for (let i = sights.length - 1; i >= 0; i--) {
    const sight = sights[i]!;
    const { number, begin } = sight.version;
    const seen = `CPU ${sight.lastIssueCpu} issued a fetch of ${place} at ${ns(sight.lastIssue)} and saw write ${number}`;
    if (laterEnd !== null && sight.lastIssue > laterEnd.end) {
      const message = `${seen}, though write ${laterEnd.number} had ended at ${ns(laterEnd.end)}`;
      counterExamples.push({ level: 'completed', message, timePs: sight.lastIssue });
    }
    if (laterSeen !== null && sight.lastIssue > laterSeen.firstEnd) {
      const message = `${seen}, though CPU ${laterSeen.firstEndCpu} had seen write ${laterSeen.version.number} by ${ns(laterSeen.firstEnd)}`;
      counterExamples.push({ level: 'atomic', message, timePs: sight.lastIssue });
    }
    if (sight.firstEnd < begin) {
      const message = `CPU ${sight.firstEndCpu} saw write ${number} of ${place} at ${ns(sight.firstEnd)}, before it began at ${ns(begin)}`;
      counterExamples.push({ level: 'atomic', message, timePs: sight.firstEnd });
    }
    if (laterEnd === null || sight.version.end < laterEnd.end) laterEnd = sight.version;
    if (laterSeen === null || sight.firstEnd < laterSeen.firstEnd) laterSeen = sight;
  }
  let completedEvidence = 0;
  let atomicEvidence = 0;
  for (const log of logs) {
    const last = Math.max(...log.lastIssue);
    for (const sight of sights) {
      if (sight.version.number === 0) continue;
      if (last > sight.version.end) completedEvidence++;
      if (last > sight.firstEnd) atomicEvidence++;
    }
  }
  return { counterExamples, invented, completedEvidence, atomicEvidence, sights };
};
