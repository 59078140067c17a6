import { type LiveNodeReport, type LiveShared, type OrderedStore, shared as word } from '@numalab/node-worker';
import type { LiveHypervisorReport } from './live-task.ts';

/**
 * What a hypervisor would leave behind, where nothing traps and the memory itself is the order: from the nodes' records of what
 * they stored, and from `served`, what was stored for those of other processes. A write is retired when it is over.
 * `hasLost`: lives of nodes say no more which of their writes were over.
 */
export const memoryReport = (
  { words, spec }: Pick<LiveShared, 'words' | 'spec'>,
  nodes: readonly LiveNodeReport[],
  served: readonly OrderedStore[],
  hasLost: boolean,
): LiveHypervisorReport => {
  const stored = [...nodes.flatMap((node) => node.stored), ...served].sort((a, b) => a.number - b.number);
  const over = nodes.reduce((sum, { counts }) => sum + counts.writesOver, 0);
  const numbered = Atomics.load(words, word.NUMBERED);
  const orphaned = hasLost || nodes.length < spec.nodes ? numbered - over : 0;
  return {
    record: stored.map(({ number, word: first, words: values, origin, core, begin }) => ({
      write: { number, word: first, words: values, origin },
      core,
      begin,
      numbered: begin,
      retired: -1,
    })),
    tickMs: new Float64Array(0),
    numbered,
    retired: over + orphaned,
    withoutEffect: 0,
    turns: 0,
    orphaned,
    answers: [],
  };
};
