import type { Resync, Submission } from '@numalab/node-worker';
import type { Write } from '@numalab/protocols';

/** What the hypervisor knows of a write. Times in picoseconds of virtual time; -1: not yet. */
export interface JournalEntry {
  readonly write: Write;
  /** The bytes that the store replaced: what its core is told. */
  readonly old: readonly number[];
  /** Core on the node of origin, and its count of submissions. */
  readonly core: number;
  readonly serial: number;
  /** When the store trapped, by its node's report. */
  readonly begin: number;
  readonly numbered: number;
  retired: number;
}

/**
 * The order of writes, and the text as it is after all of them: numbers from 1, without gaps, never reused. The reference is
 * kept as the words that differ from the image at boot.
 */
export class Order {
  readonly journal: JournalEntry[] = [];
  private readonly image: Uint32Array;
  private readonly firstWord: number;
  private readonly changed = new Map<number, number>();

  /** `image` holds the words of the replicated span as replication found them; `firstWord` is the offset of the first. */
  constructor(image: Uint32Array, firstWord: number) {
    this.image = image;
    this.firstWord = firstWord;
  }

  /** The word at `word` (offset from `_text` in words) after the last numbered write. */
  wordAt(word: number): number {
    return this.changed.get(word) ?? this.image[word - this.firstWord]!;
  }

  /** Numbers a write of consecutive words. */
  append(
    word: number,
    words: readonly number[],
    old: readonly number[],
    origin: number,
    core: number,
    { begin, serial }: Pick<Submission, 'begin' | 'serial'>,
    now: number,
  ): JournalEntry {
    const write: Write = { number: this.journal.length + 1, word, words, origin };
    for (let i = 0; i < words.length; i++) this.changed.set(word + i, words[i]!);
    const entry: JournalEntry = { write, old, core, serial, begin, numbered: now, retired: -1 };
    this.journal.push(entry);
    return entry;
  }

  /** The last entry of the journal is gone: bugs 45 and 48. */
  loseLast(): void {
    this.journal.pop();
  }

  /** What is read back as entry `number` of the journal is this. */
  replace(number: number, record: Omit<JournalEntry, 'numbered' | 'retired'>): void {
    this.journal[number - 1] = { ...this.journal[number - 1]!, ...record };
  }

  /** As journal and image have it: what a hypervisor that has begun anew goes by. */
  rebuild(): void {
    this.changed.clear();
    for (const { write } of this.journal) {
      for (let i = 0; i < write.words.length; i++) this.changed.set(write.word + i, write.words[i]!);
    }
  }

  /** Every word that differs from the image after all writes up to `upTo`, with the number of its last. */
  resync(upTo: number): Resync {
    const values = new Map<number, number>();
    const numbers = new Map<number, number>();
    for (let number = 1; number <= upTo; number++) {
      const { word, words } = this.journal[number - 1]!.write;
      for (let i = 0; i < words.length; i++) {
        values.set(word + i, words[i]!);
        numbers.set(word + i, number);
      }
    }
    return { upTo, words: [...values.keys()], values: [...values.values()], numbers: [...numbers.values()] };
  }

  /** Words that differ from the image at boot, with their values. */
  changes(): ReadonlyMap<number, number> {
    return this.changed;
  }
}
