import { watchTables } from '@numalab/checkers';
import { FaultyLiveHypervisor, LiveHypervisor, LiveOrderPart, type LiveOrderPartPorts } from '@numalab/hypervisor';
import { LiveRingReader, LiveRingWriter } from '@numalab/interconnect';
import {
  LiveNode,
  type LiveNodePorts,
  liveReportOf,
  type OrderPorts,
  TearingTest,
  shared as word,
} from '@numalab/node-worker';
import type { HypervisorHalf } from '@numalab/protocols';
import { loadProtocol } from '../engine/protocol-ref.ts';
import { faultyHypervisor, faultyNode } from './faulty-thread.ts';
import {
  type LiveHypervisorReport,
  type LiveOutcome,
  type LiveTask,
  NO_HYPERVISOR,
  PART_RING_WORDS,
  partRingOffset,
  RING_WORDS,
  ringOffset,
} from './live-task.ts';
import { monotonicClock } from './monotonic-clock.ts';
import { pinThread } from './pin-thread.ts';
import { sentError } from './thread-errors.ts';

/** How long cells are put to the test before a run, and how many accesses between two looks at the clock. */
const TEST_MS = 20;
const TEST_ROUNDS = 2000;

/** All threads at once: the hypervisor writes cells, the nodes read them. */
export const testCells = ({ tearingTest, thread, shared }: LiveTask): TearingTest => {
  const test = new TearingTest(tearingTest);
  const end = performance.now() + TEST_MS;
  while (performance.now() < end) {
    if (thread === shared.spec.nodes) test.write(TEST_ROUNDS);
    else test.read(TEST_ROUNDS);
  }
  return test;
};

/** Tells that this thread is ready and waits until the run begins. */
export const meet = ({ words }: LiveTask['shared']): void => {
  Atomics.add(words, word.READY, 1);
  Atomics.notify(words, word.READY);
  while (Atomics.load(words, word.PHASE) === word.PHASE_BOOT && Atomics.load(words, word.FAILED) === 0) {
    Atomics.wait(words, word.PHASE, word.PHASE_BOOT, 100);
  }
};

/** The clock that all threads have in common: milliseconds since the run's origin. */
const clockFrom = (originMs: number): (() => number) => {
  // The global is a getter, which is called anew each time.
  const clock = performance;
  const offset = clock.timeOrigin - originMs;
  return () => clock.now() + offset;
};

const nodePorts = ({ thread, shared, rings, originMs, originNs }: LiveTask): LiveNodePorts => ({
  now: clockFrom(originMs),
  // Where nothing traps nobody counts the events of the order.
  ...(shared.spec.strategy === 'none' ? { stamp: monotonicClock(originNs) } : {}),
  toHypervisor: new LiveRingWriter(rings, ringOffset(thread), RING_WORDS),
  fromHypervisor: new LiveRingReader(rings, ringOffset(shared.spec.nodes + thread), RING_WORDS),
  watcherOf: watchTables,
});

/** How this node takes part in an order that is made on nodes, and its part once the node has made it. */
class OwnPart implements OrderPorts {
  readonly toParts: readonly LiveRingWriter[];
  part: LiveOrderPart | null = null;
  private readonly task: LiveTask;
  private readonly half: HypervisorHalf;

  constructor(task: LiveTask, half: HypervisorHalf) {
    const { rings, thread } = task;
    this.task = task;
    this.half = half;
    this.toParts = this.each((to) => new LiveRingWriter(rings, this.ringOffset(thread, to), PART_RING_WORDS));
  }

  private each<Item>(make: (node: number) => Item): Item[] {
    return Array.from({ length: this.task.shared.spec.nodes }, (_, node) => make(node));
  }

  private ringOffset(from: number, to: number): number {
    return partRingOffset(this.task.shared.spec.nodes, from, to);
  }

  make(retired: LiveOrderPartPorts['retired']): LiveOrderPart {
    const { thread, shared, rings, recordLimit, originMs } = this.task;
    const { nodes } = shared.spec;
    this.part = new LiveOrderPart(shared, this.half, recordLimit, {
      node: thread,
      now: clockFrom(originMs),
      toNodes: this.each((node) => new LiveRingWriter(rings, ringOffset(nodes + node), RING_WORDS)),
      fromNodes: this.each((node) => new LiveRingReader(rings, this.ringOffset(node, thread), PART_RING_WORDS)),
      retired,
    });
    return this.part;
  }
}

const runNode = async (task: LiveTask): Promise<LiveOutcome> => {
  const { thread, shared } = task;
  const protocol = await loadProtocol(task.protocol);
  const { bugs } = shared.spec;
  const half = protocol.node(bugs);
  const order = shared.ordersOnNodes ? new OwnPart(task, protocol.hypervisor(bugs)) : null;
  const ports = { ...nodePorts(task), ...(order === null ? {} : { order }) };
  const node = shared.faults === null ? new LiveNode(thread, shared, half, ports) : faultyNode(task, half, ports);
  const test = testCells(task);
  meet(shared);
  node.run();
  const hypervisor = order === null ? null : hypervisorReportOf(order.part!);
  return { node: liveReportOf(node), hypervisor, cellsRead: test.reads, cellsTorn: test.torn };
};

const newHypervisor = (task: LiveTask, half: HypervisorHalf): LiveHypervisor => {
  const { shared, rings, recordLimit, originMs } = task;
  if (shared.faults !== null) return faultyHypervisor(task, half, clockFrom(originMs));
  const { nodes } = shared.spec;
  const each = Array.from({ length: nodes }, (_, node) => node);
  return new LiveHypervisor(shared, half, recordLimit, {
    now: clockFrom(originMs),
    toNodes: each.map((node) => new LiveRingWriter(rings, ringOffset(nodes + node), RING_WORDS)),
    fromNodes: each.map((node) => new LiveRingReader(rings, ringOffset(node), RING_WORDS)),
  });
};

/** Where nothing traps there is nothing to order: the thread only takes part in the start. */
export const withoutOrder = (task: LiveTask): LiveOutcome => {
  const { words, spec } = task.shared;
  testCells(task);
  Atomics.store(words, word.threadWord(spec.nodes) + word.IDLE, 1);
  meet(task.shared);
  return { node: null, hypervisor: null, cellsRead: 0, cellsTorn: 0 };
};

const runHypervisor = async (task: LiveTask): Promise<LiveOutcome> => {
  if (task.shared.spec.strategy === 'none' || task.shared.ordersOnNodes) return withoutOrder(task);
  const hypervisor = newHypervisor(task, (await loadProtocol(task.protocol)).hypervisor(task.shared.spec.bugs));
  testCells(task);
  meet(task.shared);
  return outcomeOf(hypervisor);
};

/** Runs the hypervisor to its end. */
export const outcomeOf = (hypervisor: LiveHypervisor): LiveOutcome => {
  hypervisor.run();
  return { node: null, hypervisor: hypervisorReportOf(hypervisor), cellsRead: 0, cellsTorn: 0 };
};

const hypervisorReportOf = (hypervisor: LiveHypervisor): LiveHypervisorReport => {
  const { order, tickMs, retired, withoutEffect, turns } = hypervisor;
  const { orphaned, answers } = hypervisor instanceof FaultyLiveHypervisor ? hypervisor : NO_HYPERVISOR;
  return {
    record: order.recorded(),
    tickMs,
    numbered: order.numbered,
    retired,
    withoutEffect,
    turns,
    orphaned,
    answers,
  };
};

/** One thread of a live run, from boot to report. */
export const runLiveThread = async (task: LiveTask): Promise<LiveOutcome> => {
  const { spec, cores, words } = task.shared;
  if (cores <= spec.nodes && spec.strategy !== 'none') pinThread(task.thread, spec.nodes, words[word.POOLS]!);
  return await stoppingAll(task, () => (task.thread === spec.nodes ? runHypervisor(task) : runNode(task)));
};

/** Does `work`; an error stops all threads, and leaves as {@link sentError}. */
export const stoppingAll = async <Result>(
  { shared: { words, spec } }: LiveTask,
  work: () => Promise<Result>,
): Promise<Result> => {
  try {
    return await work();
  } catch (error) {
    Atomics.store(words, word.FAILED, 1);
    word.wakeAll(words, spec.nodes);
    Atomics.notify(words, word.PHASE);
    throw sentError(error);
  }
};
