import { collect } from '@numalab/base';
import type { Finding, GroupLog } from '@numalab/node-worker';
import { ns, place, writer } from './counter-example.ts';
import { type Sight, versionIndex } from './judge-word.ts';
import type { TimedWrite, Version } from './timeline.ts';

/** Writes of several words, and what is needed to judge them. */
export interface WholeWrites {
  readonly writes: readonly TimedWrite[];
  /** Sights of every word that was seen. */
  readonly sightsOf: ReadonlyMap<number, readonly Sight[]>;
  readonly groups: readonly GroupLog[];
  readonly writerOf: (number: number) => number;
}

const GROUP = 4;
/** Findings kept: they have one cause. */
const KEPT = 8;

/** The first of ascending writes with a number above `number`. */
const firstAbove = (writes: readonly TimedWrite[], number: number): TimedWrite | undefined => {
  let low = 0;
  let high = writes.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (writes[middle]!.number > number) high = middle;
    else low = middle + 1;
  }
  return writes[low];
};

const covers = ({ word, words }: TimedWrite, of: number): boolean => of >= word && of < word + words.length;

/** One group's combinations against the writes that cover several of its words: torn if one lies between two numbers. */
const tornSamples = (
  log: GroupLog,
  writes: readonly TimedWrite[],
  writerOf: WholeWrites['writerOf'],
  findings: Finding[],
): void => {
  for (let pair = 0; pair < GROUP * GROUP; pair++) {
    const [i, j] = [pair >> 2, pair & 3];
    const [x, y] = [log.group * GROUP + i, log.group * GROUP + j];
    const both = i < j ? writes.filter((write) => covers(write, x) && covers(write, y)) : [];
    for (let at = 0; both.length > 0 && at < log.cpus.length; at++) {
      const of = (index: number): number => log.numbers[at * GROUP + index]!;
      const torn = firstAbove(both, Math.min(of(i), of(j)));
      if (torn === undefined || torn.number > Math.max(of(i), of(j))) continue;
      const [seen, missed] = of(i) > of(j) ? [i, j] : [j, i];
      const time = log.times[at]!;
      const message = `write ${torn.number}${writer(writerOf(torn.number))} to ${torn.words.length} words from ${place(torn.word)}: CPU ${log.cpus[at]} sampled at ${ns(time)} word ${log.group * GROUP + seen} of write ${of(seen)} together with word ${log.group * GROUP + missed} of write ${of(missed)}`;
      findings.push({ id: 'R6', message, timePs: time });
      return;
    }
  }
};

/** Of one word, by index of a version: who saw that or a later one first, and whose fetch before it was issued last. */
interface Around {
  readonly versions: readonly Version[];
  readonly first: readonly Sight[];
  readonly last: readonly Sight[];
}

const aroundOf = (sights: readonly Sight[]): Around => {
  const first: Sight[] = [];
  const last: Sight[] = [];
  for (let i = sights.length - 1; i >= 0; i--) {
    const after = first[i + 1];
    first[i] = after === undefined || sights[i]!.firstEnd < after.firstEnd ? sights[i]! : after;
  }
  for (const [i, sight] of sights.entries()) {
    const before = last[i - 1];
    last[i] = before === undefined || sight.lastIssue > before.lastIssue ? sight : before;
  }
  return { versions: collect(sights, ({ version }) => version), first, last };
};

/** One write against fetches of its words one after the other; `around` is of its words. Returns the tests made. */
const tornFetches = (
  { number, word, words }: TimedWrite,
  around: readonly (Around | null)[],
  writerOf: WholeWrites['writerOf'],
  findings: Finding[],
): number => {
  const at = collect(around, (of) => (of === null ? -1 : versionIndex(of.versions, number)));
  let tests = 0;
  for (let i = 0; i < words.length; i++) {
    const first = at[i]! < 0 ? undefined : around[i]!.first[at[i]!];
    if (first === undefined || first.firstEnd === Infinity) continue;
    for (let j = 0; j < words.length; j++) {
      const last = i === j || at[j]! < 0 ? undefined : around[j]!.last[at[j]! - 1];
      if (last === undefined || last.lastIssue < 0) continue;
      tests++;
      if (last.lastIssue <= first.firstEnd) continue;
      const message = `write ${number}${writer(writerOf(number))} to ${words.length} words from ${place(word)}: CPU ${first.firstEndCpu}’s fetch that ended at ${ns(first.firstEnd)} had seen it in word ${word + i}, and CPU ${last.lastIssueCpu} issued a fetch of word ${word + j} at ${ns(last.lastIssue)} that saw write ${last.version.number}`;
      findings.push({ id: 'R6', message, timePs: last.lastIssueEnd });
      return tests;
    }
  }
  return tests;
};

/**
 * Verifies R6: a write of several words is seen whole. Words that a core sampled at one moment all show it (or later ones),
 * or none does; and once a fetch that saw it in one word has ended, no fetch issued later of another of its words, by any
 * core, misses it. When: at the end of a run. Does not verify: writes of one word; loads of several words at once, which
 * cores do not perform. Near-linear: a
 * binary search for each combination of a group, and for each write its words squared (16 at most).
 */
export const judgeWholeWrites = (
  input: WholeWrites,
): { readonly findings: readonly Finding[]; readonly tests: number } => {
  const findings: Finding[] = [];
  const byGroup = new Map<number, TimedWrite[]>();
  const arounds = new Map<number, Around | null>();
  const aroundAt = (word: number): Around | null => {
    let around = arounds.get(word);
    if (around === undefined) {
      const sights = input.sightsOf.get(word);
      around = sights === undefined ? null : aroundOf(sights);
      arounds.set(word, around);
    }
    return around;
  };
  let tests = 0;
  for (const write of input.writes) {
    if (write.words.length < 2) continue;
    if (findings.length < KEPT) {
      const around = collect(write.words, (_, i) => aroundAt(write.word + i));
      tests += tornFetches(write, around, input.writerOf, findings);
    }
    const last = write.word + write.words.length - 1;
    for (let group = Math.floor(write.word / GROUP); group * GROUP <= last; group++) {
      const list = byGroup.get(group);
      if (list === undefined) byGroup.set(group, [write]);
      else list.push(write);
    }
  }
  for (const log of input.groups) {
    const writes = byGroup.get(log.group);
    if (writes === undefined) continue;
    tests += log.cpus.length;
    if (findings.length < KEPT) tornSamples(log, writes, input.writerOf, findings);
  }
  findings.sort((a, b) => a.timePs - b.timePs);
  return { findings, tests };
};
