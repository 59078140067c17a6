import type { Instant } from '@numalab/base';
import type { Frame, SessionHost, SessionLayer } from '@numalab/interconnect';

/** What a process asks of its links. */
export interface LinkPort {
  send(to: number, kind: number, a: number, b: number, body: unknown): void;
  /** This process begins anew, and says so to `peers`. */
  restart(peers: readonly number[]): void;
  /** `peer` is gone; -1: this process is. */
  close(peer: number): void;
}

/**
 * A session layer that does what the real one promises and has nothing of its own to explore: in order and exactly once within
 * a pair of incarnations. What becomes of what is under way is up to the links, see `cable.ts`; that the real one keeps the
 * promise is explored apart.
 */
export class PerfectSessions implements SessionLayer {
  readonly isCongested = false;
  private readonly host: Pick<SessionHost, 'take'>;
  private readonly port: LinkPort;

  constructor(host: Pick<SessionHost, 'take'>, port: LinkPort) {
    this.host = host;
    this.port = port;
  }

  send(to: number, kind: number, a: number, b: number, body: unknown): void {
    this.port.send(to, kind, a, b, body);
  }

  receive(from: number, { kind, a, b, body }: Frame, at: Instant): void {
    this.host.take(from, kind, a, b, body, at);
  }

  restart(_epoch: number, peers: readonly number[]): void {
    this.port.restart(peers);
  }

  close(): void {
    this.port.close(-1);
  }

  closeWith(peer: number): void {
    this.port.close(peer);
  }

  timeout(): void {}

  resume(): void {}
}
