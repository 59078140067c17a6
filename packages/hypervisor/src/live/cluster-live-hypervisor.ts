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
import type { HypervisorHalf, Steps, Write } from '@numalab/protocols';
import { type FaultyHypervisorPorts, FaultyLiveHypervisor } from './faulty-live-hypervisor.ts';

/**
 * The order of a live run that is spread over processes: its stores into copies of other processes and its maintenance are
 * frames, and a DSB waits until all of them are acknowledged.
 */
export class ClusterLiveHypervisor extends FaultyLiveHypervisor {
  private readonly port: far.RemotePort;
  private waits = false;

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

  /** The clock: ticks would reach other processes late. */
  protected override nextTick(): void {
    this.port.stamp();
  }

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

  override storeCopy(node: number, write: Write): Steps {
    if (!this.port.isElsewhere(node)) return super.storeCopy(node, write);
    const { number, word: first, words } = write;
    const at = first - (this.layout.spanStart >> 2);
    const cells = words.map((value) => cellOf(value, number));
    this.port.post(far.REMOTE_STORE_CELLS, this.port.memberOfNode(node), [node, at, ...cells]);
    return DONE;
  }

  override *dsb(): Steps {
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
