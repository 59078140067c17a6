import type { TallyKeeper } from '@numalab/interconnect';
import { type FaultPlan, type FaultSpec, type LiveLink, type LiveRingReader, Trigger } from '@numalab/interconnect';
import type { NodeHalf } from '@numalab/protocols';
import { cellOf, numberOfCell, wordOfCell } from './cells.ts';
import { LiveNode, type LiveNodePorts, type LiveShared } from './live-node.ts';
import { CRASHES, FAILED, FINITE, OFFLINE_JOINS, OFFLINE_UP, PHASE, PHASE_END, threadWord } from './shared-words.ts';
import { RESYNC, RESYNCED, START } from './wire.ts';

/** A slow node runs for this long, then not for a while, and so on. */
const SLOW_QUANTUM_MS = 1;
const PS_PER_MS = 1e9;

/** What a node that faults may hit is given beside its {@link LiveNodePorts}. */
export interface LiveFaultPorts {
  readonly plan: FaultPlan;
  readonly tally: TallyKeeper;
  /** The way to the hypervisor if messages on it may be hit; null: the rings themselves. */
  readonly link: LiveLink | null;
  /** Counts the lives of this node, from 1. */
  readonly life: number;
}

/** A fault of one node that is yet to come, or lasts. */
interface Due {
  readonly fault: FaultSpec;
  readonly place: number;
  /** Messages of the hypervisor until it is due; -1: it goes by time. */
  left: number;
}

/**
 * A node of a run with planned faults. Pauses, slow times and flips happen on its own thread, between two turns; messages pass
 * through a {@link LiveLink}; a crash is the end of its thread, and what is made anew for its next life is this class
 * again: empty caches, tables as at boot, its copy brought up to the order before its cores go on. Other runs are of plain
 * {@link LiveNode}s, which know nothing of this.
 */
export class FaultyLiveNode extends LiveNode {
  private readonly faultPorts: LiveFaultPorts;
  private readonly began: Float64Array;
  private due: Due[];
  private readonly slow: readonly FaultSpec[];
  private quantumMs = 0;
  private takenSeen = 0;
  /** EL2 is back, and the copy is not as it should be: no core runs. */
  private standsStill: boolean;

  constructor(id: number, shared: LiveShared, half: NodeHalf, ports: LiveNodePorts, faultPorts: LiveFaultPorts) {
    super(id, shared, half, ports);
    const { plan, life } = faultPorts;
    this.faultPorts = faultPorts;
    this.began = shared.faults!.beganMs;
    this.standsStill = life > 1;
    const own = plan.faults
      .map((fault, place) => ({ fault, place, left: fault.nth }))
      .filter(({ fault }) => fault.node === id || fault.node < 0);
    this.slow = own.filter(({ fault }) => fault.kind === 'slow-node').map(({ fault }) => fault);
    const isHere = ({ kind, nth, atPs }: FaultSpec): boolean =>
      (kind === 'pause' || kind === 'flip-replica' || (kind === 'crash' && nth > 0)) && (nth > 0 || atPs < plan.healPs);
    // What hit an earlier life does not hit again.
    this.due = life > 1 ? [] : own.filter(({ fault }) => isHere(fault));
  }

  /** Picoseconds since faults began to count. */
  private get faultPs(): number {
    return (this.now() - this.began[0]!) * PS_PER_MS;
  }

  // ---- faults of this node --------------------------------------------------------------------------------------------------

  private meetFaults(): void {
    if (this.due.length > 0) this.meetDue();
    for (const fault of this.slow) {
      const at = this.faultPs;
      if (at < fault.fromPs || at >= fault.toPs || this.now() - this.quantumMs < SLOW_QUANTUM_MS) continue;
      this.faultPorts.tally.fired(fault.name, at);
      this.standFor((fault.factor - 1) * SLOW_QUANTUM_MS);
      this.quantumMs = this.now();
    }
  }

  private meetDue(): void {
    const at = this.faultPs;
    const { taken } = this.fromHypervisor;
    const arrived = taken - this.takenSeen;
    this.takenSeen = taken;
    const isDue = (due: Due): boolean => {
      if (due.left < 0) return at >= due.fault.atPs;
      due.left -= arrived;
      return due.left <= 0;
    };
    const now = this.due.filter(isDue);
    if (now.length === 0) return;
    this.due = this.due.filter((due) => !now.includes(due));
    for (const { fault, place } of now) if (at < this.faultPorts.plan.healPs) this.suffer(fault, place, at);
  }

  private suffer(fault: FaultSpec, place: number, at: number): void {
    const { tally } = this.faultPorts;
    if (fault.kind === 'pause') {
      tally.fired(fault.name, at);
      this.standFor(fault.spanPs / PS_PER_MS);
    } else if (fault.kind === 'crash') Atomics.store(this.words, threadWord(this.id) + CRASHES, place + 1);
    else if (this.flipReplica(fault)) tally.fired(fault.name, at);
  }

  /** The whole node, cores and EL2, does nothing for a while. Its permit goes to others. */
  private standFor(ms: number): void {
    const { words, waiting } = this;
    const end = this.now() + ms;
    const nothing = (): boolean => false;
    for (let left = ms; left > 0; left = end - this.now()) {
      if (Atomics.load(words, PHASE) >= PHASE_END || Atomics.load(words, FAILED) !== 0) return;
      waiting.wait(nothing, left);
    }
  }

  /** One bit of a word that was written, if there is any, as those are fetched. */
  private flipReplica(fault: FaultSpec): boolean {
    const { cells } = this.ownCopy;
    const { random } = new Trigger(fault, this.faultPorts.plan.healPs, this.spec.seed, this.id);
    const written: number[] = [];
    for (let i = 0; i < cells.length; i++) if (numberOfCell(cells[i]!) !== 0) written.push(i);
    const at = written.length > 0 ? written[random.below(written.length)]! : random.below(cells.length);
    const bit = random.below(32);
    // With ECC the next read gives what was stored, and a scrub puts it back.
    if (fault.survivable) this.faultPorts.tally.repaired(fault.name);
    else cells[at] = cellOf((wordOfCell(cells[at]!) ^ (1 << bit)) >>> 0, numberOfCell(cells[at]!));
    return true;
  }

  // ---- a life after the first -------------------------------------------------------------------------------------------

  override run(): void {
    if (this.standsStill) {
      // Most of it now, while writes flow; what they change meanwhile is found once more when the hypervisor holds them.
      this.copyReference();
      Atomics.store(this.words, threadWord(this.id) + FINITE, 0);
      if (this.hasTables) this.control.announceState(this.id, OFFLINE_JOINS, this.spec.nodes);
      // Where nothing traps there is no order that holds writes, and nothing that it missed.
      else this.begin();
    }
    super.run();
  }

  /** Its cores go on. */
  private begin(): void {
    this.standsStill = false;
    // Before it looks whether others want all cores to stop, who look here first whom they must wait for.
    this.control.announceState(this.id, OFFLINE_UP, this.spec.nodes);
  }

  /** Takes over what the order has, word and number, where the copy differs. */
  private copyReference(): void {
    const { reference } = this.shared;
    const { cells } = this.ownCopy;
    for (let i = 0; i < reference.length; i++) if (cells[i] !== reference[i]) cells[i] = reference[i]!;
  }

  protected override hear(ring: LiveRingReader): void {
    if (ring.kind === RESYNC) this.resync(ring.word());
    else if (ring.kind === START) this.begin();
    else super.hear(ring);
  }

  /** The hypervisor numbers nothing until this is over, so the reference is what write `upTo` left. */
  private resync(upTo: number): void {
    this.copyReference();
    this.maintenance.invalidateLines();
    this.resyncedTo = upTo;
    const ring = this.toHypervisor;
    ring.begin(RESYNCED, this.dueAtHypervisor());
    ring.end();
  }

  protected override onlyCpu(): number {
    return this.standsStill ? -1 : super.onlyCpu();
  }

  // ---- the loop -------------------------------------------------------------------------------------------------------------

  protected override turn(): boolean {
    const { link } = this.faultPorts;
    this.meetFaults();
    link?.run();
    const busy = super.turn();
    link?.run();
    return busy;
  }

  protected override hasMail(): boolean {
    return super.hasMail() || (this.faultPorts?.link?.nextMs() ?? Infinity) <= this.now();
  }

  protected override napMs(): number {
    const now = this.now();
    let ms = Math.min(super.napMs(), (this.faultPorts.link?.nextMs() ?? Infinity) - now);
    for (const { fault, left } of this.due) {
      if (left < 0) ms = Math.min(ms, this.began[0]! + fault.atPs / PS_PER_MS - now);
    }
    return ms;
  }
}
