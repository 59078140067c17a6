import { assert, type Instant } from '@numalab/base';
import * as link from '@numalab/interconnect';
import { Latencies } from '@numalab/machine';
import { imageWords, layOut, type MachineSpec, type Retired, type Submission, type Wire } from '@numalab/node-worker';
import type { HypervisorHalf, Write } from '@numalab/protocols';
import { type JournalEntry, Order } from './order.ts';
import { type HostPort, ProtocolHost } from './protocol-host.ts';
import { resolveWrite } from './resolve-write.ts';

interface Waiting {
  readonly from: number;
  readonly core: number;
  readonly submission: Submission;
}

/**
 * The order: numbers the trapped writes, journals them, and runs the hypervisor's half of the protocol. With `central`
 * serialisation it sits on one node. With `lock` it is whoever holds the lock: a write is taken when the one before it is
 * retired, the lock's line moves to the trapping node, and messages start from there.
 */
export class HypervisorProcess extends link.Process {
  readonly spec: MachineSpec;
  readonly host: ProtocolHost;
  readonly order: Order;
  readonly latencies: Latencies;
  private readonly links: link.Links;
  readonly sessions: link.Sessions;
  /** What became of planned faults here. */
  readonly tally: link.TallyKeeper = new link.TallyKeeper();
  private readonly waiting: Waiting[] = [];
  private holder: number;
  private busy = false;
  private now: Instant = 0 as Instant;
  /** Submissions that wrote nothing (a CAS that compared unequal). */
  withoutEffect = 0;

  constructor(spec: MachineSpec, half: HypervisorHalf) {
    super(spec.nodes);
    this.spec = spec;
    this.holder = spec.hypervisorNode;
    this.latencies = new Latencies(spec.topology, spec.profile);
    this.links = new link.Links(this.latencies, spec.nodes, spec.nodes + 1, spec.seed, spec.jitter);
    const layout = layOut(spec);
    this.order = new Order(imageWords(spec, layout), layout.spanStart >> 2);
    this.host = new ProtocolHost(spec, this.latencies, half, this.hostPort());
    this.sessions = new link.Sessions(
      this.sessionHost(),
      link.linkFaultsOf(spec.faults, spec.seed, this.id, this.tally),
      this.tally,
    );
  }

  private sessionHost(): link.SessionHost {
    return {
      put: (to, kind, frame, at, delayPs, overtakes) => {
        const base = this.latencies.linePs(this.holder, to);
        const leaves = overtakes ? at : ((at + delayPs) as Instant);
        const time = this.links.arrival(to, leaves, base, this.holder, to, 64);
        const arrival = overtakes ? ((time + delayPs) as Instant) : time;
        this.post(arrival, link.CLASS_PROTOCOL, to, kind, frame.a, frame.b, 0, frame);
      },
      take: (from, kind, _a, b, body) => {
        if (kind === link.SUBMIT) this.submitted({ from, core: b, submission: body as Submission });
        else this.host.deliver(from, body as Wire);
        return true;
      },
      timerAt: (at, peer) => this.post(at, link.CLASS_LOCAL, this.id, link.SESSION_TIMER, peer, 0, 0, null),
      restarted: () => {},
    };
  }

  private hostPort(): HostPort {
    return {
      transmit: (node, wire) => this.sessions.send(node, link.FRAME, 0, 0, wire, this.now),
      operate: (node, kind, a, c, body) => {
        const base = this.latencies.linePs(this.holder, node);
        const time = this.links.arrival(node, this.now, base, this.holder, node, 64);
        const isMemory = kind === link.STORE || kind === link.CLEAN_LINE;
        this.post(time, isMemory ? link.CLASS_MEMORY : link.CLASS_MAINTENANCE, node, kind, a, 0, c, body);
      },
      wakeAt: (at) => this.post(at, link.CLASS_LOCAL, this.id, link.WAKE, 0, 0, 0, null),
      timerAt: (at, tag) => this.post(at, link.CLASS_LOCAL, this.id, link.TIMER, 0, tag, 0, null),
      retire: (write) => this.retire(write),
    };
  }

  /** Tells core `core` of a node that its write is over; 0: it wrote nothing. */
  private answer(to: number, core: number, number: number, serial: number, old: readonly number[]): void {
    const body: Retired = { serial, old };
    this.sessions.send(to, link.RETIRE, number, core, body, this.now);
  }

  private retire(write: Write): void {
    const entry = this.order.journal[write.number - 1]!;
    assert(entry.write === write && entry.retired < 0, `write ${write.number} is retired once`);
    entry.retired = this.now;
    this.answer(write.origin, entry.core, write.number, entry.serial, entry.old);
    if (this.spec.serialisation === 'lock') {
      this.busy = false;
      this.takeLock();
    }
  }

  // ---- the loop -------------------------------------------------------------------------------------------------------------

  override nextTime(): Instant {
    return this.queue.nextTime();
  }

  override step(limit: Instant): void {
    while (this.queue.nextTime() < limit) this.handle(this.queue.pop());
  }

  private handle(message: link.Message): void {
    this.account(message);
    this.now = message.time;
    this.host.now = message.time;
    const { a, b, from, body } = message;
    switch (message.kind) {
      case link.SUBMIT:
      case link.FRAME:
        this.sessions.receive(from, body as link.Frame, this.now);
        if (this.waiting.length > 0) this.takeNext();
        break;
      case link.SESSION_TIMER:
        this.sessions.timeout(a, this.now);
        break;
      case link.TIMER:
        this.host.timer(b);
        break;
      case link.WAKE:
        this.host.goOn();
        break;
      case link.STORED:
      case link.MAINTAINED:
        this.host.performed();
        break;
      case link.GRANTED:
        this.take(this.waiting.shift()!);
        break;
      default:
        assert(false, `the hypervisor knows no message of kind ${message.kind}`);
    }
  }

  /** A trapped write has come in. Where messages pile up already it waits, and its core with it. */
  private submitted(submitted: Waiting): void {
    if (this.spec.serialisation === 'central' && this.waiting.length === 0 && !this.sessions.isCongested) {
      this.take(submitted);
      return;
    }
    this.waiting.push(submitted);
    this.takeNext();
  }

  private takeNext(): void {
    if (this.spec.serialisation === 'lock') this.takeLock();
    else while (this.waiting.length > 0 && !this.sessions.isCongested) this.take(this.waiting.shift()!);
  }

  /** The next waiting core gets the lock: its line moves there first. */
  private takeLock(): void {
    const next = this.waiting[0];
    if (this.busy || next === undefined) return;
    this.busy = true;
    const time = (this.now + this.latencies.linePs(this.holder, next.from)) as Instant;
    this.holder = next.from;
    this.post(time, link.CLASS_LOCAL, this.id, link.GRANTED, 0, 0, 0, null);
  }

  private take({ from, core, submission }: Waiting): void {
    const { order } = this;
    const { word, words, old, writes } = resolveWrite(order, submission);
    if (!writes) {
      this.withoutEffect++;
      this.answer(from, core, 0, submission.serial, old);
      if (this.spec.serialisation === 'lock') {
        this.busy = false;
        this.takeLock();
      }
      return;
    }
    const entry = order.append(word, words, old, from, core, submission, this.now);
    this.host.write(entry.write);
  }

  /** The journal, in order. */
  get journal(): readonly JournalEntry[] {
    return this.order.journal;
  }
}
