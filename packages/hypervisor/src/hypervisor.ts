import { assert, type Instant, InternalError } from '@numalab/base';
import * as link from '@numalab/interconnect';
import { Latencies } from '@numalab/machine';
import { imageWords, layOut, type MachineSpec, type Retired, type Submission, type Wire } from '@numalab/node-worker';
import type { HypervisorHalf, Write } from '@numalab/protocols';
import { Crashes, HypervisorCrash } from './crashes.ts';
import { Intake } from './intake.ts';
import { JournalCopies } from './journal-copies.ts';
import { Membership } from './membership.ts';
import { type JournalEntry, Order } from './order.ts';
import { PageHashes } from './page-hashes.ts';
import { type HostPort, ProtocolHost } from './protocol-host.ts';

const CRASH: ReadonlySet<string> = new Set(['hyp-crash']);
const FLIP: ReadonlySet<string> = new Set(['flip-journal']);
/** What a FAULT message is for. */
const BEGIN = 0;
const END = 1;
const FLIPS = 2;

/**
 * A protocol that sets one timer after the other is called so often after the last write: a run must come to its end. Every
 * half of a node is, too, when the work is done.
 */
const TIMERS_AFTER_LAST_WRITE = 10_000;

export type MakeSessions = (host: link.SessionHost) => link.SessionLayer;

/**
 * The order: numbers the trapped writes, journals them, and runs the hypervisor's half of the protocol. With `central`
 * serialisation it sits on one node. With `lock` it is whoever holds the lock: a write is taken when the one before it is
 * retired, the lock's line moves to the trapping node, and messages start from there.
 */
export class HypervisorProcess extends link.Process {
  readonly spec: MachineSpec;
  host: ProtocolHost;
  readonly order: Order;
  readonly latencies: Latencies;
  /** What scrubbers compare with; made when the first asks, and anew after a crash. */
  private pageHashes: PageHashes | null = null;
  private readonly links: link.Links;
  readonly sessions: link.SessionLayer;
  /** What became of planned faults here. */
  readonly tally: link.TallyKeeper = new link.TallyKeeper();
  readonly intake: Intake;
  /** Where it sits now. */
  holder: number;
  now: Instant = 0 as Instant;

  private readonly makeHalf: () => HypervisorHalf;
  readonly membership: Membership;
  private readonly crashes: Crashes | null;
  private readonly copies: JournalCopies | null;
  /** When the schedule holds it up; null: never. */
  private readonly pauses: link.Pauses | null;
  /** What survives a crash of the hypervisor, beside the journal. */
  private readonly durable: Map<string, unknown> = new Map();
  /** Timers of the protocol since the last write came in. */
  private timers = 0;
  /** Counts the lives of the hypervisor. */
  epoch = 1;
  isUp = true;
  /** The fault that ended its last life. */
  private crashedBy = '';
  /** Why it does not come back; '': it is up, or will be. */
  lostFor = '';

  /**
   * `latencies` are those of `spec`, which whoever makes many of these keeps. `makeSessions`: what to talk through instead of
   * the session layer.
   */
  constructor(
    spec: MachineSpec,
    makeHalf: () => HypervisorHalf,
    latencies: Latencies = new Latencies(spec.topology, spec.profile),
    makeSessions?: MakeSessions,
  ) {
    super(spec.nodes);
    this.spec = spec;
    this.makeHalf = makeHalf;
    this.membership = new Membership(this);
    this.intake = new Intake(this);
    this.holder = spec.hypervisorNode;
    this.latencies = latencies;
    this.links = new link.Links(this.latencies, spec.nodes, spec.nodes + 1, spec.seed, spec.jitter, spec.schedule);
    const layout = layOut(spec);
    this.order = new Order(imageWords(spec, layout), layout.spanStart >> 2);
    this.host = this.newHost();
    this.sessions = makeSessions?.(this.sessionHost()) ?? this.newSessions();
    this.pauses = link.pausesOfHypervisor(spec.schedule);
    const { faults } = spec;
    this.crashes = link.plans(faults, CRASH) ? new Crashes(faults!, spec.seed, this.id, this.tally) : null;
    for (const at of this.crashes?.moments() ?? []) this.postFault(at, BEGIN);
    this.copies = link.plans(faults, FLIP)
      ? new JournalCopies(faults!, spec.seed, this.id, this.order, this.tally, spec.bugs)
      : null;
    for (const [index, at] of this.copies?.moments().entries() ?? []) this.postFault(at, FLIPS, index);
  }

  private newSessions(): link.SessionLayer {
    const { faults, seed, bugs } = this.spec;
    const onLinks = link.linkFaultsOf(faults, seed, this.id, this.tally);
    return new link.Sessions(this.sessionHost(), onLinks, this.tally, bugs);
  }

  /** From here on events go to `sink`. */
  traceTo(sink: link.TraceSink): void {
    this.trace = sink;
    this.tally.listener = (what, name, at) => sink.add(at ?? this.now, link.TRACE_FAULT, this.id, what, 0, 0, name);
  }

  private newHost(): ProtocolHost {
    const { spec, latencies, durable, membership } = this;
    const host = new ProtocolHost(spec, latencies, this.makeHalf(), this.hostPort(), durable, membership.down);
    host.now = this.now;
    return host;
  }

  private postFault(at: number, action: number, index = 0): void {
    this.post(at as Instant, link.CLASS_LOCAL, this.id, link.FAULT, index, action, 0, null);
  }

  /** Plans something for itself that a crash makes void. */
  postOwn(at: Instant, kind: number): void {
    this.post(at, link.CLASS_LOCAL, this.id, kind, this.epoch, 0, 0, null);
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
        if (kind === link.SUBMIT) {
          this.timers = 0;
          this.intake.submitted({ from, core: b, submission: body as Submission });
        } else this.takeWire(from, body as Wire);
        return true;
      },
      timerAt: (at, peer) => this.post(at, link.CLASS_LOCAL, this.id, link.SESSION_TIMER, peer, 0, 0, null),
      restarted: () => {},
    };
  }

  private takeWire(from: number, wire: Wire): void {
    if (wire.kind === 'join') this.membership.join(from, wire.epoch);
    else if (wire.kind === 'resynced') this.membership.resynced(from, wire.upTo);
    else if (this.membership.isRecovering) return;
    else if (wire.kind === 'hashes') this.compare(from, wire);
    else {
      this.host.deliver(from, wire);
      this.reach('handled');
    }
  }

  /** A scrubber wants to know whether pages are as they should be. */
  private compare(node: number, { scrub, pages, hashes, numbers }: Extract<Wire, { kind: 'hashes' }>): void {
    this.pageHashes ??= new PageHashes(this.spec, this.order);
    const repairs = pages.map((page, i) => this.pageHashes!.repairOf(page, numbers[i]!, hashes[i]!));
    this.say(node, { kind: 'hashed', scrub, repairs: repairs.filter((repair) => repair !== null) });
  }

  /** Says something to a node's EL2 that is no protocol's. */
  say(node: number, wire: Wire): void {
    this.sessions.send(node, link.RESYNC, 0, 0, wire, this.now);
  }

  /** The hypervisor passes a step at which it may be planned to crash. */
  reach(step: link.HypervisorStep | ''): void {
    this.crashes?.reach(step, this.now);
  }

  private hostPort(): HostPort {
    // What an earlier life has asked for, and is over in a later one, is nobody's.
    const { epoch } = this;
    return {
      transmit: (node, wire) => {
        this.sessions.send(node, link.FRAME, 0, 0, wire, this.now);
        this.reach('sent');
      },
      operate: (node, kind, a, c, body) => {
        const base = this.latencies.linePs(this.holder, node);
        const time = this.links.arrival(node, this.now, base, this.holder, node, 64);
        const isMemory = kind === link.STORE || kind === link.CLEAN_LINE;
        this.post(time, isMemory ? link.CLASS_MEMORY : link.CLASS_MAINTENANCE, node, kind, a, epoch, c, body);
      },
      wakeAt: (at) => this.post(at, link.CLASS_LOCAL, this.id, link.WAKE, epoch, 0, 0, null),
      timerAt: (at, tag) => this.post(at, link.CLASS_LOCAL, this.id, link.TIMER, epoch, tag, 0, null),
      retire: (write) => this.retire(write),
    };
  }

  /** Tells core `core` of a node that its write is over; 0: it wrote nothing. */
  answer(to: number, core: number, number: number, serial: number, old: readonly number[]): void {
    const body: Retired = { serial, old };
    this.sessions.send(to, link.RETIRE, number, core, body, this.now);
  }

  /** A write is over, unless something stands against it. */
  retire(write: Write): void {
    if (!this.membership.mayRetire(write)) return;
    const entry = this.order.journal[write.number - 1]!;
    if (entry.write !== write || entry.retired >= 0) throw new InternalError(`write ${write.number} is retired once`);
    entry.retired = this.now;
    this.trace?.add(this.now, link.TRACE_RETIRED, this.id, write.number, 0, 0, null);
    this.reach('retiring');
    this.answer(write.origin, entry.core, write.number, entry.serial, entry.old);
    this.reach('retired');
    this.intake.released();
  }

  // ---- the loop -------------------------------------------------------------------------------------------------------------

  override nextTime(): Instant {
    return this.queue.nextTime();
  }

  override step(limit: Instant): Instant {
    while (this.queue.nextTime() < limit) {
      const message = this.queue.pop();
      const at = this.pauses === null ? message.time : this.pauses.resumeAt(message.time);
      if (at > message.time) this.queue.push({ ...message, time: at as Instant });
      else this.handle(message);
    }
    return this.queue.nextTime();
  }

  private handle(message: link.Message): void {
    this.account(message);
    this.now = message.time;
    this.host.now = message.time;
    if (this.crashes === null) this.dispatch(message);
    else this.dispatchOrCrash(message);
  }

  private dispatchOrCrash(message: link.Message): void {
    try {
      if (this.isUp || message.kind === link.NODE_DOWN || message.kind === link.FAULT) this.dispatch(message);
    } catch (error) {
      if (!(error instanceof HypervisorCrash)) throw error;
      this.crash(error);
    }
  }

  private onFault(action: number, index: number): void {
    if (action === FLIPS) this.copies!.flip(index, this.now);
    else if (action === BEGIN && this.isUp) this.reach('');
    else if (action === END) this.restart();
  }

  /** All that is in no journal is gone. Without a journal the hypervisor never comes back. */
  private crash({ name, spanPs }: HypervisorCrash): void {
    this.isUp = false;
    this.intake.forget();
    this.sessions.close();
    // Bugs 45 and 48: the journal's end was never written through, of writes that are over, or of those that nodes have heard of.
    if (this.spec.bugs.includes('45')) this.order.loseLast();
    if (this.spec.bugs.includes('48')) while (this.order.journal.at(-1)?.retired === -1) this.order.loseLast();
    if (!this.spec.journal) {
      this.lostFor = 'it keeps no journal';
      return;
    }
    this.crashedBy = name;
    this.postFault(this.now + spanPs, END);
  }

  private restart(): void {
    const { order, spec } = this;
    this.lostFor = this.copies?.read() ?? '';
    if (this.lostFor !== '') return;
    this.isUp = true;
    this.tally.repaired(this.crashedBy);
    this.epoch++;
    this.pageHashes = null;
    order.rebuild();
    this.intake.recall(order.journal);
    this.membership.recover();
    const nodes = Array.from({ length: spec.nodes }, (_, node) => node);
    this.sessions.restart(this.epoch, nodes, this.now);
  }

  /** All nodes have caught up: a fresh half of the protocol takes over. */
  beginHost(): void {
    this.host = this.newHost();
    this.host.dispatched = this.order.journal.length;
  }

  private dispatch(message: link.Message): void {
    const { a, b, from, body } = message;
    switch (message.kind) {
      case link.SUBMIT:
      case link.FRAME:
        this.sessions.receive(from, body as link.Frame, this.now);
        if (this.intake.isWaiting) this.intake.takeNext();
        break;
      case link.SESSION_TIMER:
        this.sessions.timeout(a, this.now);
        break;
      case link.TIMER:
        if (a === this.epoch && this.timers++ < TIMERS_AFTER_LAST_WRITE) this.host.timer(b);
        break;
      case link.WAKE:
        if (a === this.epoch) this.host.goOn();
        break;
      case link.STORED:
      case link.MAINTAINED:
        if (b === this.epoch) this.host.performed();
        break;
      case link.NODE_DOWN:
        this.membership.nodeDown(from, a);
        break;
      case link.STOP:
        // The run gives up.
        this.sessions.close();
        break;
      case link.GRANTED:
        if (a === this.epoch) this.intake.granted();
        break;
      case link.JOURNALLED:
        if (a === this.epoch) this.intake.recorded();
        break;
      case link.FAULT:
        this.onFault(b, a);
        break;
      default:
        assert(false, `the hypervisor knows no message of kind ${message.kind}`);
    }
  }

  /** Whom or what it waits for, in words. */
  waits(): readonly string[] {
    if (this.lostFor !== '') return [`the hypervisor is down for good: ${this.lostFor}`];
    if (!this.isUp) return ['the hypervisor is down'];
    const { membership, host, intake } = this;
    return [...membership.waits(), ...(membership.isRecovering ? [] : host.waits()), ...intake.waits()];
  }

  /** The journal, in order. */
  get journal(): readonly JournalEntry[] {
    return this.order.journal;
  }
}
