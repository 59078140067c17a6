import { assert, type Instant, NEVER } from '@numalab/base';
import * as link from '@numalab/interconnect';
import { Latencies } from '@numalab/machine';
import { imageWords, layOut, type MachineSpec, type Submission, type Wire } from '@numalab/node-worker';
import type { HypervisorHalf, Write } from '@numalab/protocols';
import { type JournalEntry, Order } from './order.ts';
import { type HostPort, ProtocolHost } from './protocol-host.ts';
import { resolveWrite } from './resolve-write.ts';

const SESSION_TIMES = { retransmitTicks: 200_000_000, acknowledgeTicks: 50_000_000 };

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
  private readonly sessions: readonly link.Session[];
  private readonly sessionWakes: Instant[];
  private readonly olds = new Map<number, readonly number[]>();
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
    this.sessionWakes = this.host.nodes.map(() => NEVER);
    this.sessions = this.host.nodes.map((node) => new link.Session(this.port(node), SESSION_TIMES));
  }

  private port(node: number): link.SessionPort {
    return {
      transmit: (frame, at) => this.sendTo(node, link.FRAME, 0, 0, frame, at),
      deliver: (body) => this.host.deliver(node, body as Wire),
      wakeAt: (at) => {
        if (at >= this.sessionWakes[node]!) return;
        this.sessionWakes[node] = at;
        this.post(at, link.CLASS_LOCAL, this.id, link.SESSION_TIMER, node, 0, 0, null);
      },
    };
  }

  private hostPort(): HostPort {
    return {
      transmit: (node, wire) => this.sessions[node]!.send(wire, this.now),
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

  private sendTo(node: number, kind: number, a: number, b: number, body: unknown, at: Instant): void {
    const time = this.links.arrival(node, at, this.latencies.linePs(this.holder, node), this.holder, node, 64);
    this.post(time, link.CLASS_PROTOCOL, node, kind, a, b, 0, body);
  }

  private retire(write: Write): void {
    const entry = this.order.journal[write.number - 1]!;
    assert(entry.write === write && entry.retired < 0, `write ${write.number} is retired once`);
    entry.retired = this.now;
    this.sendTo(write.origin, link.RETIRE, write.number, entry.core, this.olds.get(write.number), this.now);
    this.olds.delete(write.number);
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
        if (this.spec.serialisation === 'central') this.take({ from, core: b, submission: body as Submission });
        else {
          this.waiting.push({ from, core: b, submission: body as Submission });
          this.takeLock();
        }
        break;
      case link.FRAME:
        this.sessions[from]!.receive(body as link.Frame, this.now);
        break;
      case link.SESSION_TIMER:
        // A wake-up that was asked for and then overtaken by an earlier one has no say.
        if (this.now !== this.sessionWakes[a]) break;
        this.sessionWakes[a] = NEVER;
        this.sessions[a]!.timeout(this.now);
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
      this.sendTo(from, link.RETIRE, 0, core, old, this.now);
      if (this.spec.serialisation === 'lock') {
        this.busy = false;
        this.takeLock();
      }
      return;
    }
    const entry = order.append(word, words, from, core, submission.begin, this.now);
    this.olds.set(entry.write.number, old);
    this.host.write(entry.write);
  }

  /** The journal, in order. */
  get journal(): readonly JournalEntry[] {
    return this.order.journal;
  }
}
