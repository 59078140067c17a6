import { assert, type Instant } from '@numalab/base';
import type { Message } from './message.ts';
import { ValueReader, ValueWriter } from './value-codec.ts';

/**
 * The way of messages from one thread to another: a ring of two slots in shared memory. In every exchange the sender fills
 * one slot while the receiver may still read the other; which one is told by the exchange's number, and the barrier between
 * two exchanges is the only synchronisation. A stream that is longer than a slot goes over in several exchanges, so the size
 * of a message is not bounded and nobody waits for room.
 */

/** Words at the start of a slot: how many follow, and how many more of this stream are still to come. */
const SLOT_HEADER = 2;
const HAS_BODY = 2 ** 31;
/** Words of a message without body. */
const MESSAGE_WORDS = 6;

/** Words of shared memory that a ring with slots of `slotWords` takes. */
export const ringWords = (slotWords: number): number => 2 * (SLOT_HEADER + slotWords);

/** The sender's end of a ring. */
export class RingWriter {
  private readonly memory: Float64Array;
  private readonly slotWords: number;
  private readonly stream: ValueWriter = new ValueWriter();
  private flushed = 0;

  /** `memory` has {@link ringWords} words. */
  constructor(memory: Float64Array) {
    this.memory = memory;
    this.slotWords = memory.length / 2 - SLOT_HEADER;
    assert(Number.isInteger(this.slotWords) && this.slotWords > 0, 'a ring has two slots of the same size');
  }

  /** Adds a message to what the next exchange carries over. */
  put(message: Message): void {
    const { stream } = this;
    const { to, from, kind, body } = message;
    stream.reserve(MESSAGE_WORDS);
    const { words } = stream;
    let at = stream.length;
    words[at++] = to + from * 2 ** 8 + kind * 2 ** 16 + (body === null ? 0 : HAS_BODY);
    words[at++] = message.time;
    words[at++] = message.order;
    words[at++] = message.a;
    words[at++] = message.b;
    words[at++] = message.c;
    stream.length = at;
    if (body !== null) stream.value(body);
  }

  /** Fills the slot of exchange `exchange`. Returns how many words found no room: they go with the next exchanges. */
  flush(exchange: number): number {
    const { memory, stream } = this;
    const start = (exchange & 1) * (SLOT_HEADER + this.slotWords);
    const count = Math.min(this.slotWords, stream.length - this.flushed);
    const rest = stream.length - this.flushed - count;
    memory[start] = count;
    memory[start + 1] = rest;
    if (count === 0) return 0;
    memory.set(stream.words.subarray(this.flushed, this.flushed + count), start + SLOT_HEADER);
    this.flushed += count;
    if (rest === 0) {
      stream.clear();
      this.flushed = 0;
    }
    return rest;
  }
}

/** The receiver's end of a ring. */
export class RingReader {
  private readonly memory: Float64Array;
  private readonly slotWords: number;
  private readonly reader: ValueReader = new ValueReader();
  /** The beginning of a stream that takes several exchanges. */
  private parts: Float64Array = new Float64Array(0);
  private partsLength = 0;

  /** `memory` is the same as the writer's. */
  constructor(memory: Float64Array) {
    this.memory = memory;
    this.slotWords = memory.length / 2 - SLOT_HEADER;
  }

  /** Hands on the messages that exchange `exchange` completed, in the order in which they were put. */
  take(exchange: number, receive: (message: Message) => void): void {
    const { memory, reader } = this;
    const start = (exchange & 1) * (SLOT_HEADER + this.slotWords);
    const count = memory[start]!;
    if (count === 0) return;
    const rest = memory[start + 1]!;
    if (rest > 0 || this.partsLength > 0) {
      this.keep(start + SLOT_HEADER, count, rest);
      if (rest > 0) return;
      reader.open(this.parts, 0, this.partsLength);
    } else {
      reader.open(memory, start + SLOT_HEADER, count);
    }
    while (!reader.atEnd) receive(this.next());
    this.partsLength = 0;
  }

  private keep(start: number, count: number, rest: number): void {
    const needed = this.partsLength + count + rest;
    if (needed > this.parts.length) {
      const old = this.parts;
      this.parts = new Float64Array(needed);
      this.parts.set(old.subarray(0, this.partsLength));
    }
    this.parts.set(this.memory.subarray(start, start + count), this.partsLength);
    this.partsLength += count;
  }

  private next(): Message {
    const { reader } = this;
    const head = reader.word();
    const time = reader.word() as Instant;
    const order = reader.word();
    const a = reader.word();
    const b = reader.word();
    const c = reader.word();
    const hasBody = head >= HAS_BODY;
    const body = hasBody ? reader.value() : null;
    const kind = ((hasBody ? head - HAS_BODY : head) / 2 ** 16) | 0;
    return { time, order, to: head & 255, from: (head >>> 8) & 255, kind, a, b, c, body };
  }
}
