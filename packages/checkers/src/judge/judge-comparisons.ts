import type { Comparison, Finding } from '@numalab/node-worker';
import { hex, ns, place } from './counter-example.ts';
import { versionIndex } from './judge-word.ts';
import type { Version } from './timeline.ts';

/**
 * Verifies K1 for one word: a writer that loaded the old word to compare it found what the order held at some moment between
 * issue and end, and what it expected. When: at the end of a run. Does not verify: writers that do not compare, and what one
 * expects of a word that another CPU patches too: writers of one kind may share sites and know nothing of each other.
 * `writerOf` gives the CPU of a write; `versions` are in the order of numbers. Comparisons times the logarithm of versions.
 */
export const judgeComparisons = (
  word: number,
  versions: readonly Version[],
  comparisons: readonly Comparison[],
  writerOf: (number: number) => number,
): Finding[] => {
  if (comparisons.length === 0) return [];
  const findings: Finding[] = [];
  /** The version with the earliest end from each index on. */
  const earliest: Version[] = [];
  for (let i = versions.length - 1; i >= 0; i--) {
    const after = earliest[i + 1];
    earliest[i] = after === undefined || versions[i]!.end < after.end ? versions[i]! : after;
  }
  for (const { cpu, issue, end, value, number, expected } of comparisons) {
    const report = (why: string, what: string): void => {
      const who = `CPU ${cpu} loaded ${place(word)} from ${ns(issue)} to ${ns(end)} to compare it before patching`;
      findings.push({ id: 'K1', message: `${why}${who} and found ${what}`, timePs: end });
    };
    const index = versionIndex(versions, number);
    const missed = earliest[index + 1];
    if (index < 0 || versions[index]!.value !== value || versions[index]!.begin > end) {
      report('', `${hex(value)} of write ${number}, which the order did not hold there`);
    } else if (missed !== undefined && missed.end < issue) {
      report(`write ${missed.number} had ended at ${ns(missed.end)}, and `, `write ${number}`);
    } else if (expected >= 0 && versions.every((version) => version.number === 0 || writerOf(version.number) === cpu)) {
      report('', `${hex(value)} of write ${number} where its own last write should have left ${hex(expected)}`);
    }
  }
  return findings;
};
