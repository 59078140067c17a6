import type { HypervisorProcess } from '@numalab/hypervisor';
import { TRACE_OPERATION, TRACE_TABLE, type TraceSink } from '@numalab/interconnect';
import { observeAll, tableOpText } from '@numalab/machine';
import type { MachineSpec, NodeProcess, TableWatcher, TableWatcherFactory } from '@numalab/node-worker';
import type { TraceWriter } from './trace-file.ts';
import { openTrace } from './trace-folder.ts';

/** Where a node's table edits go, once its trace has begun. */
interface Note {
  sink: ((kind: number, a: number, b: number, c: number, body: unknown) => void) | null;
}

/** Notes a node's table edits beside what watches them anyway, once the node's trace has begun. */
const tracedWatcher = (watcher: TableWatcher, note: Note): TableWatcher => {
  const { attach, locked, unlocked } = watcher;
  return {
    observer: observeAll(watcher.observer, {
      write: (pa, oldLo, oldHi, newLo, newHi, level, ipa) =>
        note.sink?.(TRACE_TABLE, level, ipa, pa, [oldLo, oldHi, newLo, newHi]),
      allocTable: () => {},
      freeTable: () => {},
    }),
    get findings() {
      return watcher.findings;
    },
    get evidence() {
      return watcher.evidence;
    },
    get translations() {
      return watcher.translations ?? 0;
    },
    performed: (op, thread) => {
      watcher.performed(op, thread);
      note.sink?.(TRACE_OPERATION, 0, 0, 0, tableOpText(op));
    },
    ...(attach === undefined ? {} : { attach: (node) => attach.call(watcher, node) }),
    ...(locked === undefined ? {} : { locked: (thread) => locked.call(watcher, thread) }),
    ...(unlocked === undefined ? {} : { unlocked: (thread) => unlocked.call(watcher, thread) }),
  };
};

/** Takes down what the processes of a machine that live here do: make it, build them with {@link watcherOf}, then attach. */
export class MachineTrace {
  readonly watcherOf: TableWatcherFactory;
  private readonly notes = new Map<number, Note>();
  private readonly folder: string;
  private readonly writers: TraceWriter[] = [];

  /** `folder` exists. */
  constructor(folder: string, watcherOf: TableWatcherFactory) {
    this.folder = folder;
    this.watcherOf = (node, memory, config) => {
      const note: Note = { sink: null };
      this.notes.set(node, note);
      return tracedWatcher(watcherOf(node, memory, config), note);
    };
  }

  /** Boot is over: from here on everything is noted. */
  attach(spec: MachineSpec, nodes: readonly NodeProcess[], hypervisor: HypervisorProcess | null): void {
    for (const node of nodes) {
      const sink = this.open(spec, node.id);
      node.traceTo(sink);
      const note = this.notes.get(node.id);
      if (note !== undefined) note.sink = (kind, a, b, c, body) => sink.add(node.time, kind, node.id, a, b, c, body);
    }
    hypervisor?.traceTo(this.open(spec, spec.nodes));
  }

  private open({ nodes, coresPerNode, seed }: MachineSpec, process: number): TraceSink {
    const writer = openTrace(this.folder, { process, nodes, coresPerNode, seed });
    this.writers.push(writer);
    return writer;
  }

  /** Ends the files. */
  close(): void {
    for (const writer of this.writers) writer.close();
  }
}
