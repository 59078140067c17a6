import { assert } from '@numalab/base';
import { ValueReader, ValueWriter } from './value-codec.ts';

/**
 * The way of messages between two threads that really race: a ring of 64-bit words in shared memory with one writer and one
 * reader. A record is a header word (kind and length), the moment before which it must not be taken (0: at once), and its
 * words. The writer's position is published once for all records put since; the reader gives room back the same way. What
 * finds no room waits with the writer, in order, so a record is never lost and nobody spins for room.
 */

/** Words of a record before its contents. */
const HEADER_WORDS = 2;
/** Kinds are below this; the header is kind + length × this. */
const KINDS = 64;
/** Positions of writer and reader, each on a line of its own. */
const LINE_INTS = 16;
const CONTROL_BYTES = 2 * LINE_INTS * 4;
/** Positions count words modulo this, a multiple of every ring's size, so that they stay 32-bit integers. */
const WRAP = 2 ** 30;

/** Bytes of shared memory for a ring of `words` words, a power of two. */
export const liveRingBytes = (words: number): number => CONTROL_BYTES + words * 8;

/** Makes the ring at `offset` empty, as a new one is. Neither end may be in use. */
export const clearLiveRing = (memory: SharedArrayBuffer, offset: number): void => {
  new Int32Array(memory, offset, CONTROL_BYTES / 4).fill(0);
};

interface RingView {
  readonly control: Int32Array;
  readonly data: Float64Array;
  readonly mask: number;
}

const viewOf = (memory: SharedArrayBuffer, offset: number, words: number): RingView => {
  assert(words > 0 && (words & (words - 1)) === 0, 'the size of a ring is a power of two');
  return {
    control: new Int32Array(memory, offset, CONTROL_BYTES / 4),
    data: new Float64Array(memory, offset + CONTROL_BYTES, words),
    mask: words - 1,
  };
};

/** The sender's end. */
export class LiveRingWriter {
  /** Records put so far. */
  sent = 0;
  private readonly view: RingView;
  private scratch = new Float64Array(256);
  private length = 0;
  private head = 0;
  /** The reader's position as last seen. */
  private tail = 0;
  private published = 0;
  private readonly waiting: Float64Array[] = [];
  private values: ValueWriter | null = null;

  /** The ring of `words` words at `offset` of `memory`. */
  constructor(memory: SharedArrayBuffer, offset: number, words: number) {
    this.view = viewOf(memory, offset, words);
  }

  /** Begins a record of `kind`, which must not be taken before `due` (milliseconds of the threads' common clock; 0: at once). */
  begin(kind: number, due: number): void {
    this.scratch[0] = kind;
    this.scratch[1] = due;
    this.length = HEADER_WORDS;
  }

  /** Adds a word to the record. */
  word(value: number): void {
    if (this.length === this.scratch.length) {
      const old = this.scratch;
      this.scratch = new Float64Array(old.length * 2);
      this.scratch.set(old);
    }
    this.scratch[this.length++] = value;
  }

  /** Adds plain data to the record. */
  value(value: unknown): void {
    this.values ??= new ValueWriter();
    const { values } = this;
    values.clear();
    values.value(value);
    for (let i = 0; i < values.length; i++) this.word(values.words[i]!);
  }

  /** Ends the record. It can be taken once it is published. */
  end(): void {
    const { scratch, length } = this;
    scratch[0] = scratch[0]! + KINDS * length;
    this.sent++;
    if (this.waiting.length > 0 || !this.put(scratch, length)) this.waiting.push(scratch.slice(0, length));
  }

  private put(words: Float64Array, length: number): boolean {
    const { data, mask } = this.view;
    assert(length <= data.length, 'a record is longer than its ring');
    if (!this.hasRoom(length)) return false;
    const { head } = this;
    for (let i = 0; i < length; i++) data[(head + i) & mask] = words[i]!;
    this.head = (head + length) & (WRAP - 1);
    return true;
  }

  /** Lets the reader see all records. Returns whether there is any that it could not see before. */
  publish(): boolean {
    const { waiting } = this;
    if (waiting.length > 0) {
      let taken = 0;
      while (taken < waiting.length && this.put(waiting[taken]!, waiting[taken]!.length)) taken++;
      waiting.splice(0, taken);
    }
    if (this.published === this.head) return false;
    this.published = this.head;
    Atomics.store(this.view.control, 0, this.head);
    return true;
  }

  /** Goes on where another writer of the ring has stopped: of several, one at a time may write, and whoever begins calls this. */
  resume(): void {
    const { control } = this.view;
    this.head = Atomics.load(control, 0);
    this.published = this.head;
    // Not only when room runs out: what was seen long ago says nothing once positions have gone round.
    this.tail = Atomics.load(control, LINE_INTS);
  }

  /** Whether `words` words find room now. */
  hasRoom(words: number): boolean {
    const { data, control } = this.view;
    if (data.length - ((this.head - this.tail) & (WRAP - 1)) >= words) return true;
    this.tail = Atomics.load(control, LINE_INTS);
    return data.length - ((this.head - this.tail) & (WRAP - 1)) >= words;
  }

  /** Whether the reader has given back the room of all that it could see. */
  get isTaken(): boolean {
    return Atomics.load(this.view.control, LINE_INTS) === this.published;
  }

  /** Records that wait for room. */
  get backlog(): number {
    return this.waiting.length;
  }
}

/** The receiver's end. */
export class LiveRingReader {
  /** Records taken so far. */
  taken = 0;
  /** Kind of the record that {@link next} found, and the moment before which it must not be taken. */
  kind = 0;
  due = 0;
  private readonly view: RingView;
  private head = 0;
  private tail = 0;
  private at = 0;
  private end = 0;
  private given = 0;
  private values: ValueReader | null = null;
  private scratch = new Float64Array(256);

  constructor(memory: SharedArrayBuffer, offset: number, words: number) {
    this.view = viewOf(memory, offset, words);
  }

  /** Whether a record has been published that was not taken; it may not be due yet. */
  get hasMore(): boolean {
    if (this.tail !== this.head) return true;
    this.head = Atomics.load(this.view.control, 0);
    return this.tail !== this.head;
  }

  /** The moment before which the next record must not be taken; Infinity if there is none. */
  nextDue(): number {
    return this.hasMore ? this.view.data[(this.tail + 1) & this.view.mask]! : Infinity;
  }

  /** Opens the next record if there is one that is due by `now`. */
  next(now: number): boolean {
    if (!this.hasMore) return false;
    const { data, mask } = this.view;
    const due = data[(this.tail + 1) & mask]!;
    if (due > now) return false;
    this.due = due;
    const header = data[this.tail & mask]!;
    const length = Math.floor(header / KINDS);
    this.kind = header - length * KINDS;
    this.at = this.tail + HEADER_WORDS;
    this.end = this.tail + length;
    this.tail = this.end & (WRAP - 1);
    this.taken++;
    return true;
  }

  /** The next word of the open record. */
  word(): number {
    return this.view.data[this.at++ & this.view.mask]!;
  }

  /** All words of the open record that were not taken yet, as they are: for passing it on. */
  rest(): number[] {
    const words: number[] = [];
    while (this.at < this.end) words.push(this.word());
    return words;
  }

  /** The plain data that the rest of the open record is. */
  value(): unknown {
    this.values ??= new ValueReader();
    const count = this.end - this.at;
    if (count > this.scratch.length) this.scratch = new Float64Array(2 * count);
    for (let i = 0; i < count; i++) this.scratch[i] = this.word();
    this.values.open(this.scratch, 0, count);
    return this.values.value();
  }

  /** Gives the room of all records taken back. */
  release(): void {
    if (this.given === this.tail) return;
    this.given = this.tail;
    Atomics.store(this.view.control, LINE_INTS, this.tail);
  }
}
