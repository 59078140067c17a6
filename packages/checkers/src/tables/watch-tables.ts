import type { NodeMemory, Stage2Config, TableObserver, TableOp } from '@numalab/machine';
import type { TableWatcher, TranslatingNode } from '@numalab/node-worker';
import { BbmAutomaton } from './bbm-automaton.ts';
import type { TableFinding } from './finding.ts';
import { TranslationJudge } from './translation-judge.ts';

/**
 * Shows the judges of T4 and T5 what happens to one node's tables. A class, not an object with getters that a function makes:
 * an engine makes a hidden class for each such object, which keeps all that a run leaves until old memory is collected.
 */
class Watcher implements TableWatcher, TableObserver {
  private readonly node: number;
  private readonly memory: NodeMemory;
  private readonly config: Stage2Config;
  private readonly automaton: BbmAutomaton;
  private readonly judge: TranslationJudge;
  evidence: number;

  constructor(node: number, memory: NodeMemory, config: Stage2Config, automaton: BbmAutomaton, evidence: number) {
    this.node = node;
    this.memory = memory;
    this.config = config;
    this.automaton = automaton;
    this.evidence = evidence;
    this.judge = new TranslationJudge(node, memory, config);
  }

  get observer(): TableObserver {
    return this;
  }

  write(pa: number, oldLo: number, oldHi: number, newLo: number, newHi: number, level: number, ipa: number): void {
    this.evidence++;
    this.automaton.write(pa, oldLo, oldHi, newLo, newHi, level, ipa);
    this.judge.write(oldLo, oldHi, newLo, newHi, level, ipa);
  }

  allocTable(pa: number, level: number, ipa: number): void {
    this.automaton.allocTable(pa, level, ipa);
  }

  freeTable(pa: number): void {
    this.automaton.freeTable(pa);
  }

  performed(op: TableOp, thread: number): void {
    this.automaton.perform(op, thread);
    this.judge.performed(op);
  }

  unlocked(thread: number): void {
    this.automaton.released(thread);
  }

  attach(node: TranslatingNode): void {
    this.judge.attach(node);
  }

  /** Asked for when the machine is quiet: what is still unclean then is never invalidated. */
  get findings(): readonly TableFinding[] {
    this.judge.finish();
    return [...this.automaton.findings, ...this.automaton.outstanding(), ...this.judge.findings];
  }

  get translations(): number {
    return this.judge.checked;
  }

  copy(): Watcher {
    return new Watcher(this.node, this.memory, this.config, this.automaton.copy(), this.evidence);
  }
}

/**
 * Watches one node's table edits: every store and every operation goes through the break-before-make automaton (T4), and what
 * cores have cached of the tables is judged (T5).
 */
export const watchTables = (node: number, memory: NodeMemory, config: Stage2Config): TableWatcher =>
  new Watcher(node, memory, config, new BbmAutomaton({ node, memory, config }), 0);
