import { Digest, type Instant } from '@numalab/base';
import { EventQueue } from './event-queue.ts';
import { LINE } from './kinds.ts';
import { type Message, orderOf } from './message.ts';
import type { TraceSink } from './trace.ts';

/**
 * A process of the simulation: one node, or the hypervisor. It owns its state alone and acts on messages only, in the order
 * (time, class, sender, sequence number). `step(limit)` may be called with any limits that never go past the moment until
 * which all messages are known: limits only batch, and change nothing that happens.
 */
export abstract class Process {
  readonly id: number;
  /** What was sent to others since the last step; the engine takes it. */
  readonly outbox: Message[] = [];
  /** Hash of all messages that took effect. */
  readonly digest: Digest = new Digest();
  /** Messages that took effect. */
  eventCount = 0;
  /** Where events go; null: nowhere. */
  trace: TraceSink | null = null;
  protected readonly queue: EventQueue = new EventQueue();
  private sequence = 0;

  constructor(id: number) {
    this.id = id;
  }

  /** Moment of the next thing this process would do; NEVER if it only waits for messages. */
  abstract nextTime(): Instant;
  /** Does everything that happens before `limit`, and gives {@link nextTime} as it is then. */
  abstract step(limit: Instant): Instant;

  /** Takes a message of another process. */
  receive(message: Message): void {
    this.queue.push(message);
  }

  /** Whether something is still under way, or will be without messages from others. */
  isQuiet(): boolean {
    return this.queue.size === 0;
  }

  /** Puts a message where it belongs: into the own queue or the outbox. `time` is its arrival. */
  protected post(
    time: Instant,
    messageClass: number,
    to: number,
    kind: number,
    a: number,
    b: number,
    c: number,
    body: unknown,
  ): void {
    const order = orderOf(messageClass, this.id, this.sequence++);
    // A receiver that came out of a division would be kept as a fraction could be, and every message be made over for it.
    const message: Message = { time, order, to: to | 0, from: this.id, kind, a, b, c, body };
    if (to === this.id) this.queue.push(message);
    else this.outbox.push(message);
  }

  /** Folds a message that takes effect into the digest and counts it. */
  protected account(message: Message): void {
    this.eventCount++;
    const { digest } = this;
    digest.number(message.time);
    digest.word((message.kind << 16) ^ (message.from << 8) ^ message.to);
    digest.word(message.a);
    digest.word(message.b);
    if (this.trace !== null) this.traceMessage(message, this.trace);
  }

  /** What a line holds is left out: it would be most of a trace. */
  private traceMessage({ time, kind, from, a, b, c, body }: Message, trace: TraceSink): void {
    trace.add(time, kind, from, a, b, c, kind === LINE ? null : body);
  }
}
