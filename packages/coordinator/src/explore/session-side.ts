import { type Instant, NEVER } from '@numalab/base';
import type { Frame, Session, SessionTimes } from '@numalab/interconnect';
import { fingerprint } from './fingerprint.ts';

/** One side of a link as it is explored: a real session, and what its user has sent and got. */
export type MakeSession = (...args: ConstructorParameters<typeof Session>) => Session;

/** What a message says, so that whoever gets it can tell whether it should. */
export interface Body {
  /** Life of the session's memory in which it was sent, and its place among the messages of that life. */
  readonly life: number;
  readonly place: number;
  /** Incarnation of the receiver that it was meant for; 0: whichever answers. */
  readonly to: number;
}

const KIND = 7;
export const TIMES: SessionTimes = { retransmitTicks: 1000, acknowledgeTicks: 200, checksums: true };
/** Names of what the search reads apart, or what never changes. */
const SKIPPED: ReadonlySet<string> = new Set(['port', 'times', 'retransmitted', 'dropped', 'damaged']);

/** What happens to one side. */
export type SideEvent =
  | { readonly type: 'send' | 'crash' | 'restart' | 'close' | 'timeout' }
  | { readonly type: 'frame'; readonly frame: Frame };

/** A side's state by what happened to it: sessions cannot be copied, so they are brought to a state from the beginning. */
export class Side {
  private readonly session: Session;
  readonly sent: Frame[] = [];
  broken = '';
  epoch = 1;
  isDown = false;
  /** When it wants to be woken. */
  wake: number = NEVER;
  /** Messages that are still to be sent. */
  left: number;
  /** Of what it sends: see {@link Body}; and the last that it got. */
  life = 1;
  place = 0;
  got: { life: number; place: number } = { life: 1, place: 0 };
  /** The other side has begun anew, and this one knows. */
  hasHeard = false;

  constructor(make: MakeSession, times: SessionTimes, messages: number) {
    this.left = messages;
    this.session = make(
      {
        transmit: (frame) => this.sent.push(frame),
        deliver: (_kind, _a, _b, body) => this.take(body as Body),
        wakeAt: (at) => {
          this.wake = Math.min(this.wake, at);
        },
        restarted: () => {
          this.begin();
          this.hasHeard = true;
          this.left++;
        },
      },
      times,
    );
  }

  /** What was sent and not acknowledged is forgotten, and what is sent now is of a new life. */
  private begin(): void {
    this.life++;
    this.place = 0;
  }

  private take({ life, place, to }: Body): boolean {
    const { got } = this;
    if (to !== 0 && to !== this.epoch) this.broken ||= 'delivers what was sent to an earlier life of the receiver';
    else if (life < got.life) this.broken ||= 'delivers what was sent in an earlier life of the sender';
    else if (life === got.life && place <= got.place) this.broken ||= 'delivers a message twice, or after a later one';
    else if (place !== (life === got.life ? got.place : 0) + 1) this.broken ||= 'leaves a message out';
    this.got = { life, place };
    return true;
  }

  apply(event: SideEvent, at: Instant): void {
    this.sent.length = 0;
    const { session } = this;
    if (event.type === 'send') {
      this.left--;
      const body: Body = { life: this.life, place: ++this.place, to: session.peerEpoch };
      session.send(KIND, 0, 0, body, at);
    } else if (event.type === 'frame') {
      if (!this.isDown) session.receive(event.frame, at);
    } else if (event.type === 'timeout') {
      this.wake = NEVER;
      session.timeout(at);
    } else if (event.type === 'restart') this.restart(at);
    else {
      session.close();
      if (event.type === 'crash') this.isDown = true;
      else this.begin();
    }
  }

  private restart(at: Instant): void {
    this.isDown = false;
    this.epoch++;
    this.wake = NEVER;
    this.begin();
    this.left++;
    this.session.restart(this.epoch, at);
  }

  /** What it counts as over: the other side's messages of the life that it speaks in now. */
  get view(): SideView {
    const { epoch, isDown, wake, left, life, place, got, broken, hasHeard } = this;
    return { epoch, isDown, wake, left, life, place, got, broken, hasHeard, pending: this.session.pending };
  }

  get key(): string {
    return fingerprint([this.session, this.view], SKIPPED);
  }
}

export interface SideView {
  readonly epoch: number;
  readonly isDown: boolean;
  readonly wake: number;
  readonly left: number;
  readonly life: number;
  readonly place: number;
  readonly got: { readonly life: number; readonly place: number };
  readonly broken: string;
  readonly hasHeard: boolean;
  readonly pending: number;
}
