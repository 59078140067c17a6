import { GRANULES } from '@numalab/machine';
import type { Finding } from '@numalab/node-worker';
import type { JudgeInput } from './judge.ts';
import type { AppliedJudgement } from './judge-applied.ts';
import type { TimedWrite } from './timeline.ts';

const hex = (value: number): string => `0x${(value >>> 0).toString(16)}`;

/**
 * Verifies R1: at quiescence every copy equals the image at boot plus all numbered writes in order, value and number.
 * When: at the end of a run that was not cut off; over every word of every copy, found by comparing whole copies with the
 * image, not by trusting what was noted as written; pages that a node does not map onto its copy are left out. Does not
 * verify: what happened before the end.
 */
export const judgeReplicas = (
  input: JudgeInput,
  writes: readonly TimedWrite[],
): { findings: readonly Finding[]; compared: number } => {
  if (input.interrupted) return { findings: [], compared: 0 };
  const reference = new Map<number, { value: number; number: number }>();
  for (const { number, word, words } of writes) {
    for (let i = 0; i < words.length; i++) reference.set(word + i, { value: words[i]!, number });
  }
  const findings: Finding[] = [];
  const pageBytes = GRANULES[input.spec.granule].bytes;
  let compared = 0;
  for (const node of input.nodes) {
    if (node.copy === null) continue;
    const unseen = new Set(node.pages.map(({ page }) => page));
    const isSeen = (word: number): boolean => unseen.size === 0 || !unseen.has(Math.floor((word * 4) / pageBytes));
    const { words, values, numbers } = node.copy;
    const seen = new Set<number>();
    const report = (word: number, text: string): void => {
      if (findings.length < 8)
        findings.push({ id: 'R1', message: `node ${node.id}, word ${word}: ${text}`, timePs: 0 });
    };
    for (let i = 0; i < words.length; i++) {
      const word = words[i]!;
      const expected = reference.get(word) ?? { value: input.valueAtBoot(word), number: 0 };
      seen.add(word);
      if (!isSeen(word)) continue;
      if (values[i] === expected.value && numbers[i] === expected.number) continue;
      report(
        word,
        `holds ${hex(values[i]!)} of write ${numbers[i]}, the reference ${hex(expected.value)} of write ${expected.number}`,
      );
    }
    for (const [word, expected] of reference) {
      compared++;
      if (!seen.has(word) && isSeen(word))
        report(word, `holds the image's word, the reference ${hex(expected.value)} of write ${expected.number}`);
    }
  }
  return { findings, compared };
};

/** Stores that were over with a number that the order gave to another, or does not have: they are lost. */
const reportReused = ({ nodes, hypervisor }: JudgeInput, report: (message: string, timePs: number) => void): void => {
  const cpuOf = new Map<number, { readonly core: number; readonly id: number }>();
  const name = (core: number, id: number): string => `core ${core} of node ${id}`;
  for (const { id, times } of nodes) {
    for (const { number, core, end } of times) {
      const other = cpuOf.get(number);
      cpuOf.set(number, { core, id });
      if (other !== undefined) {
        const both = `${name(core, id)} and ${name(other.core, other.id)}`;
        report(`${both} have both stored write ${number}: one of them is lost`, end);
      } else if (number > hypervisor.journal.length) {
        report(`${name(core, id)} stored write ${number}, which the order does not have`, end);
      }
    }
  }
};

/**
 * Verifies R2: every numbered write was retired and is that of one store, and every node applied each exactly once. When: at the end of a run that was
 * not cut off. Does not verify: that a refused write left no trace; R1 does, because it has no number.
 */
export const judgeWrites = (
  input: JudgeInput,
  writes: readonly TimedWrite[],
  applied: readonly AppliedJudgement[],
): readonly Finding[] => {
  if (input.interrupted || input.spec.strategy !== 'stage2') return [];
  const findings: Finding[] = [];
  const report = (message: string, timePs: number): void => {
    if (findings.length < 8) findings.push({ id: 'R2', message, timePs });
  };
  for (const { write, retired, numbered } of input.hypervisor.journal) {
    if (retired < 0) report(`write ${write.number} was numbered and never retired`, numbered);
  }
  reportReused(input, report);
  for (const { number, end } of writes) if (end === Infinity) report(`the store of write ${number} never returned`, 0);
  for (const [id, { lost, repeated }] of applied.entries()) {
    for (const number of lost) report(`write ${number} was never applied on node ${id}`, 0);
    for (const number of repeated) report(`write ${number} was applied again on node ${id}`, 0);
  }
  return findings;
};
