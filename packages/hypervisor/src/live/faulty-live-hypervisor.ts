import { DONE, WAIT } from '@numalab/base';
import { type LiveLink, LiveRingReader, LiveRingWriter, liveRingBytes } from '@numalab/interconnect';
import {
  type LiveShared,
  type MaintenanceWords,
  putMessage,
  RESYNC,
  RESYNCED,
  START,
  type Words,
  shared as word,
} from '@numalab/node-worker';
import { type HypervisorHalf, PRIMARY_NODE, type Steps, type Write } from '@numalab/protocols';
import { LiveHypervisor } from './live-hypervisor.ts';
import { KeptWords } from './order-lock.ts';

/** A node's rings, and the link that is between them and the node if messages may be hit. */
export interface NodeWay {
  readonly to: LiveRingWriter;
  readonly from: LiveRingReader;
  readonly link: LiveLink | null;
}

/** What a hypervisor that faults may hit is given. */
export interface FaultyHypervisorPorts {
  readonly now: () => number;
  /** The way to a node in its present life. */
  readonly open: (node: number) => NodeWay;
  readonly maintenance?: MaintenanceWords;
}

const EMPTY_WORDS = 8;

/** Where messages for a node that is down go. */
class NoWriter extends LiveRingWriter {
  override begin(): void {}
  override word(): void {}
  override value(): void {}
  override end(): void {}
  override publish(): boolean {
    return false;
  }
}

/**
 * The order of a live run in which nodes may go down and come back, and messages be hit. What the simulator's Membership does: a
 * node is down when its thread has ended, never because it is slow; nobody waits for its answers; while the primary's node is
 * down no write is over; one that returns is among the nodes again when its copy has caught up, and until then no write
 * is numbered. So that this holds, a write gets its number when the protocol begins with it, not when it comes in.
 */
export class FaultyLiveHypervisor extends LiveHypervisor {
  /** Writes that were retired, and whose store can never return: its core was on a node that went down. */
  orphaned = 0;
  private readonly open: (node: number) => NodeWay;
  private readonly toNodes: LiveRingWriter[];
  private readonly fromNodes: LiveRingReader[];
  private readonly links: (LiveLink | null)[];
  private readonly down = new Set<number>();
  private readonly joining = new Set<number>();
  private readonly resynced = new Set<number>();
  /** By node: answers that its present life was given, and lives so far. */
  readonly answers: number[];
  private readonly lives: number[];
  /** Writes that are over but for the primary's node. */
  private held: Write[] = [];
  private readonly questions = new Map<number, { readonly missing: Set<number>; readonly body: unknown }>();
  private changes = 0;
  /** Of the submission that is being taken: the life of its node in which it was made, and what the protocol does about it. */
  private takenLife = 0;
  private begun: Steps | undefined;
  /** By number: the same of writes that are not over. */
  private readonly lifeOf = new Map<number, number>();

  constructor(shared: LiveShared, half: HypervisorHalf, limit: number, ports: FaultyHypervisorPorts) {
    const { open } = ports;
    const ways = Array.from({ length: shared.spec.nodes }, (_, node) => open(node));
    const toNodes = ways.map(({ to }) => to);
    const fromNodes = ways.map(({ from }) => from);
    super(shared, half, limit, { ...ports, toNodes, fromNodes });
    this.open = open;
    this.toNodes = toNodes;
    this.fromNodes = fromNodes;
    this.links = ways.map(({ link }) => link);
    this.lives = ways.map(() => 1);
    this.answers = ways.map(() => 0);
  }

  // ---- who is there -------------------------------------------------------------------------------------------------------

  private lookAround(): void {
    const changes = Atomics.load(this.words, word.CHANGES);
    if (changes === this.changes) return;
    this.changes = changes;
    for (let node = 0; node < this.lives.length; node++) {
      const state = Atomics.load(this.words, word.threadWord(node) + word.OFFLINE);
      if (state === word.OFFLINE_DOWN && !this.isBuried(node)) this.nodeDown(node);
      // One that has been told to go on says so a little later.
      else if (state === word.OFFLINE_JOINS && this.down.has(node) && !this.joining.has(node)) this.join(node);
    }
    Atomics.store(this.words, word.CHANGES_SEEN, changes);
  }

  /** Whether it is known that the node's present life is over. */
  private isBuried(node: number): boolean {
    return this.down.has(node) && !this.joining.has(node);
  }

  /** Nobody waits for its answers any more, but for those of the primary's node: it is asked again when it is back. */
  private nodeDown(node: number): void {
    this.down.add(node);
    this.joining.delete(node);
    this.resynced.delete(node);
    this.nodes = this.nodes.filter((other) => other !== node);
    this.toNodes[node] = new NoWriter(new SharedArrayBuffer(liveRingBytes(EMPTY_WORDS)), 0, EMPTY_WORDS);
    this.fromNodes[node] = new LiveRingReader(new SharedArrayBuffer(liveRingBytes(EMPTY_WORDS)), 0, EMPTY_WORDS);
    this.links[node] = null;
    this.lock?.forget(node);
    this.orphaned += this.answers[node]!;
    this.answers[node] = 0;
    if (node !== PRIMARY_NODE) for (const ask of [...this.questions.keys()]) this.answered(ask, node);
    const life = this.lives[node]!;
    this.runner.handle(() => this.half.onNodeDown?.(this, node, life));
    this.runner.wake();
    this.bury(node, life);
  }

  /** It is known that a life of a node is over. */
  protected bury(node: number, life: number): void {
    Atomics.store(this.words, word.threadWord(node) + word.BURIED, life);
  }

  private join(node: number): void {
    const { to, from, link } = this.open(node);
    this.toNodes[node] = to;
    this.fromNodes[node] = from;
    this.links[node] = link;
    this.joining.add(node);
    const life = ++this.lives[node]!;
    if (node === PRIMARY_NODE) this.askAgain();
    this.runner.handle(() => this.admit(node, life));
  }

  /** What is under way waits for the primary's node. */
  private askAgain(): void {
    for (const [ask, { missing, body }] of this.questions) {
      if (missing.has(PRIMARY_NODE)) putMessage(this.toNodes[PRIMARY_NODE]!, 0, body, ask, this.due(PRIMARY_NODE));
    }
  }

  /** When nothing else is under way, a node that returns catches up and is one of those that are up again. */
  private *admit(node: number, life: number): Steps {
    const stays = (): boolean => this.lives[node] === life && this.joining.has(node);
    this.say(node, RESYNC, this.order.numbered);
    while (stays() && !this.resynced.has(node)) yield WAIT;
    if (!stays()) return;
    this.down.delete(node);
    this.nodes = [...this.nodes, node].sort((x, y) => x - y);
    if (node === PRIMARY_NODE) for (const write of this.held.splice(0)) super.retire(write);
    const steps = this.half.onNodeBack?.(this, node, life);
    if (steps !== undefined) yield steps;
    this.joining.delete(node);
    this.say(node, START, 0);
  }

  private say(node: number, kind: number, operand: number): void {
    const ring = this.toNodes[node]!;
    ring.begin(kind, this.due(node));
    ring.word(operand);
    ring.end();
  }

  // ---- what the protocol can do -------------------------------------------------------------------------------------------

  override *ask(nodes: readonly number[], body: unknown): Steps {
    const targets = nodes.filter((node) => node === PRIMARY_NODE || this.nodes.includes(node));
    if (targets.length === 0) return;
    const ask = this.nextAsk++;
    const missing = new Set(targets);
    this.questions.set(ask, { missing, body });
    for (const node of targets) putMessage(this.toNodes[node]!, 0, body, ask, this.due(node));
    while (missing.size > 0) yield WAIT;
    this.questions.delete(ask);
  }

  protected override answered(ask: number, node: number): void {
    const missing = this.questions.get(ask)?.missing;
    if (missing?.delete(node) === true && missing.size === 0) this.runner.wake();
  }

  override storeCopy(node: number, write: Write): Steps {
    return this.down.has(node) ? DONE : super.storeCopy(node, write);
  }

  override retire(write: Write): void {
    if (this.down.has(PRIMARY_NODE)) this.held.push(write);
    else super.retire(write);
  }

  /** A core that is gone is told nothing: the one that has its number in a later life waits for something else. */
  protected override answer(node: number, core: number, number: number, old: readonly number[] | null): void {
    const life = number > 0 ? this.lifeOf.get(number) : this.takenLife;
    this.lifeOf.delete(number);
    const isThere = life === this.lives[node] && !this.isBuried(node);
    if (number > 0 && isThere) this.answers[node]!++;
    else if (number > 0) this.orphaned++;
    if (isThere) super.answer(node, core, number, old);
  }

  // ---- what comes in ------------------------------------------------------------------------------------------------------

  protected override take(node: number, ring: Words): void {
    const words = new KeptWords(ring.rest());
    const life = this.lives[node]!;
    this.runner.handle(() => {
      this.takenLife = life;
      this.begun = undefined;
      super.take(node, words);
      return this.begun;
    });
  }

  protected override begin(write: Write): void {
    this.lifeOf.set(write.number, this.takenLife);
    this.begun = this.half.onWrite(this, write);
  }

  protected override hear(node: number, ring: LiveRingReader): void {
    if (ring.kind !== RESYNCED) {
      super.hear(node, ring);
      return;
    }
    this.resynced.add(node);
    this.runner.wake();
  }

  protected override turn(): boolean {
    this.lookAround();
    for (const link of this.links) link?.run();
    const busy = super.turn();
    for (const link of this.links) link?.run();
    return busy;
  }

  protected override hasMail(): boolean {
    return (
      super.hasMail() || Atomics.load(this.words, word.CHANGES) !== this.changes || this.wakeMs() <= this.ports.now()
    );
  }

  protected override wakeMs(): number {
    let next = Infinity;
    for (const link of this.links) if (link !== null) next = Math.min(next, link.nextMs());
    return next;
  }
}
