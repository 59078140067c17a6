import { watchTables } from '@numalab/checkers';
import { CASEMATE_NODE_THREAD, CasemateTrace, observeAll } from '@numalab/machine';
import type { TableWatcherFactory } from '@numalab/node-worker';

/** Logs every node's table operations for casemate, beside the judge that always watches them. */
export class CasemateLogs {
  /** By node. */
  private readonly traces = new Map<number, CasemateTrace>();

  /** The factory to run a machine with. */
  readonly watcherOf: TableWatcherFactory = (node, memory, config) => {
    const judge = watchTables(node, memory, config);
    const trace = new CasemateTrace(config);
    this.traces.set(node, trace);
    // Boot makes the tables under one lock; the node gives it back when they are complete.
    trace.lock(CASEMATE_NODE_THREAD);
    return {
      observer: observeAll(judge.observer, trace),
      get findings() {
        return judge.findings;
      },
      get evidence() {
        return judge.evidence;
      },
      performed: (op, thread) => {
        judge.performed(op, thread);
        trace.perform(op, thread);
      },
      locked: (thread) => trace.lock(thread),
      unlocked: (thread) => trace.unlock(thread),
    };
  };

  /** The logs so far, by node. */
  texts(): ReadonlyMap<number, string> {
    return new Map([...this.traces].map(([node, trace]) => [node, trace.text()]));
  }
}
