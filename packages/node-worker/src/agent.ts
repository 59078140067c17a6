import type { Step } from '@numalab/base';
import type { NodeContext, NodeHalf, Steps, Write } from '@numalab/protocols';
import type { NodeProcess } from './node.ts';
import type { Vcpu } from './vcpu.ts';

/**
 * EL2's agent on a node: runs the node's half of the protocol, one message after the other. It is a context of its own, not
 * one of the walking cores; in the engine it is a core that only ever runs tasks.
 */
export class Agent implements NodeContext {
  readonly node: number;
  private readonly process: NodeProcess;
  private readonly half: NodeHalf;
  private readonly inbox: unknown[] = [];
  private busy = false;
  /** Number of the last write applied, for the check that what is applied is a prefix of the order. */
  lastApplied = 0;
  applied = 0;
  /** Numbers below the highest applied that were never applied, and numbers applied again, in the order found. */
  readonly skipped: Set<number> = new Set();
  readonly repeated: number[] = [];
  highestApplied = 0;

  constructor(process: NodeProcess, half: NodeHalf) {
    this.process = process;
    this.node = process.id;
    this.half = half;
  }

  private get cpu(): Vcpu {
    return this.process.agentCpu;
  }

  /** The session layer delivers a message of the hypervisor's half. */
  deliver(body: unknown, at: number): void {
    this.inbox.push(body);
    if (!this.busy) {
      this.busy = true;
      this.process.startTask(this.cpu, () => this.work(), at);
    }
  }

  private *work(): Steps {
    while (this.inbox.length > 0) {
      yield this.process.latencies.handlePs;
      yield this.half.onMessage(this, this.inbox.shift());
    }
    this.busy = false;
  }

  send(body: unknown): void {
    this.process.session.send(body, this.cpu.time as never);
  }

  *store(write: Write): Step<void> {
    const { process } = this;
    const pa = process.copyOf(write.word * 4);
    yield process.coherence.storeOwnText(this.cpu, pa, write.words, write.number);
    this.applied++;
    if (write.number !== this.lastApplied + 1) {
      const text = `node ${this.node} applied write ${write.number} after write ${this.lastApplied}`;
      process.observations.report('ordered', text, this.cpu.time);
    }
    this.lastApplied = write.number;
    this.noteApplied(write.number);
    yield process.latencies.storePs * write.words.length;
  }

  private noteApplied(number: number): void {
    if (number > this.highestApplied) {
      for (let between = this.highestApplied + 1; between < number; between++) this.skipped.add(between);
      this.highestApplied = number;
    } else if (!this.skipped.delete(number)) this.repeated.push(number);
  }

  *maintain(write: Write): Step<void> {
    const pa = this.process.copyOf(write.word * 4);
    yield this.process.maintenance.cleanInvalidate(this.cpu, pa, write.words.length * 4);
  }

  /** As at power-on; the half is a new one. */
  reset(): void {
    this.inbox.length = 0;
    this.busy = false;
    this.lastApplied = 0;
    this.applied = 0;
    this.skipped.clear();
    this.repeated.length = 0;
    this.highestApplied = 0;
  }
}
