import { collect } from '@numalab/base';
import type { WordLog } from '@numalab/node-worker';
import { type FetchSeen, hex, place, Shortest } from './counter-example.ts';
import type { Version } from './timeline.ts';

/** What all nodes together saw of one version of a word. Times in picoseconds. */
export interface Sight {
  readonly version: Version;
  /** The fetch that was issued latest; issue -1: none. */
  lastIssue: number;
  lastIssueEnd: number;
  lastIssueCpu: number;
  /** The fetch that ended first; end Infinity: none. */
  firstEnd: number;
  firstEndIssue: number;
  firstEndCpu: number;
  lastExecution: number;
  lastExecutionCpu: number;
}

/** A word, or number, that nobody wrote there. */
export interface Invented {
  readonly message: string;
  readonly timePs: number;
}

/** What one word's fetches prove. */
export interface WordJudgement {
  readonly invented: readonly Invented[];
  /** Fetches that could have refuted the level: at least so many. */
  readonly completedEvidence: number;
  readonly atomicEvidence: number;
  readonly sights: readonly Sight[];
}

const sightOf = (version: Version): Sight => ({
  version,
  lastIssue: -1,
  lastIssueEnd: -1,
  lastIssueCpu: -1,
  firstEnd: Infinity,
  firstEndIssue: -1,
  firstEndCpu: -1,
  lastExecution: -1,
  lastExecutionCpu: -1,
});

/** Adds entry `i` of one node's log to what all nodes saw. */
const merge = (sight: Sight, log: WordLog, i: number): void => {
  if (log.lastIssue[i]! > sight.lastIssue) {
    sight.lastIssue = log.lastIssue[i]!;
    sight.lastIssueEnd = log.lastIssueEnd[i]!;
    sight.lastIssueCpu = log.lastIssueCpu[i]!;
  }
  if (log.firstEnd[i]! < sight.firstEnd) {
    sight.firstEnd = log.firstEnd[i]!;
    sight.firstEndIssue = log.firstEndIssue[i]!;
    sight.firstEndCpu = log.firstEndCpu[i]!;
  }
  if (log.lastExecution[i]! > sight.lastExecution) {
    sight.lastExecution = log.lastExecution[i]!;
    sight.lastExecutionCpu = log.lastExecutionCpu[i]!;
  }
};

/** Index of the version of `number` in a list in the order of numbers, or -1. */
export const versionIndex = (versions: readonly Version[], number: number): number => {
  let low = 0;
  let high = versions.length - 1;
  while (low <= high) {
    const middle = (low + high) >>> 1;
    const found = versions[middle]!.number;
    if (found === number) return middle;
    if (found < number) low = middle + 1;
    else high = middle - 1;
  }
  return -1;
};

const gather = (
  word: number,
  versions: readonly Version[],
  logs: readonly WordLog[],
  invented: Invented[],
): Sight[] => {
  const sights = collect(versions, sightOf);
  for (const log of logs) {
    for (let i = 0; i < log.numbers.length; i++) {
      const sight = sights[versionIndex(versions, log.numbers[i]!)];
      // A word may have been executed and not fetched since notes were taken: then it has no fetch to name.
      const cpu = log.lastIssueCpu[i]! >= 0 ? log.lastIssueCpu[i]! : log.lastExecutionCpu[i]!;
      const timePs = log.lastIssue[i]! >= 0 ? log.lastIssueEnd[i]! : log.lastExecution[i]!;
      if (sight === undefined) {
        const message = `CPU ${cpu} saw ${place(word)} with number ${log.numbers[i]}, which no write to it has`;
        invented.push({ message, timePs });
        continue;
      }
      if (sight.version.value !== log.values[i]) {
        const message = `CPU ${cpu} saw ${hex(log.values[i]!)} in ${place(word)}, where write ${log.numbers[i]} had put ${hex(sight.version.value)}`;
        invented.push({ message, timePs });
      }
      merge(sight, log, i);
    }
  }
  return sights;
};

const lastFetch = (sight: Sight): FetchSeen => ({
  cpu: sight.lastIssueCpu,
  issuePs: sight.lastIssue,
  endPs: sight.lastIssueEnd,
  number: sight.version.number,
});

const firstFetch = (sight: Sight): FetchSeen => ({
  cpu: sight.firstEndCpu,
  issuePs: sight.firstEndIssue,
  endPs: sight.firstEnd,
  number: sight.version.number,
});

/** The newest version above index `i` that had ended before `time`, if ends rise with numbers; else `known`, which had. */
const newestEnded = (sights: readonly Sight[], i: number, time: number, known: Version): Version => {
  let low = i + 1;
  let high = sights.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if (sights[middle]!.version.end < time) low = middle;
    else high = middle - 1;
  }
  const { version } = sights[low]!;
  return version.end < time ? version : known;
};

/** The fetch of sight `i` issued latest saw less than what had ended, or had been seen, before its issue. */
const judgeLate = (
  word: number,
  sights: readonly Sight[],
  i: number,
  laterEnd: Version,
  laterSeen: Sight,
  shortest: Shortest,
): void => {
  const sight = sights[i]!;
  const { lastIssue: time, lastIssueEnd: to } = sight;
  if (time > laterEnd.end) {
    const write = newestEnded(sights, i, time, laterEnd);
    if (shortest.wants('completed', 2, to - write.begin)) {
      const fetches = [lastFetch(sight)];
      shortest.keep({ level: 'completed', kind: 'late', word, write, fetches, operations: 2, from: write.begin, to });
    }
  }
  if (time > laterSeen.firstEnd) {
    const write = laterSeen.version;
    const from = Math.min(write.begin, laterSeen.firstEndIssue);
    if (shortest.wants('atomic', 3, to - from)) {
      const fetches = [firstFetch(laterSeen), lastFetch(sight)];
      shortest.keep({ level: 'atomic', kind: 'back', word, write, fetches, operations: 3, from, to });
    }
  }
};

/** The first fetch that saw a version ended before it began, or before one began that the order has before it. */
const judgeEarly = (word: number, sights: readonly Sight[], shortest: Shortest): void => {
  let begun = sights[0]!.version;
  for (const sight of sights) {
    if (sight.version.begin > begun.begin) begun = sight.version;
    if (sight.firstEnd >= begun.begin) continue;
    const from = sight.firstEndIssue;
    const to = begun.begin;
    if (!shortest.wants('atomic', 2, to - from)) continue;
    const fetches = [firstFetch(sight)];
    shortest.keep({ level: 'atomic', kind: 'early', word, write: begun, fetches, operations: 2, from, to });
  }
};

/**
 * Verifies: that every value and number seen of a word was written there; and, exactly, whether a fetch issued after a write
 * ended saw an earlier number (`completed`), and whether fetches of the word are linearizable (`atomic`: nothing seen after
 * a later number was, nor before its write, or one that the order has before it, began).
 * When: at the end of a run, from the latest issue and the earliest end per number, which is all that can refute either.
 * Does not verify: how several words relate; fetches of words that no writer was planned to write (those are compared with
 * the image as they happen). Loads count like fetches. Linear in versions and log entries, but for a binary search in each.
 * The shortest counter-examples go to `shortest`.
 */
export const judgeWord = (
  word: number,
  versions: readonly Version[],
  logs: readonly WordLog[],
  shortest: Shortest = new Shortest(),
): WordJudgement => {
  const invented: Invented[] = [];
  const sights = gather(word, versions, logs, invented);
  let laterEnd: Version | null = null;
  let laterSeen: Sight | null = null;
  for (let i = sights.length - 1; i >= 0; i--) {
    const sight = sights[i]!;
    if (laterEnd !== null && laterSeen !== null) judgeLate(word, sights, i, laterEnd, laterSeen, shortest);
    if (i === 0) break;
    if (laterEnd === null || sight.version.end < laterEnd.end) laterEnd = sight.version;
    if (laterSeen === null || sight.firstEnd < laterSeen.firstEnd) laterSeen = sight;
  }
  judgeEarly(word, sights, shortest);
  let completedEvidence = 0;
  let atomicEvidence = 0;
  if (laterEnd !== null && laterSeen !== null) {
    for (const log of logs) {
      for (const issue of log.lastIssue) {
        if (issue > laterEnd.end) completedEvidence++;
        if (issue > laterSeen.firstEnd) atomicEvidence++;
      }
    }
  }
  return { invented, completedEvidence, atomicEvidence, sights };
};
