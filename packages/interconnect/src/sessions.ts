import { type Instant, NEVER } from '@numalab/base';
import type { LinkFaults } from './faults/link-faults.ts';
import type { TallyKeeper } from './faults/tally.ts';
import { FRAME } from './kinds.ts';
import { type Frame, Session, type SessionTimes } from './session.ts';

/** What the sessions of one process need of it. */
export interface SessionHost {
  /** Puts a frame on the wire as message `kind`; `delayPs` and `overtakes` are a fault's doing. */
  put(to: number, kind: number, frame: Frame, at: Instant, delayPs: number, overtakes: boolean): void;
  /** Takes a message, once and in order. False: there is no room. */
  take(from: number, kind: number, a: number, b: number, body: unknown, at: Instant): boolean;
  /** Asks for {@link Sessions.timeout}. */
  timerAt(at: Instant, peer: number): void;
  /** A peer has begun anew. */
  restarted(peer: number, epoch: number, at: Instant): void;
}

/** A timer runs out this long after a frame was sent and not acknowledged, and after one came in and was not answered. */
const TIMES = { retransmitTicks: 200_000_000, acknowledgeTicks: 50_000_000 };

/** What a process talks to others through. */
export interface SessionLayer {
  /** More is under way to some peer than a session takes. */
  readonly isCongested: boolean;
  send(to: number, kind: number, a: number, b: number, body: unknown, at: Instant): void;
  receive(from: number, frame: Frame, at: Instant): void;
  timeout(peer: number, at: Instant): void;
  /** There is room again. */
  resume(at: Instant): void;
  /** This process begins anew, in incarnation `epoch`, and says so to `peers`. */
  restart(epoch: number, peers: readonly number[], at: Instant): void;
  /** Nothing is sent again any more: the run gives up, or this process is gone. */
  close(): void;
  /** That peer is gone. */
  closeWith(peer: number): void;
}

/** All sessions of one process, a session for each process that it talks to. */
export class Sessions implements SessionLayer {
  private readonly host: SessionHost;
  private readonly faults: LinkFaults | null;
  private readonly tally: TallyKeeper | null;
  private readonly times: SessionTimes;
  private readonly sessions = new Map<number, Session>();
  /** By peer: when its session wants {@link timeout}. */
  private readonly wakes: Instant[] = [];

  /** `faults` are what happens to frames on the way out, if anything does; then frames carry checksums. `bugs`: known ones. */
  constructor(host: SessionHost, faults: LinkFaults | null, tally: TallyKeeper | null, bugs: readonly string[] = []) {
    this.host = host;
    this.faults = faults;
    this.tally = tally;
    this.times = faults === null ? { ...TIMES, bugs } : { ...TIMES, checksums: true, bugs };
  }

  with(peer: number): Session {
    let session = this.sessions.get(peer);
    if (session === undefined) {
      session = this.open(peer);
      this.sessions.set(peer, session);
    }
    return session;
  }

  private open(peer: number): Session {
    const { host, faults, tally, wakes } = this;
    while (wakes.length <= peer) wakes.push(NEVER);
    return new Session(
      {
        transmit: (frame, at) => {
          const kind = frame.kind > 0 ? frame.kind : FRAME;
          if (faults === null) host.put(peer, kind, frame, at, 0, false);
          else {
            faults.send(peer, frame, at, (sent, delayPs, overtakes) =>
              host.put(peer, kind, sent, at, delayPs, overtakes),
            );
          }
        },
        deliver: (kind, a, b, body, at) => host.take(peer, kind, a, b, body, at),
        wakeAt: (at) => {
          if (at >= wakes[peer]!) return;
          wakes[peer] = at;
          host.timerAt(at, peer);
        },
        restarted: (epoch, at) => host.restarted(peer, epoch, at),
        damaged: ({ flaw }) => tally?.repaired(flaw),
      },
      this.times,
    );
  }

  send(to: number, kind: number, a: number, b: number, body: unknown, at: Instant): void {
    this.with(to).send(kind, a, b, body, at);
  }

  receive(from: number, frame: Frame, at: Instant): void {
    this.with(from).receive(frame, at);
  }

  /** A wake-up that was asked for and then overtaken by an earlier one has no say; one that was put off comes late. */
  timeout(peer: number, at: Instant): void {
    const wake = this.wakes[peer] ?? NEVER;
    if (wake === NEVER || at < wake) return;
    this.wakes[peer] = NEVER;
    this.with(peer).timeout(at);
  }

  resume(at: Instant): void {
    for (const session of this.sessions.values()) session.resume(at);
  }

  get isCongested(): boolean {
    for (const session of this.sessions.values()) if (session.isCongested) return true;
    return false;
  }

  /** Frames sent again, over all sessions. */
  get retransmitted(): number {
    let sum = 0;
    for (const session of this.sessions.values()) sum += session.retransmitted;
    return sum;
  }

  /** What waits for a peer: for the account of a run that did not come to its end. */
  waits(): readonly { readonly peer: number; readonly pending: number }[] {
    return [...this.sessions].map(([peer, { pending }]) => ({ peer, pending })).filter(({ pending }) => pending > 0);
  }

  restart(epoch: number, peers: readonly number[], at: Instant): void {
    this.wakes.fill(NEVER);
    for (const session of this.sessions.values()) session.close();
    for (const peer of peers) this.with(peer).restart(epoch, at);
  }

  closeWith(peer: number): void {
    this.with(peer).close();
  }

  close(): void {
    for (const session of this.sessions.values()) session.close();
  }
}
