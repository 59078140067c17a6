import { parentPort } from 'node:worker_threads';
import { watchTables } from '@numalab/checkers';
import { ClusterLiveHypervisor } from '@numalab/hypervisor';
import { LiveRingReader, LiveRingWriter } from '@numalab/interconnect';
import { ClusterLiveNode, liveReportOf, remote, shared as word } from '@numalab/node-worker';
import { loadProtocol } from '../../engine/protocol-ref.ts';
import { faultyPorts, waysOf } from '../faulty-thread.ts';
import type { LiveNews, LiveOutcome } from '../live-task.ts';
import { RING_WORDS, ringOffset } from '../live-task.ts';
import { meet, outcomeOf, stoppingAll, testCells, withoutOrder } from '../live-thread.ts';
import { monotonicClock, monotonicMsClock } from '../monotonic-clock.ts';
import { type ClusterLiveTask, OUTBOX_WORDS, outboxOffset } from './cluster-task.ts';

/** A ring whose reader is in another process: the service thread carries on what is published, after what was posted before. */
class FarRingWriter extends LiveRingWriter {
  private readonly flush: () => void;
  private readonly bell: () => void;

  constructor(memory: SharedArrayBuffer, offset: number, flush: () => void, bell: () => void) {
    super(memory, offset, RING_WORDS);
    this.flush = flush;
    this.bell = bell;
  }

  override publish(): boolean {
    this.flush();
    const any = super.publish();
    if (any) this.bell();
    return any;
  }
}

const bellOf =
  ({ asleep, port }: ClusterLiveTask): (() => void) =>
  () => {
    if (Atomics.load(asleep, 0) === 1 && Atomics.compareExchange(asleep, 0, 1, 0) === 1) port.postMessage(0);
  };

const portOf = (task: ClusterLiveTask): remote.RemotePort => {
  const { thread, ports, outboxes, spread, originNs, sentLines } = task;
  const outbox = new LiveRingWriter(outboxes, outboxOffset(thread), OUTBOX_WORDS);
  const ways = { bell: bellOf(task), stamp: monotonicClock(originNs), sentLines };
  return new remote.RemotePort(remote.portViews(ports, thread), outbox, spread, ways);
};

const runNode = async (task: ClusterLiveTask): Promise<LiveOutcome> => {
  const { thread, shared, rings, spread, originNs } = task;
  const { spec, words } = shared;
  const half = (await loadProtocol(task.protocol)).node(spec.bugs);
  const port = portOf(task);
  const isFar = spread.memberOf[spec.nodes] !== spread.member;
  const up = ringOffset(thread);
  const raw = {
    now: monotonicMsClock(originNs),
    toHypervisor: isFar
      ? new FarRingWriter(rings, up, () => port.flush(), bellOf(task))
      : new LiveRingWriter(rings, up, RING_WORDS),
    fromHypervisor: new LiveRingReader(rings, ringOffset(spec.nodes + thread), RING_WORDS),
    watcherOf: watchTables,
    stamp: port.stamp,
    remote: port,
  };
  const { ports, faults } = faultyPorts(task, raw, () => word.wakeHypervisor(words, spec.nodes));
  // It reads the kernel's tables of node 0 when it runs, not before: all are there then.
  const node = new ClusterLiveNode(thread, shared, half, ports, faults);
  node.checks.onFinding = (finding) => parentPort?.postMessage({ node: thread, finding } satisfies LiveNews);
  const test = testCells(task);
  meet(shared);
  node.run();
  return { node: liveReportOf(node), hypervisor: null, cellsRead: test.reads, cellsTorn: test.torn };
};

const runHypervisor = async (task: ClusterLiveTask): Promise<LiveOutcome> => {
  if (task.shared.spec.strategy === 'none') return withoutOrder(task);
  const { shared, spread, rings, originNs, recordLimit } = task;
  const port = portOf(task);
  const half = (await loadProtocol(task.protocol)).hypervisor(shared.spec.bugs);
  const now = monotonicMsClock(originNs);
  const open = waysOf(task, now, (node, offset) =>
    spread.memberOf[node] === spread.member
      ? new LiveRingWriter(rings, offset, RING_WORDS)
      : new FarRingWriter(rings, offset, () => port.flush(), bellOf(task)),
  );
  const hypervisor = new ClusterLiveHypervisor(shared, half, recordLimit, { now, open }, port);
  testCells(task);
  meet(shared);
  return outcomeOf(hypervisor);
};

/** One thread of a process of a live run, from boot to report. */
export const runClusterThread = async (task: ClusterLiveTask): Promise<LiveOutcome> => {
  try {
    const isHypervisor = task.thread === task.shared.spec.nodes;
    return await stoppingAll(task, () => (isHypervisor ? runHypervisor(task) : runNode(task)));
  } finally {
    task.port.close();
  }
};
