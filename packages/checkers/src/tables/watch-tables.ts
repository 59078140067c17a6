import type { NodeMemory, Stage2Config, TableOp } from '@numalab/machine';
import type { TableWatcher } from '@numalab/node-worker';
import { BbmAutomaton } from './bbm-automaton.ts';

const watcherOf = (automaton: BbmAutomaton, before: number): TableWatcher => {
  let evidence = before;
  return {
    observer: {
      write: (pa, oldLo, oldHi, newLo, newHi, level, ipa) => {
        evidence++;
        automaton.write(pa, oldLo, oldHi, newLo, newHi, level, ipa);
      },
      allocTable: (pa, level, ipa) => automaton.allocTable(pa, level, ipa),
      freeTable: (pa) => automaton.freeTable(pa),
    },
    performed: (op: TableOp, thread: number) => automaton.perform(op, thread),
    get findings() {
      // Asked for when the machine is quiet: what is still unclean then is never invalidated.
      return [...automaton.findings, ...automaton.outstanding()];
    },
    get evidence() {
      return evidence;
    },
    copy: () => watcherOf(automaton.copy(), evidence),
  };
};

/** Watches one node's table edits for T4: every store and every operation goes through the break-before-make automaton. */
export const watchTables = (node: number, memory: NodeMemory, config: Stage2Config): TableWatcher =>
  watcherOf(new BbmAutomaton({ node, memory, config }), 0);
