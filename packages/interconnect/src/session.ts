import { assert, type Instant, NEVER } from '@numalab/base';

/** What travels between two sessions. */
export interface Frame {
  /** Incarnation of the sender; frames of an older one are dropped. */
  readonly epoch: number;
  /** 1 for the first frame with a body in this epoch; 0 for a frame that only acknowledges. */
  readonly sequence: number;
  /** All frames of the other side up to this one have been delivered. */
  readonly acknowledged: number;
  readonly body: unknown;
}

/** What a session needs from the process it lives in. */
export interface SessionPort {
  /** Sends a frame over the raw link. */
  transmit(frame: Frame, at: Instant): void;
  /** Hands a body up, once and in order. */
  deliver(body: unknown, at: Instant): void;
  /** Asks for {@link Session.timeout} at `at`. May be asked again for a later moment before that. */
  wakeAt(at: Instant): void;
}

/** Spans in picoseconds. */
export interface SessionTimes {
  /** An unacknowledged frame is sent again after this long, doubling up to 16 times. */
  readonly retransmitTicks: number;
  /** An acknowledgement that found nothing to ride on goes by itself after this long. */
  readonly acknowledgeTicks: number;
}

/**
 * One side of a link that delivers bodies in order and exactly once within an epoch, over a link that may lose, repeat and
 * reorder frames. Cumulative acknowledgements ride on frames of the other direction; where there are none, a timer sends
 * one. What was not acknowledged is sent again, with back-off.
 */
export class Session {
  private readonly port: SessionPort;
  private readonly times: SessionTimes;
  private epoch = 1;
  private peerEpoch = 0;
  private nextSequence = 1;
  private delivered = 0;
  private acknowledged = 0;
  private oweAcknowledgement: Instant = NEVER;
  private retransmitAt: Instant = NEVER;
  private backOff = 1;
  private readonly unacknowledged: { sequence: number; body: unknown }[] = [];
  private readonly early = new Map<number, unknown>();
  /** Frames sent a second time, and frames dropped as repeated or stale. */
  retransmitted = 0;
  dropped = 0;

  constructor(port: SessionPort, times: SessionTimes) {
    this.port = port;
    this.times = times;
  }

  /** Sends a body; it will arrive unless this side or the other is restarted. */
  send(body: unknown, at: Instant): void {
    const sequence = this.nextSequence++;
    this.unacknowledged.push({ sequence, body });
    if (this.retransmitAt === NEVER) this.arm(at);
    this.transmit(sequence, body, at);
  }

  /** A frame came in over the raw link. */
  receive(frame: Frame, at: Instant): void {
    if (frame.epoch < this.peerEpoch) {
      this.dropped++;
      return;
    }
    if (frame.epoch > this.peerEpoch) {
      this.peerEpoch = frame.epoch;
      this.delivered = 0;
      this.early.clear();
    }
    this.takeAcknowledgement(frame.acknowledged, at);
    if (frame.sequence === 0) return;
    if (this.oweAcknowledgement === NEVER) {
      this.oweAcknowledgement = (at + this.times.acknowledgeTicks) as Instant;
      this.port.wakeAt(this.oweAcknowledgement);
    }
    if (frame.sequence <= this.delivered || this.early.has(frame.sequence)) {
      this.dropped++;
      return;
    }
    this.early.set(frame.sequence, frame.body);
    for (let next = this.delivered + 1; this.early.has(next); next++) {
      const body = this.early.get(next);
      this.early.delete(next);
      this.delivered = next;
      this.port.deliver(body, at);
    }
  }

  /** The moment asked for by {@link SessionPort.wakeAt} has come. */
  timeout(at: Instant): void {
    if (at >= this.retransmitAt) {
      assert(this.unacknowledged.length > 0, 'a retransmission timer without frames');
      this.backOff = Math.min(16, this.backOff * 2);
      this.arm(at);
      for (const { sequence, body } of this.unacknowledged) {
        this.retransmitted++;
        this.transmit(sequence, body, at);
      }
    }
    if (at >= this.oweAcknowledgement) this.transmit(0, null, at);
    const next = Math.min(this.retransmitAt, this.oweAcknowledgement) as Instant;
    if (next !== NEVER) this.port.wakeAt(next);
  }

  private arm(at: Instant): void {
    this.retransmitAt = (at + this.times.retransmitTicks * this.backOff) as Instant;
    this.port.wakeAt(this.retransmitAt);
  }

  private takeAcknowledgement(upTo: number, at: Instant): void {
    if (upTo <= this.acknowledged) return;
    this.acknowledged = upTo;
    this.backOff = 1;
    while (this.unacknowledged.length > 0 && this.unacknowledged[0]!.sequence <= upTo) this.unacknowledged.shift();
    // The timer's moment only moves back here; the wake-up asked for earlier finds nothing to do and asks again.
    this.retransmitAt = this.unacknowledged.length === 0 ? NEVER : ((at + this.times.retransmitTicks) as Instant);
  }

  private transmit(sequence: number, body: unknown, at: Instant): void {
    this.oweAcknowledgement = NEVER;
    this.port.transmit({ epoch: this.epoch, sequence, acknowledged: this.delivered, body }, at);
  }

  /** As at power-on. */
  reset(): void {
    this.epoch = 1;
    this.peerEpoch = 0;
    this.nextSequence = 1;
    this.delivered = 0;
    this.acknowledged = 0;
    this.oweAcknowledgement = NEVER;
    this.retransmitAt = NEVER;
    this.backOff = 1;
    this.unacknowledged.length = 0;
    this.early.clear();
    this.retransmitted = 0;
    this.dropped = 0;
  }
}
