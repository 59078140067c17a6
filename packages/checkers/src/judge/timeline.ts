import { collect } from '@numalab/base';
import type { HypervisorReport } from '@numalab/hypervisor';
import type { MachineSpec, NodeReport } from '@numalab/node-worker';

/** One write, with the moments between which it lasted; -Infinity and Infinity where it has no such moment. */
export interface TimedWrite {
  readonly number: number;
  readonly word: number;
  readonly words: readonly number[];
  readonly begin: number;
  readonly end: number;
  /** Node and core of the store; -1 if unknown. */
  readonly node: number;
  readonly core: number;
}

/** What a word held, one after the other: number 0 is the image. */
export interface Version {
  readonly number: number;
  readonly value: number;
  readonly begin: number;
  readonly end: number;
}

/**
 * All writes of a run in the order of their numbers, from where they were counted: the hypervisor's journal, or the memory
 * order of the primary where nothing traps.
 */
export const timedWrites = (
  spec: MachineSpec,
  nodes: readonly NodeReport[],
  hypervisor: HypervisorReport,
): readonly TimedWrite[] => {
  if (spec.strategy !== 'stage2') {
    const spans = new Map<number, { begin: number; end: number; node: number; core: number }>();
    for (const node of nodes) {
      for (const { number, begin, end, core } of node.directStores) {
        spans.set(number, { begin, end: end < 0 ? Infinity : end, node: node.id, core });
      }
    }
    return (nodes[0]?.storeOrder ?? []).map(({ word, words }, i) => {
      const span = spans.get(i + 1) ?? { begin: -Infinity, end: Infinity, node: -1, core: -1 };
      return { number: i + 1, word, words, ...span };
    });
  }
  const ends = new Map<number, number>();
  for (const node of nodes) for (const { number, end } of node.times) ends.set(number, end);
  return collect(hypervisor.journal, ({ write, begin, core }) => ({
    number: write.number,
    word: write.word,
    words: write.words,
    begin,
    end: ends.get(write.number) ?? Infinity,
    node: write.origin,
    core,
  }));
};

/** The versions of every word that was written, by number; `valueAtBoot` gives number 0's value. */
export const versionsByWord = (
  writes: readonly TimedWrite[],
  valueAtBoot: (word: number) => number,
): Map<number, Version[]> => {
  const byWord = new Map<number, Version[]>();
  for (const { number, word, words, begin, end } of writes) {
    for (let i = 0; i < words.length; i++) {
      const at = word + i;
      let versions = byWord.get(at);
      if (versions === undefined) {
        versions = [{ number: 0, value: valueAtBoot(at), begin: -Infinity, end: -Infinity }];
        byWord.set(at, versions);
      }
      versions.push({ number, value: words[i]!, begin, end });
    }
  }
  return byWord;
};
