import type { NodeMemory, Stage2Config, TableOp } from '@numalab/machine';
import type { TableWatcher } from '@numalab/node-worker';
import { BbmAutomaton } from './bbm-automaton.ts';
import { TranslationJudge } from './translation-judge.ts';

const watcherOf = (automaton: BbmAutomaton, before: number, fresh: () => TranslationJudge): TableWatcher => {
  let evidence = before;
  const translations = fresh();
  return {
    observer: {
      write: (pa, oldLo, oldHi, newLo, newHi, level, ipa) => {
        evidence++;
        automaton.write(pa, oldLo, oldHi, newLo, newHi, level, ipa);
        translations.write(oldLo, oldHi, newLo, newHi, level, ipa);
      },
      allocTable: (pa, level, ipa) => automaton.allocTable(pa, level, ipa),
      freeTable: (pa) => automaton.freeTable(pa),
    },
    performed: (op: TableOp, thread: number) => {
      automaton.perform(op, thread);
      translations.performed(op);
    },
    unlocked: (thread) => automaton.released(thread),
    attach: (node) => translations.attach(node),
    get findings() {
      // Asked for when the machine is quiet: what is still unclean then is never invalidated.
      translations.finish();
      return [...automaton.findings, ...automaton.outstanding(), ...translations.findings];
    },
    get evidence() {
      return evidence;
    },
    get translations() {
      return translations.checked;
    },
    copy: () => watcherOf(automaton.copy(), evidence, fresh),
  };
};

/**
 * Watches one node's table edits: every store and every operation goes through the break-before-make automaton (T4), and what
 * cores have cached of the tables is judged (T5).
 */
export const watchTables = (node: number, memory: NodeMemory, config: Stage2Config): TableWatcher =>
  watcherOf(new BbmAutomaton({ node, memory, config }), 0, () => new TranslationJudge(node, memory, config));
