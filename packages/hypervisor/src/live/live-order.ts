import { cellOf, wordOfCell } from '@numalab/node-worker';
import type { Write } from '@numalab/protocols';

/** A write as the record keeps it; `begin` is a tick. */
export interface LiveEntry {
  readonly write: Write;
  readonly core: number;
  readonly begin: number;
}

/**
 * The first writes of an order, as many as there is room for. In columns, not in objects: an engine that sees writes live on
 * puts those that come after the record, and die at once, among what is old too.
 */
class LiveRecord {
  length = 0;
  private readonly number: Int32Array;
  private readonly first: Int32Array;
  private readonly origin: Int32Array;
  private readonly core: Int32Array;
  private readonly begin: Float64Array;
  /** Where the words of the next write begin in `words`. */
  private readonly ends: Int32Array;
  private words: Uint32Array;

  constructor(limit: number) {
    this.number = new Int32Array(limit);
    this.first = new Int32Array(limit);
    this.origin = new Int32Array(limit);
    this.core = new Int32Array(limit);
    this.begin = new Float64Array(limit);
    this.ends = new Int32Array(limit);
    this.words = new Uint32Array(2 * limit);
  }

  /** Adds a write, if its number is among the first. */
  add(write: Write, core: number, begin: number): void {
    const i = this.length;
    if (write.number > this.first.length) return;
    this.length++;
    const at = i === 0 ? 0 : this.ends[i - 1]!;
    const end = at + write.words.length;
    if (end > this.words.length) {
      const old = this.words;
      this.words = new Uint32Array(2 * end);
      this.words.set(old);
    }
    for (let w = at; w < end; w++) this.words[w] = write.words[w - at]!;
    this.number[i] = write.number;
    this.first[i] = write.word;
    this.origin[i] = write.origin;
    this.core[i] = core;
    this.begin[i] = begin;
    this.ends[i] = end;
  }

  /** All of them, in order. */
  entries(): LiveEntry[] {
    return Array.from({ length: this.length }, (_, i) => {
      const words = [...this.words.subarray(i === 0 ? 0 : this.ends[i - 1]!, this.ends[i]!)];
      const write = { number: this.number[i]!, word: this.first[i]!, words, origin: this.origin[i]! };
      return { write, core: this.core[i]!, begin: this.begin[i]! };
    });
  }
}

/**
 * The order of a live run: numbers, and the text after all writes as cells in shared memory. Of the writes themselves the
 * first are kept, as many as the record has room for; what comes after is in the reference alone, so memory does not grow.
 */
export class LiveOrder {
  /** The number given out last. */
  numbered = 0;
  private readonly record: LiveRecord;
  private readonly reference: Float64Array;
  private readonly firstWord: number;
  private readonly cells = new Float64Array(16);
  /** The words and the number from which they were made. */
  private madeOf: readonly number[] | null = null;
  private madeFor = 0;

  /** `reference` has a cell for each word of the replicated span, whose first is `firstWord` from `_text`. */
  constructor(reference: Float64Array, firstWord: number, limit: number) {
    this.reference = reference;
    this.firstWord = firstWord;
    this.record = new LiveRecord(limit);
  }

  /** The cells of a write's words, in an array that is used again: who stores them into several copies makes them once. */
  cellsOf({ number, words }: Write): Float64Array {
    const { cells } = this;
    if (words === this.madeOf && number === this.madeFor) return cells;
    for (let i = 0; i < words.length; i++) cells[i] = cellOf(words[i]!, number);
    this.madeOf = words;
    this.madeFor = number;
    return cells;
  }

  /** The word at `word` after the last numbered write. */
  wordAt(word: number): number {
    return wordOfCell(this.reference[word - this.firstWord]!);
  }

  /** Numbers a write. */
  append(word: number, words: readonly number[], origin: number, core: number, begin: number): Write {
    const write: Write = { number: ++this.numbered, word, words, origin };
    const { reference } = this;
    const at = word - this.firstWord;
    const cells = this.cellsOf(write);
    for (let i = 0; i < words.length; i++) reference[at + i] = cells[i]!;
    this.record.add(write, core, begin);
    return write;
  }

  /** The first writes, in order. */
  recorded(): LiveEntry[] {
    return this.record.entries();
  }
}
