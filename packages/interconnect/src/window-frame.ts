import { assert, type Instant } from '@numalab/base';
import { Packr } from 'msgpackr';
import type { Message } from './message.ts';

/**
 * What one operating system process tells another after every window: one msgpackr frame with all messages of the window,
 * and with what the receiver needs to know until when it may go on. The array [exchange, next, isEnding, sent, numbers,
 * bodies]; `numbers` are {@link NUMBERS} for each message, `bodies` the bodies of those that have one.
 */

/** What a frame says beside its messages. */
export interface FrameHeader {
  /** Which exchange this is, counted from 0. */
  readonly exchange: number;
  /** When anything happens next where the frame comes from, in picoseconds; messages that it sends do not count. */
  readonly next: number;
  /** Somebody there wants the run to end. */
  readonly isEnding: boolean;
  /** By receiving process, the earliest arrival among the messages sent to it in this window; Infinity: none. */
  readonly sent: readonly number[];
}

/** to and from and kind in one, time, order, a, b, c. */
const NUMBERS = 6;
const HAS_BODY = 2 ** 31;

const newPackr = (): Packr => new Packr({ structuredClone: true, useBigIntExtension: true });

/** Collects the messages of a window for one receiver. */
export class FrameWriter {
  private readonly packr: Packr = newPackr();
  private numbers: number[] = [];
  private bodies: unknown[] = [];

  put(message: Message): void {
    const { to, from, kind, body } = message;
    const head = to + from * 2 ** 8 + kind * 2 ** 16 + (body === null ? 0 : HAS_BODY);
    this.numbers.push(head, message.time, message.order, message.a, message.b, message.c);
    if (body !== null) this.bodies.push(body);
  }

  /** The frame of everything put since the last one. */
  take(header: FrameHeader): Uint8Array {
    const { numbers, bodies } = this;
    this.numbers = [];
    this.bodies = [];
    return this.packr.pack([header.exchange, header.next, header.isEnding, header.sent, numbers, bodies]);
  }
}

/** Reads the frames of one {@link FrameWriter}. */
export class FrameReader {
  private readonly packr: Packr = newPackr();

  /** Hands on the messages of a frame in the order in which they were put. */
  read(frame: Uint8Array, receive: (message: Message) => void): FrameHeader {
    const [exchange, next, isEnding, sent, numbers, bodies] = this.packr.unpack(frame) as [
      number,
      number,
      boolean,
      number[],
      number[],
      unknown[],
    ];
    assert(numbers.length % NUMBERS === 0, 'a frame holds whole messages');
    for (let i = 0, taken = 0; i < numbers.length; i += NUMBERS) {
      const word = numbers[i]!;
      const hasBody = word >= HAS_BODY;
      const head = hasBody ? word - HAS_BODY : word;
      receive({
        time: numbers[i + 1] as Instant,
        order: numbers[i + 2]!,
        to: head & 255,
        from: (head >>> 8) & 255,
        kind: head >>> 16,
        a: numbers[i + 3]!,
        b: numbers[i + 4]!,
        c: numbers[i + 5]!,
        body: hasBody ? bodies[taken++] : null,
      });
    }
    return { exchange, next, isEnding, sent };
  }
}
