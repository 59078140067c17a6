import { DONE, WAIT } from '@numalab/base';
import {
  cellOf,
  remote as far,
  LineHolders,
  type LiveShared,
  layOut,
  RemoteMaintenance,
  shared as word,
} from '@numalab/node-worker';
import { type HypervisorHalf, PRIMARY_NODE, type Steps, type Write } from '@numalab/protocols';
import { type FaultyHypervisorPorts, FaultyLiveHypervisor } from './faulty-live-hypervisor.ts';

/**
 * The order of a live run that is spread over processes: its stores into copies of other processes and its maintenance are
 * frames, and a DSB waits until all of them are acknowledged.
 */
export class ClusterLiveHypervisor extends FaultyLiveHypervisor {
  private readonly port: far.RemotePort;
  private waits = false;
  /** Since the last DSB that was waited for: stores into copies of other processes, and maintenance; and a DSB that was not. */
  private hasStored = false;
  private hasMaintained = false;
  private isOwed = false;

  constructor(
    shared: LiveShared,
    half: HypervisorHalf,
    limit: number,
    ports: Omit<FaultyHypervisorPorts, 'maintenance'>,
    port: far.RemotePort,
  ) {
    const holders = new LineHolders(port, shared.spec, layOut(shared.spec));
    super(shared, half, limit, {
      ...ports,
      maintenance: new RemoteMaintenance(port, holders, shared.words, shared.maintenance),
    });
    this.port = port;
  }

  /** The record's time is the clock: ticks would reach other processes late. */
  protected override nextTick(): void {}

  /** Every process knows of a number before anything that has it can reach it. */
  protected override begin(write: Write): void {
    const { number, word: first, words } = write;
    this.port.post(far.REMOTE_NUMBERED, far.ALL_OTHERS, [number, first, ...words]);
    super.begin(write);
  }

  /** Whoever began the node's life waits for this. */
  protected override bury(node: number, life: number): void {
    super.bury(node, life);
    this.port.post(far.REMOTE_PUBLISH, far.ALL_OTHERS, [word.threadWord(node) + word.BURIED, life]);
    this.port.flush();
  }

  // ---- what the protocol can do -------------------------------------------------------------------------------------------

  override send(node: number, body: unknown): void {
    this.settle();
    super.send(node, body);
  }

  override *ask(nodes: readonly number[], body: unknown): Steps {
    this.settle();
    yield* super.ask(nodes, body);
  }

  override retire(write: Write): void {
    this.settle();
    super.retire(write);
  }

  override storeCopy(node: number, write: Write): Steps {
    this.settle();
    if (!this.port.isElsewhere(node)) return super.storeCopy(node, write);
    const { number, word: first, words } = write;
    const at = first - (this.layout.spanStart >> 2);
    const cells = words.map((value) => cellOf(value, number));
    this.port.post(far.REMOTE_STORE_CELLS, this.port.memberOfNode(node), [node, at, ...cells]);
    this.hasStored = true;
    return DONE;
  }

  override maintainCopy(node: number, write: Write): Steps {
    // A replica's lines are only in its own process, where this comes behind the store; the primary's may be anywhere.
    if (node === PRIMARY_NODE && this.port.isElsewhere(node)) this.settle();
    this.hasMaintained = true;
    return super.maintainCopy(node, write);
  }

  /**
   * A DSB between stores and their maintenance is owed: both take the same way to the copy's process, in order. Whatever else
   * the protocol does waits for it first ({@link settle}).
   */
  override dsb(): Steps {
    if (!this.hasStored || this.hasMaintained) return this.waitForAll();
    this.isOwed = true;
    return DONE;
  }

  private settle(): void {
    if (!this.isOwed) return;
    this.isOwed = false;
    this.hasStored = false;
    this.port.complete();
  }

  private *waitForAll(): Steps {
    this.isOwed = false;
    this.hasStored = false;
    this.hasMaintained = false;
    this.port.flush();
    while (!this.port.isComplete) {
      this.waits = true;
      yield WAIT;
    }
    this.waits = false;
  }

  protected override turn(): boolean {
    if (this.waits && this.port.isComplete) this.runner.wake();
    const busy = super.turn();
    this.port.flush();
    return busy;
  }

  protected override hasMail(): boolean {
    return super.hasMail() || (this.waits && this.port.isComplete);
  }

  protected override flush(): void {
    // Numbers before the messages that carry them.
    this.port.flush();
    super.flush();
  }
}
