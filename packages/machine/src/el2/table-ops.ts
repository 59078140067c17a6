/**
 * What editing a table makes the acting CPU do besides storing: barriers and TLB invalidations. The editor's operations are
 * generators that yield them, because at run time they take time and wait for other nodes; the next step of the generator
 * may run only when the yielded operation is complete as far as the architecture says that it is.
 */

/** A barrier, or a TLB invalidation. `ipa` and the level hint accompany `ipas2e1is` only. */
export type TableOp =
  | { readonly op: 'dsb' | 'isb'; readonly kind?: 'ish' | 'ishst' | 'nsh' }
  | {
      readonly op: 'tlbi';
      readonly kind: 'ipas2e1is' | 'vmalle1is' | 'vmalls12e1is' | 'vmalls12e1';
      readonly ipa?: number;
      readonly level?: number;
    };

/** Is told of every change to the tables, in program order, after it was made. */
export interface TableObserver {
  /** An 8-byte store-release to the descriptor at `pa`, which stands at `level` and whose input range begins at `ipa`. */
  write(pa: number, oldLo: number, oldHi: number, newLo: number, newHi: number, level: number, ipa: number): void;
  /** A zeroed page was taken from the pool to become the table of `level` whose input range begins at `ipa`. */
  allocTable(pa: number, level: number, ipa: number): void;
  /** A table page was zeroed and given back. */
  freeTable(pa: number): void;
}

/** Watches nothing. */
export const NO_OBSERVER: TableObserver = {
  write: () => {},
  allocTable: () => {},
  freeTable: () => {},
};

export const DSB_ISH: TableOp = Object.freeze({ op: 'dsb', kind: 'ish' });
export const DSB_ISHST: TableOp = Object.freeze({ op: 'dsb', kind: 'ishst' });
export const ISB: TableOp = Object.freeze({ op: 'isb' });
export const TLBI_VMALLE1IS: TableOp = Object.freeze({ op: 'tlbi', kind: 'vmalle1is' });
export const TLBI_VMALLS12E1IS: TableOp = Object.freeze({ op: 'tlbi', kind: 'vmalls12e1is' });

/** One line per operation, as in an assembly listing. */
export const tableOpText = (op: TableOp): string => {
  if (op.op !== 'tlbi') return op.kind === undefined ? op.op : `${op.op} ${op.kind}`;
  return op.ipa === undefined ? `tlbi ${op.kind}` : `tlbi ${op.kind} 0x${op.ipa.toString(16)} level ${op.level}`;
};

/**
 * Runs an editing operation to its end and returns its value. For boot only, when no TLB is live: nobody executes the
 * barriers and invalidations.
 */
export const drain = <T>(operation: Generator<TableOp, T>): T => {
  for (;;) {
    const step = operation.next();
    if (step.done === true) return step.value;
  }
};

/** {@link drain}, but hands every operation to `perform` first. */
export const drainInto = <T>(operation: Generator<TableOp, T>, perform: (op: TableOp) => void): T => {
  for (;;) {
    const step = operation.next();
    if (step.done === true) return step.value;
    perform(step.value);
  }
};

/** Follows whole operations: who holds the table's lock, and which barriers and invalidations were performed. */
export interface OperationWatcher {
  /** The thread on whose behalf the next stores are made. */
  thread: number;
  lock(thread: number): void;
  unlock(thread: number): void;
  /** `op` was performed by `thread`. */
  perform(op: TableOp, thread: number): void;
}

/**
 * The same operation, shown to `watchers` as done by `thread` under the table's lock. An operation counts as performed when
 * the generator is resumed.
 */
export function* watched<T>(
  operation: Generator<TableOp, T>,
  watchers: readonly OperationWatcher[],
  thread: number,
): Generator<TableOp, T> {
  for (const watcher of watchers) watcher.lock(thread);
  try {
    for (;;) {
      for (const watcher of watchers) watcher.thread = thread;
      const step = operation.next();
      if (step.done === true) return step.value;
      yield step.value;
      for (const watcher of watchers) watcher.perform(step.value, thread);
    }
  } finally {
    for (const watcher of watchers) watcher.unlock(thread);
  }
}

/** One observer that tells several. */
export const observeAll = (...observers: readonly TableObserver[]): TableObserver => ({
  write: (...args) => {
    for (const observer of observers) observer.write(...args);
  },
  allocTable: (pa, level, ipa) => {
    for (const observer of observers) observer.allocTable(pa, level, ipa);
  },
  freeTable: (pa) => {
    for (const observer of observers) observer.freeTable(pa);
  },
});
