import * as link from '@numalab/interconnect';
import { flip } from './flips.ts';
import type { NodeProcess } from './node.ts';

/** What a FAULT message is for; see {@link NodeFaults.onMessage}. */
const BEGIN = 0;
const END = 1;

/** A slow node runs for this long, then not for a while, and so on. */
const SLOW_QUANTUM_PS = 1_000_000;

/** The faults that happen on one node: when they are due, and to what. Only machines that plan any have one. */
export class NodeFaults {
  private readonly node: NodeProcess;
  private readonly faults: readonly link.FaultSpec[];
  private readonly healPs: number;
  private readonly operations: readonly link.Trigger[];
  /** Messages for the agent that are still to come until a fault that counts them is due, by fault. */
  private readonly left = new Map<number, number>();
  /** By word (offset from `_text`): the faults that have flipped a bit of it, as nobody but the account knows. */
  private readonly flipped = new Map<number, string[]>();

  constructor(node: NodeProcess, plan: link.FaultPlan) {
    this.node = node;
    this.faults = plan.faults;
    this.healPs = plan.healPs;
    this.operations = plan.faults
      .filter(({ kind, node: target }) => link.OPERATION_FAULTS.has(kind) && (target < 0 || target === node.id))
      .map((fault) => new link.Trigger(fault, plan.healPs, node.spec.seed, node.id));
  }

  /** Schedules what is due at a moment. */
  begin(): void {
    for (const { fault } of this.operations) {
      if (fault.kind !== 'pool') continue;
      // Pages are asked for again when MMIO was unmapped, or the core gets an abort that says so.
      this.node.tables?.pool.failAfter(fault.nth - 1, () => {
        this.node.tally.fired(fault.name, this.node.time);
        this.node.tally.repaired(fault.name);
      });
    }
    for (const [index, fault] of this.faults.entries()) {
      if (fault.node !== this.node.id && fault.node >= 0) continue;
      if (fault.kind === 'slow-node') this.post(fault.fromPs, index, BEGIN);
      else if (!link.POINT_FAULTS.has(fault.kind) || fault.kind === 'flip-journal') continue;
      else if (fault.nth > 0) this.left.set(index, fault.nth);
      else if (fault.atPs < this.healPs) this.post(fault.atPs, index, BEGIN);
    }
  }

  private post(at: number, index: number, action: number): void {
    this.node.postLocal(at, link.FAULT, index, action);
  }

  private hits(kind: string, at: number): link.FaultSpec | null {
    for (const trigger of this.operations) {
      if (trigger.fault.kind !== kind || !trigger.hits(at)) continue;
      this.node.tally.fired(trigger.fault.name, at);
      return trigger.fault;
    }
    return null;
  }

  /** A frame arrives. True: there is no room for it, so it is lost, and comes again. */
  refuses(at: number): boolean {
    const fault = this.hits('queue', at);
    if (fault === null) return false;
    this.node.tally.repaired(fault.name);
    return true;
  }

  /** Maintenance for this node's cores. True: it comes to nothing here, or later; whoever issued it waits for the answer. */
  takesMaintenance(message: link.Message): boolean {
    const { node } = this;
    const { kind, a, b, from, time } = message;
    const isTlbi = kind === link.MAINTAIN && a < link.IC_IVAU;
    const late = isTlbi ? this.hits('tlbi-late', time) : null;
    if (late !== null) {
      node.receive({ ...message, time: (time + late.spanPs) as never });
      return true;
    }
    if (this.hits(isTlbi ? 'tlbi-lost' : 'maint-lost', time) === null) return false;
    node.maintenance.answer(from, b, time);
    return true;
  }

  /** A bit of `word` has flipped in memory. */
  noteFlip(word: number, name: string): void {
    this.flipped.set(word, [...(this.flipped.get(word) ?? []), name]);
  }

  /** `word` was found wrong and put right. */
  mended(word: number): void {
    for (const name of this.flipped.get(word) ?? []) this.node.tally.repaired(name);
    this.flipped.delete(word);
  }

  /** The agent is about to get another message. */
  countMessage(at: number): void {
    for (const [index, left] of this.left) {
      if (left > 1) this.left.set(index, left - 1);
      else {
        this.left.delete(index);
        if (at < this.healPs) this.post(at, index, BEGIN);
      }
    }
  }

  /** A fault is due, or over. */
  onMessage(index: number, action: number, at: number): void {
    const { life } = this.node;
    if (index < 0) {
      life?.standStill(at);
      return;
    }
    const fault = this.faults[index]!;
    if (fault.kind === 'pause') this.pause(fault, index, action, at);
    else if (fault.kind === 'slow-node') this.slow(fault, index, action, at);
    else if (fault.kind === 'crash') this.crash(fault, index, action, at);
    else if (flip(this.node, fault, this.healPs)) this.node.tally.fired(fault.name, at);
  }

  private pause({ name, spanPs }: link.FaultSpec, index: number, action: number, at: number): void {
    const { life, tally } = this.node;
    if (action === END) life!.endPause(at);
    else if (life!.pause()) {
      tally.fired(name, at);
      this.post(at + spanPs, index, END);
    }
  }

  /** A pause after every quantum, so that the node does the same in `factor` times the time. */
  private slow({ name, factor, toPs }: link.FaultSpec, index: number, action: number, at: number): void {
    const { life, tally } = this.node;
    if (action === END) life!.endPause(at);
    else if (life!.pause()) {
      tally.fired(name, at);
      const until = at + (factor - 1) * SLOW_QUANTUM_PS;
      this.post(until, index, END);
      if (until + SLOW_QUANTUM_PS < toPs) this.post(until + SLOW_QUANTUM_PS, index, BEGIN);
    } else if (at + SLOW_QUANTUM_PS < toPs) this.post(at + SLOW_QUANTUM_PS, index, BEGIN);
  }

  private crash({ name, spanPs, losesMemory }: link.FaultSpec, index: number, action: number, at: number): void {
    const { life, tally } = this.node;
    if (action === END) {
      life!.restart(at);
      tally.repaired(name);
      return;
    }
    const moment = life!.momentFor(at);
    if (moment > at) this.post(moment, index, BEGIN);
    else if (life!.crash(at, losesMemory)) {
      tally.fired(name, at);
      this.post(at + spanPs, index, END);
    }
  }
}
