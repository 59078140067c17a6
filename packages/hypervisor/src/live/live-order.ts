import { cellOf, wordOfCell } from '@numalab/node-worker';
import type { Write } from '@numalab/protocols';

/** A write as the record keeps it; moments are ticks. */
export interface LiveEntry {
  readonly write: Write;
  readonly core: number;
  readonly begin: number;
  readonly numbered: number;
  retired: number;
}

/**
 * The order of a live run: numbers, and the text after all writes as cells in shared memory. Of the writes themselves the
 * first are kept, as many as the record has room for; what comes after is in the reference alone, so memory does not grow.
 */
export class LiveOrder {
  /** The first writes, in order. */
  readonly record: LiveEntry[] = [];
  numbered = 0;
  private readonly reference: Float64Array;
  private readonly firstWord: number;
  private readonly limit: number;

  /** `reference` has a cell for each word of the replicated span, whose first is `firstWord` from `_text`. */
  constructor(reference: Float64Array, firstWord: number, limit: number) {
    this.reference = reference;
    this.firstWord = firstWord;
    this.limit = limit;
  }

  /** The word at `word` after the last numbered write. */
  wordAt(word: number): number {
    return wordOfCell(this.reference[word - this.firstWord]!);
  }

  /** Numbers a write. */
  append(word: number, words: readonly number[], origin: number, core: number, begin: number, tick: number): Write {
    const write: Write = { number: ++this.numbered, word, words, origin };
    const { reference } = this;
    const at = word - this.firstWord;
    for (let i = 0; i < words.length; i++) reference[at + i] = cellOf(words[i]!, write.number);
    if (write.number <= this.limit) this.record.push({ write, core, begin, numbered: tick, retired: -1 });
    return write;
  }
}
