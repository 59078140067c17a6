import { clearLiveRing, LiveRingReader, LiveRingWriter } from '@numalab/interconnect';
import { remote } from '@numalab/node-worker';
import { RING_WORDS, ringOffset } from '../live-task.ts';
import { type ClusterLiveTask, OUTBOX_WORDS, outboxOffset } from './cluster-task.ts';

/** A node at one end of a ring whose other end is in another process. */
export interface Way {
  readonly node: number;
  /** The end that is read here, and the one that is written. */
  readonly from: LiveRingReader;
  readonly to: LiveRingWriter;
}

/** The service thread's ends of what it shares with the threads of its process: their outboxes, and rings to other processes. */
export class ServiceWays {
  readonly outboxes: Map<number, LiveRingReader> = new Map();
  readonly ways: Map<number, Way> = new Map();
  private readonly task: ClusterLiveTask;
  private readonly isHome: boolean;

  constructor(task: ClusterLiveTask) {
    const { spread, shared } = task;
    const { memberOf, member } = spread;
    const { nodes } = shared.spec;
    this.task = task;
    this.isHome = memberOf[nodes] === member;
    for (const [thread, at] of memberOf.entries()) {
      if (at === member) this.openOutbox(thread);
      if (thread < nodes && (at === member) !== this.isHome) this.openWay(thread);
    }
  }

  private openOutbox(thread: number): void {
    this.outboxes.set(thread, new LiveRingReader(this.task.outboxes, outboxOffset(thread), OUTBOX_WORDS));
  }

  private openWay(node: number): void {
    const { rings, shared } = this.task;
    const [up, down] = [ringOffset(node), ringOffset(shared.spec.nodes + node)];
    const from = new LiveRingReader(rings, this.isHome ? down : up, RING_WORDS);
    const to = new LiveRingWriter(rings, this.isHome ? up : down, RING_WORDS);
    this.ways.set(node, { node, from, to });
  }

  /** A node begins a new life: its rings are empty, and if it is of this process, so is what its thread shares with this one. */
  clear(node: number): void {
    const { rings, ports, outboxes, shared } = this.task;
    clearLiveRing(rings, ringOffset(node));
    clearLiveRing(rings, ringOffset(shared.spec.nodes + node));
    if (this.ways.has(node)) this.openWay(node);
    if (!this.outboxes.has(node)) return;
    clearLiveRing(outboxes, outboxOffset(node));
    remote.portViews(ports, node).control.fill(0);
    this.openOutbox(node);
  }
}
