import { type Instant, NEVER } from '@numalab/base';
import type { LinkFaults } from './faults/link-faults.ts';
import type { TallyKeeper } from './faults/tally.ts';
import { FRAME } from './kinds.ts';
import { LiveRingReader, LiveRingWriter, liveRingBytes } from './live-ring.ts';
import { type Frame, Session } from './session.ts';

/** Real time in picoseconds; a thread that waits for its core answers within the first of these almost always. */
const TIMES = { retransmitTicks: 20e9, acknowledgeTicks: 2e9, checksums: true };
const PS_PER_MS = 1e9;
/** The one kind of record on the wire. */
const WIRE_FRAME = 1;

/** What one end of a {@link LiveLink} is given. */
export interface LiveLinkPorts {
  /** The rings that the two threads share. */
  readonly out: LiveRingWriter;
  readonly in: LiveRingReader;
  /** Words of the rings on this side of the session. */
  readonly words: number;
  /** The process at the other end. */
  readonly peer: number;
  /** What happens to frames on the way out, and the account of it. */
  readonly faults: LinkFaults | null;
  readonly tally: TallyKeeper;
  /** What planned faults call a record of `kind`: a message kind. */
  readonly kindOf: (kind: number) => number;
  /** Milliseconds of the threads' common clock, and the moment on it at which faults count from 0. */
  readonly now: () => number;
  readonly beganMs: () => number;
  /** Wakes the other end: it has been sent something. */
  readonly wake: () => void;
}

/**
 * One end of the way of messages between two threads, when messages on it may be lost, repeated, held up or damaged: the session
 * layer of the simulator between two rings, in real time. Whoever uses it has a ring to write to and one to read from as
 * if there were nothing in between, and lets the link run in every turn of its thread. Runs without such faults have no link.
 */
export class LiveLink {
  /** The user's ends. */
  readonly sender: LiveRingWriter;
  readonly receiver: LiveRingReader;
  private readonly outgoing: LiveRingReader;
  private readonly incoming: LiveRingWriter;
  private readonly ports: LiveLinkPorts;
  private readonly session: Session;
  private wakeAt: Instant = NEVER;
  /** Frames that later ones overtake. */
  private held: { readonly ms: number; readonly frame: Frame }[] = [];

  constructor(ports: LiveLinkPorts) {
    const { words } = ports;
    const loops = new SharedArrayBuffer(2 * liveRingBytes(words));
    this.ports = ports;
    this.sender = new LiveRingWriter(loops, 0, words);
    this.outgoing = new LiveRingReader(loops, 0, words);
    this.incoming = new LiveRingWriter(loops, liveRingBytes(words), words);
    this.receiver = new LiveRingReader(loops, liveRingBytes(words), words);
    this.session = new Session(
      {
        transmit: (frame, at) => this.transmit(frame, at),
        deliver: (_kind, kind, due, body) => this.deliver(kind, due, body as readonly number[]),
        wakeAt: (at) => {
          if (at < this.wakeAt) this.wakeAt = at;
        },
        restarted: () => {},
        damaged: ({ flaw }) => ports.tally.repaired(flaw),
      },
      TIMES,
    );
  }

  private at(): Instant {
    return Math.round((this.ports.now() - this.ports.beganMs()) * PS_PER_MS) as Instant;
  }

  private transmit(frame: Frame, at: Instant): void {
    const { faults, peer } = this.ports;
    if (faults === null) this.put(frame, 0, false);
    else faults.send(peer, frame, at, (sent, delayPs, overtakes) => this.put(sent, delayPs, overtakes));
  }

  private put(frame: Frame, delayPs: number, overtakes: boolean): void {
    const { out, now } = this.ports;
    const ms = delayPs === 0 ? 0 : now() + delayPs / PS_PER_MS;
    if (overtakes && delayPs > 0) {
      this.held.push({ ms, frame });
      return;
    }
    out.begin(WIRE_FRAME, ms);
    out.value(frame);
    out.end();
  }

  private deliver(kind: number, due: number, words: readonly number[]): boolean {
    const { incoming } = this;
    incoming.begin(kind, due);
    for (const word of words) incoming.word(word);
    incoming.end();
    return true;
  }

  /** Takes what came in, sends what was put and is due. Call it before reading and after writing. */
  run(): void {
    const { ports, outgoing, incoming, session } = this;
    this.sender.publish();
    const now = ports.now();
    while (ports.in.next(now)) session.receive(ports.in.value() as Frame, this.at());
    ports.in.release();
    while (outgoing.next(Infinity)) {
      const { kind, due } = outgoing;
      session.send(ports.kindOf(kind) || FRAME, kind, due, outgoing.rest(), this.at());
    }
    outgoing.release();
    if (this.at() >= this.wakeAt) {
      this.wakeAt = NEVER;
      session.timeout(this.at());
    }
    for (const { frame } of this.held.filter(({ ms }) => ms <= now)) this.put(frame, 0, false);
    if (this.held.length > 0) this.held = this.held.filter(({ ms }) => ms > now);
    incoming.publish();
    if (ports.out.publish()) ports.wake();
  }

  /** When {@link run} has something to do, in milliseconds of the clock. */
  nextMs(): number {
    const { ports } = this;
    let next = Math.min(ports.in.nextDue(), ports.beganMs() + this.wakeAt / PS_PER_MS);
    for (const { ms } of this.held) next = Math.min(next, ms);
    return next;
  }
}
