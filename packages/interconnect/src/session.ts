import { type Instant, NEVER, Queue } from '@numalab/base';
import { checksumOf } from './checksum.ts';

/** What travels between two sessions. */
export interface Frame {
  /** Incarnation of the sender. */
  readonly epoch: number;
  /** Incarnation of the receiver that this is meant for; 0: the sender has just begun and does not know it. */
  readonly peer: number;
  /** 1 for the first frame with a body in this pair of epochs; 0 for a frame that only acknowledges. */
  readonly sequence: number;
  /** All frames of the other side up to this one have been delivered. */
  readonly acknowledged: number;
  /** A frame behind the acknowledged one is here, so that one is missing. */
  readonly gap: boolean;
  /** What the body is, and its operands. */
  readonly kind: number;
  readonly a: number;
  readonly b: number;
  readonly body: unknown;
  /** Of all that stands above; 0 where nothing can be corrupted. */
  readonly checksum: number;
  /** Name of the planned fault that damaged it, for the account alone: nothing that is modelled looks at it. */
  readonly flaw: string;
}

/** What a session needs from the process it lives in. */
export interface SessionPort {
  /** Sends a frame over the raw link. */
  transmit(frame: Frame, at: Instant): void;
  /** Hands a message up, once and in order. False: there is no room; it is offered again after {@link Session.resume}. */
  deliver(kind: number, a: number, b: number, body: unknown, at: Instant): boolean;
  /** Asks for {@link Session.timeout} at `at`. May be asked again for a later moment before that. */
  wakeAt(at: Instant): void;
  /** The other side has begun anew: nothing that it was sent or had sent before counts. */
  restarted(epoch: number, at: Instant): void;
  /** A frame arrived damaged and was dropped. */
  damaged?(frame: Frame): void;
}

/** Spans in picoseconds. */
export interface SessionTimes {
  /** An unacknowledged frame is sent again after this long, doubling up to 16 times. */
  readonly retransmitTicks: number;
  /** An acknowledgement that found nothing to ride on goes by itself after this long. */
  readonly acknowledgeTicks: number;
  /** Frames carry checksums. They cost time, so they are left out where nothing can corrupt a frame. */
  readonly checksums?: boolean;
  /** Known bugs that are switched on, by their numbers in the catalogue. */
  readonly bugs?: readonly string[];
}

/** Kind of a frame that only acknowledges; kind of the first one of a new incarnation. */
export const FRAME_ACKNOWLEDGEMENT = 0;
export const FRAME_HELLO = -1;

/** Frames under way at most; what is sent beyond waits. */
export const SESSION_WINDOW = 256;
/** Frames sent again at one time at most. */
const BURST = 16;
/** Bug 40: more than so many frames are not kept. */
const SMALL_LOG = 2;
const MAX_BACK_OFF = 16;

interface Outgoing {
  readonly sequence: number;
  readonly kind: number;
  readonly a: number;
  readonly b: number;
  readonly body: unknown;
}

/** `headOnly` is bug 56. */
const sumOf = ({ epoch, peer, sequence, acknowledged, gap, kind, a, b, body }: Frame, headOnly: boolean): number =>
  checksumOf(epoch, peer, sequence, acknowledged, gap, kind, a, b, headOnly ? null : body);

/**
 * One side of a link that delivers messages in order and exactly once within a pair of incarnations, over a link that may
 * lose, repeat, reorder and corrupt frames. Cumulative acknowledgements ride on frames of the other direction; where there
 * are none, a timer sends one. What was not acknowledged is sent again, with back-off, and at once where the other side sees
 * a gap. At most {@link SESSION_WINDOW} frames are under way. A side that restarts says hello until it is answered; frames
 * of and for earlier incarnations are dropped.
 */
export class Session {
  private readonly port: SessionPort;
  private readonly times: SessionTimes;
  private readonly overwrites: boolean;
  private readonly ignoresEpochs: boolean;
  private readonly sumsHeadOnly: boolean;
  private epoch = 1;
  private peer = 1;
  private isOpen = true;
  private nextSequence = 1;
  private delivered = 0;
  private acknowledged = 0;
  private oweAcknowledgement: Instant = NEVER;
  private retransmitAt: Instant = NEVER;
  private backOff = 1;
  /** The gap that was repaired last, so that each is repaired once at once. */
  private filled = 0;
  private readonly unacknowledged = new Queue<Outgoing>();
  private readonly backlog = new Queue<Outgoing>();
  private readonly early = new Map<number, Frame>();
  /** Frames sent a second time, dropped as repeated or stale, and dropped as damaged. */
  retransmitted = 0;
  dropped = 0;
  damaged = 0;

  constructor(port: SessionPort, times: SessionTimes) {
    this.port = port;
    this.times = times;
    const { bugs = [] } = times;
    this.overwrites = bugs.includes('40');
    this.ignoresEpochs = bugs.includes('53');
    this.sumsHeadOnly = bugs.includes('56');
  }

  /** Messages wait because too many are under way: whoever can should send no more. */
  get isCongested(): boolean {
    return this.backlog.length > 0;
  }

  /** Messages that the other side has not acknowledged. */
  get pending(): number {
    return this.unacknowledged.length + this.backlog.length;
  }

  /** Incarnation of the other side that this one talks to; 0: not known yet. */
  get peerEpoch(): number {
    return this.peer;
  }

  /** Sends a message; it will arrive unless this side or the other is restarted. */
  send(kind: number, a: number, b: number, body: unknown, at: Instant): void {
    if (!this.isOpen) return;
    const outgoing = { sequence: this.nextSequence++, kind, a, b, body };
    if (this.peer === 0 || this.unacknowledged.length >= SESSION_WINDOW) this.backlog.push(outgoing);
    else this.launch(outgoing, at);
  }

  private launch(outgoing: Outgoing, at: Instant): void {
    this.unacknowledged.push(outgoing);
    // Bug 40: what a slow peer has not taken is overwritten, so that it cannot be sent again.
    if (this.overwrites && this.unacknowledged.length > SMALL_LOG) this.unacknowledged.shift();
    if (this.retransmitAt === NEVER) this.arm(at);
    this.transmit(outgoing, false, at);
  }

  /** A frame came in over the raw link. */
  receive(frame: Frame, at: Instant): void {
    if (this.times.checksums === true && frame.checksum !== sumOf(frame, this.sumsHeadOnly)) {
      this.damaged++;
      this.port.damaged?.(frame);
      return;
    }
    if (!this.accepts(frame, at)) {
      this.dropped++;
      return;
    }
    this.takeAcknowledgement(frame, at);
    if (frame.sequence === 0) {
      if (frame.kind === FRAME_HELLO) this.acknowledge(at);
      return;
    }
    if (this.oweAcknowledgement === NEVER) {
      this.oweAcknowledgement = (at + this.times.acknowledgeTicks) as Instant;
      this.port.wakeAt(this.oweAcknowledgement);
    }
    if (frame.sequence <= this.delivered || this.early.has(frame.sequence)) {
      this.dropped++;
      return;
    }
    if (frame.sequence > this.delivered + SESSION_WINDOW) return;
    // Most frames come in order, and need not be kept.
    if (frame.sequence === this.delivered + 1 && this.early.size === 0) {
      if (!this.offer(frame, at)) this.early.set(frame.sequence, frame);
      return;
    }
    this.early.set(frame.sequence, frame);
    this.resume(at);
    if (this.early.size > 0 && !this.early.has(this.delivered + 1)) this.acknowledge(at);
  }

  /** Whether a frame is of this pair of incarnations; a hello, or the first answer to one, makes it so. */
  private accepts(frame: Frame, at: Instant): boolean {
    if (frame.kind === FRAME_HELLO && frame.sequence === 0) {
      if (frame.epoch < this.peer) return false;
      if (frame.epoch > this.peer) this.begin(frame.epoch, at);
      return this.isOpen;
    }
    // Bug 53: whatever life it is of.
    if (this.ignoresEpochs && this.peer !== 0) return this.isOpen;
    if (!this.isOpen || frame.peer !== this.epoch) return false;
    if (this.peer === 0) this.open(frame.epoch, at);
    return frame.epoch === this.peer;
  }

  /** The other side has begun anew. */
  private begin(epoch: number, at: Instant): void {
    const knewAnother = this.peer !== 0;
    this.isOpen = true;
    if (knewAnother) this.forget();
    this.open(epoch, at);
    if (knewAnother) this.port.restarted(epoch, at);
  }

  /** The other side's incarnation is known: what waited for it goes. */
  private open(epoch: number, at: Instant): void {
    this.peer = epoch;
    this.retransmitAt = NEVER;
    this.backOff = 1;
    this.fillWindow(at);
  }

  /** Offers what is here and in order again: there is room. */
  resume(at: Instant): void {
    for (;;) {
      const frame = this.early.get(this.delivered + 1);
      if (frame === undefined || !this.offer(frame, at)) return;
      this.early.delete(frame.sequence);
    }
  }

  /** Hands up the next frame. False: there is no room. */
  private offer({ kind, a, b, body, sequence }: Frame, at: Instant): boolean {
    const { epoch, peer } = this;
    if (!this.port.deliver(kind, a, b, body, at)) return false;
    // A message may restart the session, or end it.
    if (this.epoch === epoch && this.peer === peer && this.isOpen) this.delivered = sequence;
    return true;
  }

  /** The moment asked for by {@link SessionPort.wakeAt} has come. */
  timeout(at: Instant): void {
    if (at >= this.retransmitAt) {
      this.backOff = Math.min(MAX_BACK_OFF, this.backOff * 2);
      this.arm(at);
      if (this.peer === 0) this.hello(at);
      for (let i = 0; i < this.unacknowledged.length && i < BURST; i++)
        this.transmit(this.unacknowledged.at(i)!, true, at);
    }
    if (at >= this.oweAcknowledgement) this.acknowledge(at);
    const next = Math.min(this.retransmitAt, this.oweAcknowledgement) as Instant;
    if (next !== NEVER) this.port.wakeAt(next);
  }

  private arm(at: Instant): void {
    this.retransmitAt = (at + this.times.retransmitTicks * this.backOff) as Instant;
    this.port.wakeAt(this.retransmitAt);
  }

  private takeAcknowledgement({ acknowledged, gap }: Frame, at: Instant): void {
    if (acknowledged > this.acknowledged) {
      this.acknowledged = acknowledged;
      this.backOff = 1;
      while (this.unacknowledged.length > 0 && this.unacknowledged.at(0)!.sequence <= acknowledged) {
        this.unacknowledged.shift();
      }
      // The timer's moment only moves back here; the wake-up asked for earlier finds nothing to do and asks again.
      this.retransmitAt = this.unacknowledged.length === 0 ? NEVER : ((at + this.times.retransmitTicks) as Instant);
      this.fillWindow(at);
    }
    const first = this.unacknowledged.at(0);
    if (!gap || first === undefined || first.sequence !== acknowledged + 1 || this.filled === first.sequence) return;
    this.filled = first.sequence;
    this.transmit(first, true, at);
  }

  private fillWindow(at: Instant): void {
    while (this.backlog.length > 0 && this.unacknowledged.length < SESSION_WINDOW) {
      this.launch(this.backlog.shift()!, at);
    }
  }

  private acknowledge(at: Instant): void {
    this.put(0, FRAME_ACKNOWLEDGEMENT, 0, 0, null, at);
  }

  private hello(at: Instant): void {
    this.put(0, FRAME_HELLO, 0, 0, null, at);
  }

  private transmit({ sequence, kind, a, b, body }: Outgoing, again: boolean, at: Instant): void {
    if (again) this.retransmitted++;
    this.put(sequence, kind, a, b, body, at);
  }

  private put(sequence: number, kind: number, a: number, b: number, body: unknown, at: Instant): void {
    this.oweAcknowledgement = NEVER;
    const { epoch, peer, delivered, early } = this;
    const gap = early.size > 0 && !early.has(delivered + 1);
    const frame = { epoch, peer, sequence, acknowledged: delivered, gap, kind, a, b, body, checksum: 0, flaw: '' };
    if (this.times.checksums === true) frame.checksum = sumOf(frame, this.sumsHeadOnly);
    this.port.transmit(frame, at);
  }

  /** This side begins anew, in incarnation `epoch`: says hello until the other side answers. */
  restart(epoch: number, at: Instant): void {
    this.forget();
    this.epoch = epoch;
    this.peer = 0;
    this.isOpen = true;
    this.arm(at);
    this.hello(at);
  }

  /** The other side is gone: nothing is sent or taken until it says hello in a later incarnation. */
  close(): void {
    this.forget();
    this.isOpen = false;
  }

  private forget(): void {
    this.nextSequence = 1;
    this.delivered = 0;
    this.acknowledged = 0;
    this.oweAcknowledgement = NEVER;
    this.retransmitAt = NEVER;
    this.backOff = 1;
    this.filled = 0;
    this.unacknowledged.clear();
    this.backlog.clear();
    this.early.clear();
  }
}
