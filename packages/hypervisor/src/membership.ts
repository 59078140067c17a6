import { PRIMARY_NODE, type Write } from '@numalab/protocols';
import type { HypervisorProcess } from './hypervisor.ts';

/**
 * Which nodes are up, and how one that returns, or all of them after the hypervisor itself has crashed, come to hold what the
 * order says. A node is down when the platform's controller says so, never because it is slow: its cores stand still then, and
 * go on only when its copy has caught up, so that a write need not wait for it. The primary's node is different: other
 * nodes may map the primary, so while it is down no write is over.
 *
 * A hypervisor that has crashed knows the journal and who is down. When every node stands still, all are brought up to the
 * journal's end, so each write in it is complete on all of them; then all that were not over are, and the cores go on. None is
 * brought up while another still does what the hypervisor that crashed told it, such as copying a page from the primary.
 */
export class Membership {
  private readonly hypervisor: HypervisorProcess;
  /** What the platform's controller says; it outlives the hypervisor. */
  readonly down: Set<number> = new Set();
  /** Nodes in their present lives that want to catch up, with their lives. */
  private readonly joined = new Map<number, number>();
  /** After a crash of the hypervisor: nodes that have not caught up. Null: there is no recovery under way. */
  private missing: Set<number> | null = null;
  /** Those of them that have been told what they miss, and up to which write. */
  private readonly told = new Map<number, number>();
  /** Nodes that are being brought up to date while the hypervisor is up. */
  private readonly catchingUp = new Set<number>();
  /** Writes that are over but for the primary's node. */
  private readonly held: Write[] = [];
  /** The primary's node is up when it has caught up to this. */
  private primaryUpAt = Infinity;

  constructor(hypervisor: HypervisorProcess) {
    this.hypervisor = hypervisor;
  }

  get isRecovering(): boolean {
    return this.missing !== null;
  }

  /** Whom a recovery, a node that returns, or a write that is all but over waits for, in words. */
  waits(): readonly string[] {
    const waits: string[] = [];
    if (this.missing !== null) waits.push(`the recovery waits for node ${[...this.missing].join(', ')}`);
    if (this.catchingUp.size > 0) waits.push(`node ${[...this.catchingUp].join(', ')} has not caught up`);
    if (this.down.size > 0) waits.push(`node ${[...this.down].join(', ')} is down`);
    if (this.held.length > 0) {
      waits.push(`write ${this.held.map(({ number }) => number).join(', ')} waits for the node of the primary`);
    }
    return waits;
  }

  /** Whether a write may be over now; if not it will be later. */
  mayRetire(write: Write): boolean {
    if (!this.down.has(PRIMARY_NODE)) return true;
    this.held.push(write);
    return false;
  }

  nodeDown(node: number, epoch: number): void {
    const { hypervisor } = this;
    this.down.add(node);
    this.joined.delete(node);
    this.told.delete(node);
    this.catchingUp.delete(node);
    hypervisor.sessions.closeWith(node);
    if (node === PRIMARY_NODE) this.primaryUpAt = Infinity;
    if (!hypervisor.isUp) return;
    if (this.missing === null) {
      hypervisor.host.nodeDown(node, epoch);
      hypervisor.host.lookAgain();
    } else {
      if (node !== PRIMARY_NODE) this.caughtUp(node);
      this.bringUp();
    }
  }

  /** A node has nothing left of what it was told. */
  join(node: number, epoch: number): void {
    const { hypervisor } = this;
    this.joined.set(node, epoch);
    if (this.missing !== null) {
      this.missing.add(node);
      this.told.delete(node);
      this.bringUp();
      return;
    }
    if (node === PRIMARY_NODE) {
      // What is under way waits for it.
      this.sendResync(node);
      hypervisor.host.askAgain();
    }
    const stays = (): boolean => this.joined.get(node) === epoch;
    hypervisor.host.nodeBack(node, epoch, {
      begins: () => {
        if (!stays()) return false;
        if (node === PRIMARY_NODE) this.primaryUpAt = hypervisor.host.dispatched;
        else this.down.delete(node);
        this.catchingUp.add(node);
        this.sendResync(node);
        return true;
      },
      waits: () => this.catchingUp.has(node),
      stays,
      ends: () => this.sendStart(node, epoch),
    });
  }

  /** In a recovery, once nobody acts for the hypervisor that crashed: tells all what they miss. */
  private bringUp(): void {
    const missing = [...(this.missing ?? [])];
    if (!missing.every((node) => this.joined.has(node))) return;
    for (const node of missing) {
      if (this.told.has(node)) continue;
      this.told.set(node, this.sendResync(node));
    }
  }

  /** Tells a node what it misses. Returns up to which write that is. */
  private sendResync(node: number): number {
    const { order, host } = this.hypervisor;
    // Writes that the protocol has not begun with yet reach the node like all others. In a recovery there are none.
    const upTo = this.missing === null ? host.dispatched : this.recoveredTo(order.journal.length);
    this.hypervisor.say(node, { kind: 'resync', resync: order.resync(upTo) });
    return upTo;
  }

  /** Up to which write nodes are brought after a crash of the hypervisor: the journal's end. */
  private recoveredTo(end: number): number {
    const { order, spec } = this.hypervisor;
    if (!spec.bugs.includes('51')) return end;
    // Bug 51: what was under way is neither completed nor rolled back.
    const first = order.journal.findIndex(({ retired }) => retired < 0);
    return first < 0 ? end : first;
  }

  private sendStart(node: number, epoch: number): void {
    if (this.joined.get(node) === epoch) this.hypervisor.say(node, { kind: 'start' });
  }

  /** A node's copy is as the order was after write `upTo`. */
  resynced(node: number, upTo: number): void {
    if (this.missing !== null) {
      // It may have been at work on what an earlier hypervisor told it.
      if (upTo < (this.told.get(node) ?? Infinity)) return;
      this.hypervisor.reach('recovering');
      this.caughtUp(node);
      return;
    }
    if (node === PRIMARY_NODE && upTo >= this.primaryUpAt) this.primaryIsUp();
    if (this.catchingUp.delete(node)) this.hypervisor.host.lookAgain();
  }

  private primaryIsUp(): void {
    this.down.delete(PRIMARY_NODE);
    this.primaryUpAt = Infinity;
    for (const write of this.held.splice(0)) this.hypervisor.retire(write);
  }

  /** The hypervisor has begun anew. */
  recover(): void {
    const { hypervisor } = this;
    this.joined.clear();
    this.told.clear();
    this.catchingUp.clear();
    this.held.length = 0;
    this.primaryUpAt = Infinity;
    const nodes = Array.from({ length: hypervisor.spec.nodes }, (_, node) => node);
    this.missing = new Set(nodes.filter((node) => node === PRIMARY_NODE || !this.down.has(node)));
  }

  private caughtUp(node: number): void {
    const { missing, hypervisor } = this;
    if (missing === null || !missing.delete(node)) return;
    if (missing.size > 0) return;
    this.missing = null;
    for (const node of this.joined.keys()) this.down.delete(node);
    hypervisor.beginHost();
    for (const { write, retired } of hypervisor.order.journal) {
      if (retired >= 0) continue;
      // Bug 46: told again to nodes that have caught up with it.
      if (hypervisor.spec.bugs.includes('46')) hypervisor.host.write(write);
      else hypervisor.retire(write);
    }
    for (const [node, epoch] of this.joined) this.sendStart(node, epoch);
    hypervisor.intake.takeNext();
  }
}
