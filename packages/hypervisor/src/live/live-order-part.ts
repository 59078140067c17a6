import { OPERATION_STORE } from '@numalab/machine';
import {
  type LiveCpu,
  type LiveShared,
  lockOrder,
  type OrderPart,
  unlockOrder,
  shared as word,
} from '@numalab/node-worker';
import type { HypervisorHalf, Steps } from '@numalab/protocols';
import { LiveHypervisor, type LiveHypervisorPorts } from './live-hypervisor.ts';

/** Words that every node's ring has room for when a write is taken: more than a half sends for one. */
const ROOM_WORDS = 4096;
/** After this time one that is held up looks again. */
const HELD_UP_MS = 0.1;

/** What a node's thread gives it. */
export interface LiveOrderPartPorts extends LiveHypervisorPorts {
  readonly node: number;
  /** A core's write is retired: its number, or 0 if it wrote nothing, and the bytes that were there, if its store needs them. */
  readonly retired: (core: number, number: number, old: readonly number[] | null) => void;
}

/**
 * The part of a live run's order that is on a node's own thread, where the protocol treats every write by itself: EL2 of that
 * node orders what traps on its cores. Numbers, the reference and the rings to nodes are under a lock that the parts share
 * (decision 0016), so every node is told of writes in their order.
 */
export class LiveOrderPart extends LiveHypervisor implements OrderPart {
  protected override readonly instance: number;
  private readonly retiredHere: LiveOrderPartPorts['retired'];
  private holdsOrder = false;
  /** Cores that wait in EL2 with a store. */
  private readonly pending: LiveCpu[] = [];
  /** They have to wait: a node has not taken what it was sent, or the half is at another write. */
  private isHeldUp = false;

  constructor(shared: LiveShared, half: HypervisorHalf, limit: number, ports: LiveOrderPartPorts) {
    super(shared, half, limit, ports);
    this.instance = ports.node;
    this.retiredHere = ports.retired;
  }

  submit(cpu: LiveCpu): void {
    this.pending.push(cpu);
  }

  get sent(): number {
    return this.ports.toNodes.reduce((sum, ring) => sum + ring.sent, 0);
  }

  get taken(): number {
    return this.ports.fromNodes.reduce((sum, ring) => sum + ring.taken, 0);
  }

  override get isIdle(): boolean {
    return super.isIdle && this.pending.length === 0;
  }

  override hasMail(): boolean {
    return (this.pending.length > 0 && !this.isHeldUp) || super.hasMail();
  }

  nextMs(): number {
    return this.isHeldUp ? this.ports.now() + HELD_UP_MS : this.runner.nextMs();
  }

  // ---- what is under the lock -----------------------------------------------------------------------------------------------

  private enter(): void {
    if (this.holdsOrder) return;
    lockOrder(this.words);
    this.holdsOrder = true;
    this.order.numbered = Atomics.load(this.words, word.NUMBERED);
    for (const ring of this.ports.toNodes) ring.resume();
  }

  private leave(): void {
    if (!this.holdsOrder) return;
    const { words, brought } = this;
    const { toNodes } = this.ports;
    for (let node = 0; node < toNodes.length; node++) if (toNodes[node]!.publish()) brought[node] = 1;
    this.holdsOrder = false;
    unlockOrder(words);
    // Nobody waits for the lock while threads are woken.
    for (let node = 0; node < toNodes.length; node++) {
      if (brought[node] === 0) continue;
      brought[node] = 0;
      word.wakeNode(words, toNodes.length, node);
    }
  }

  /** All that is sent becomes visible when the lock is given back. */
  protected override flush(): void {}

  override send(node: number, body: unknown): void {
    this.enter();
    super.send(node, body);
  }

  override broadcast(body: unknown): void {
    this.enter();
    super.broadcast(body);
  }

  override *ask(nodes: readonly number[], body: unknown): Steps {
    this.enter();
    yield* super.ask(nodes, body);
  }

  protected override nextTick(): void {
    const tick = Atomics.add(this.words, word.TICK, 1) + 1;
    if (tick < this.tickMs.length) this.tickMs[tick] = this.ports.now();
  }

  protected override answer(_node: number, core: number, number: number, old: readonly number[] | null): void {
    this.retiredHere(core, number, old);
  }

  // ---- its turn ---------------------------------------------------------------------------------------------------------------

  override turn(): boolean {
    const { fromNodes } = this.ports;
    let busy = false;
    this.turns++;
    try {
      for (let node = 0; node < fromNodes.length; node++) busy = this.serve(node) || busy;
      this.runner.run();
      return this.takeSubmitted() || busy;
    } finally {
      // Also if the protocol throws: others wait for the lock.
      this.leave();
    }
  }

  /** What comes from nodes needs no room; see {@link takeSubmitted}. */
  protected override hasRoom(): boolean {
    return true;
  }

  private takeSubmitted(): boolean {
    const { pending } = this;
    if (pending.length > 0) this.enter();
    let taken = 0;
    while (taken < pending.length && this.runner.isFree && this.isRoomy()) this.takeFrom(pending[taken++]!);
    this.isHeldUp = taken < pending.length;
    if (this.isHeldUp) pending.splice(0, taken);
    else pending.length = 0;
    return taken > 0;
  }

  private isRoomy(): boolean {
    for (const ring of this.ports.toNodes) if (!ring.hasRoom(ROOM_WORDS)) return false;
    return true;
  }

  private takeFrom({ core, trappedTick, trappedOffset, store }: LiveCpu): void {
    const { size, bytes, operand, expected } = store;
    const operation = store.pending ? store.operation : OPERATION_STORE;
    this.number(this.instance, core, trappedTick, { offset: trappedOffset, size, operation, bytes, operand, expected });
  }
}
