import type { Instant } from '@numalab/base';
import { HypervisorCrash, HypervisorProcess, type JournalEntry } from '@numalab/hypervisor';
import * as link from '@numalab/interconnect';
import type { MachineSpec } from '@numalab/node-worker';
import type { Protocol } from '@numalab/protocols';
import { fingerprint } from './fingerprint.ts';
import { HalfWatch } from './half-watch.ts';
import type { LocalEvent, Output, Sent } from './local-event.ts';
import { PerfectSessions } from './perfect-sessions.ts';

/** The crash that is explored; the plan only tells the hypervisor that it may crash at all. */
const CRASH = 'explored';

/** What never changes, what no decision looks at, and what `HalfWatch` stands for. */
const SKIPPED: ReadonlySet<string> = new Set([
  'spec',
  'latencies',
  'links',
  'tally',
  'crashes',
  'queue',
  'outbox',
  'digest',
  'eventCount',
  'sequence',
  'sessions',
  'layout',
  'image',
  'port',
  'options',
  'half',
  'makeHalf',
  'now',
  'sent',
  'hypervisor',
  'outputs',
  'reached',
  'crashAt',
  'watch',
  // The protocol's host, while it is nobody's.
  'host',
]);
const SKIPPED_OF_HOST: ReadonlySet<string> = new Set([...SKIPPED, 'durable']);

/** What the search looks at. */
export interface HypervisorView {
  readonly isUp: boolean;
  readonly isRecovering: boolean;
  readonly epoch: number;
  readonly journal: readonly JournalEntry[];
  /** What it has planned for itself. */
  readonly own: readonly link.Message[];
  readonly changes: ReadonlyMap<number, number>;
  /** Of the protocol's half: see {@link HalfWatch}. */
  readonly past: number;
}

/**
 * The real hypervisor, whose messages come one at a time, in whatever order the search wants: nothing it posts goes into its
 * queue. It can be made to crash at any of the steps that it passes while it handles one.
 */
export class SmallHypervisor extends HypervisorProcess {
  readonly outputs: Output[];
  /** What it has posted to itself: what takes time on its core, timers, its own return. */
  readonly own: link.Message[] = [];
  /** Steps passed during the last event. */
  readonly reached: string[] = [];
  private crashAt = 0;
  private readonly watch: HalfWatch;

  constructor(spec: MachineSpec, protocol: Protocol) {
    const outputs: Output[] = [];
    let self: SmallHypervisor | null = null;
    const watch: HalfWatch = new HalfWatch(() =>
      self === null ? '' : `${self.host.now} ${self.host.nodes} ${self.host.asks} ${fingerprint(self.host.durable)}`,
    );
    super(
      spec,
      () => watch.hypervisor(protocol.hypervisor(spec.bugs)),
      undefined,
      (host) =>
        new PerfectSessions(host, {
          send: (to, kind, a, b, body) => outputs.push({ type: 'frame', to, message: { kind, a, b, c: 0, body } }),
          restart: (peers) => outputs.push({ type: 'restart', peers }),
          close: (peer) => outputs.push({ type: 'close', peer }),
        }),
    );
    self = this;
    this.outputs = outputs;
    this.watch = watch;
  }

  protected override post(
    time: Instant,
    _messageClass: number,
    to: number,
    kind: number,
    a: number,
    b: number,
    c: number,
    body: unknown,
  ): void {
    if (to !== this.id) this.outputs.push({ type: 'hardware', to, message: { kind, a, b, c, body } });
    else this.own.push({ time, order: 0, to, from: to, kind, a, b, c, body });
  }

  override reach(step: link.HypervisorStep | ''): void {
    this.reached.push(step);
    if (this.reached.length === this.crashAt) throw new HypervisorCrash(CRASH, 0);
  }

  /** Lets an event happen at `now`; with `crashAt` the hypervisor crashes at that step of it, counted from 1. */
  apply(event: LocalEvent, now: Instant, crashAt = 0): void {
    this.reached.length = 0;
    this.outputs.length = 0;
    this.crashAt = event.type === 'crash' ? 1 : crashAt;
    // What takes time on its core is where its half is, and how far the operation has come that it waits for.
    if (event.type === 'own' && this.isUp && !this.membership.isRecovering) this.watch.note('goes on');
    this.queue.push(this.messageOf(event, now));
    this.step(Infinity as Instant);
    if (this.isUp) return;
    this.watch.forget();
    // What a dead hypervisor had planned is nobody's: later lives ignore it.
    this.own.splice(0, this.own.length, ...this.own.filter(({ kind }) => kind === link.FAULT));
  }

  private messageOf(event: LocalEvent, time: Instant): link.Message {
    const common = { time, order: 0, to: this.id };
    if (event.type === 'own') return { ...this.own.splice(event.index, 1)[0]!, ...common };
    if (event.type === 'frame') return { ...this.frameOf(event.message), ...common, from: event.from };
    if (event.type === 'hardware') return { ...event.message, ...common, from: event.from };
    return { ...common, from: this.id, kind: link.FAULT, a: 0, b: 0, c: 0, body: null };
  }

  private frameOf(message: Sent): Sent {
    return { ...message, kind: link.FRAME, body: message };
  }

  view(): HypervisorView {
    const { isUp, membership, epoch, own, order } = this;
    return {
      isUp,
      isRecovering: membership.isRecovering,
      epoch,
      journal: order.journal.map((entry) => ({ ...entry })),
      own: [...own],
      changes: new Map(order.changes()),
      past: this.watch.number,
    };
  }

  /** Equal texts: equal states. */
  key(): string {
    const isLive = this.isUp && !this.membership.isRecovering;
    const host = isLive ? `${fingerprint(this.host, SKIPPED_OF_HOST)} ${this.watch.number}` : '';
    return `${fingerprint(this, SKIPPED)} ${host}`;
  }
}
