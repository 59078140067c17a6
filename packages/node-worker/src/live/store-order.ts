import { cellOf, type LiveCopy } from './cells.ts';
import type { LiveShared } from './live-node.ts';
import { NUMBERED, RECORD_LIMIT } from './shared-words.ts';
import { lockOrder, unlockOrder } from './waiting.ts';

/** A store as the order has it on record. */
export interface OrderedStore {
  readonly number: number;
  /** First word, from `_text`, and what was stored to it and those after it. */
  readonly word: number;
  readonly words: readonly number[];
  /** Node and core. */
  readonly origin: number;
  readonly core: number;
  readonly begin: number;
}

/** Whose store it is. */
export type Storer = Pick<OrderedStore, 'origin' | 'core'>;

/** The order of stores where nothing traps: that in which they reach the one copy of the text. */
export interface StoreOrder {
  /** The cells of the copy's words [first, first + count), as they are. */
  cells(first: number, count: number): Float64Array;
  /**
   * Stores words from the copy's `first` on, and returns their number. With `seen`, only if the cells still are those: else
   * nothing is stored, and it returns 0.
   */
  store(first: number, words: readonly number[], seen: Float64Array | null, by: Storer): number;
}

/**
 * The order of stores where the copy is: a lock of the machine's, held for a few stores, makes number and cell one, as a
 * line's owner does. One object a thread; what each has stored is on its own record.
 */
export class MemoryOrder implements StoreOrder {
  readonly record: OrderedStore[] = [];
  private readonly shared: Pick<LiveShared, 'words' | 'reference' | 'recent'>;
  private readonly copy: LiveCopy;
  /** First word of the copy, from `_text`. */
  private readonly firstWord: number;
  private readonly stamp: () => number;

  constructor(
    shared: Pick<LiveShared, 'words' | 'reference' | 'recent'>,
    copy: LiveCopy,
    firstWord: number,
    stamp: () => number,
  ) {
    this.shared = shared;
    this.copy = copy;
    this.firstWord = firstWord;
    this.stamp = stamp;
  }

  cells(first: number, count: number): Float64Array {
    return this.copy.cells.slice(first, first + count);
  }

  store(first: number, words: readonly number[], seen: Float64Array | null, by: Storer): number {
    const { words: control } = this.shared;
    const begin = this.stamp();
    lockOrder(control);
    const number = this.isAsSeen(first, seen) ? this.put(first, words) : 0;
    unlockOrder(control);
    if (number > 0 && number <= control[RECORD_LIMIT]!) {
      this.record.push({ number, word: this.firstWord + first, words: [...words], ...by, begin });
    }
    return number;
  }

  private isAsSeen(first: number, seen: Float64Array | null): boolean {
    for (let i = 0; seen !== null && i < seen.length; i++) if (this.copy.cells[first + i] !== seen[i]) return false;
    return true;
  }

  private put(first: number, words: readonly number[]): number {
    const { reference, recent, words: shared } = this.shared;
    const number = Atomics.load(shared, NUMBERED) + 1;
    // Before the copy has it: whoever sees the number finds it given out, and what it stands for.
    for (let i = 0; i < words.length; i++) reference[first + i] = cellOf(words[i]!, number);
    Atomics.store(shared, NUMBERED, number);
    Atomics.store(recent, number & (recent.length - 1), this.firstWord + first);
    for (let i = 0; i < words.length; i++) this.copy.cells[first + i] = cellOf(words[i]!, number);
    return number;
  }
}
