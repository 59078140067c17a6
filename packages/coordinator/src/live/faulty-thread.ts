import { parentPort, threadId } from 'node:worker_threads';
import { FaultyLiveHypervisor, type NodeWay } from '@numalab/hypervisor';
import {
  type FaultPlan,
  FRAME,
  LiveLink,
  type LiveLinkPorts,
  LiveRingReader,
  LiveRingWriter,
  LiveTally,
  linkFaultsOf,
  MESSAGE_FAULTS,
  plans,
  RETIRE as RETIRE_MESSAGE,
  SUBMIT as SUBMIT_MESSAGE,
} from '@numalab/interconnect';
import {
  FaultyLiveNode,
  type LiveFaultPorts,
  type LiveNode,
  type LiveNodePorts,
  type LiveShared,
  RETIRE,
  SUBMIT,
  shared as word,
} from '@numalab/node-worker';
import type { HypervisorHalf, NodeHalf } from '@numalab/protocols';
import { type LiveNews, type LiveTask, RING_WORDS, ringOffset } from './live-task.ts';

/** What planned faults call a record: the kinds of the simulator's messages. */
const kindOf = (kind: number): number => {
  if (kind === SUBMIT) return SUBMIT_MESSAGE;
  return kind === RETIRE ? RETIRE_MESSAGE : FRAME;
};

/** What is the same for all links of `own`, a thread; null if no message can be hit. */
const linkParts = (
  { spec, faults }: LiveShared,
  own: number,
  now: () => number,
): Pick<LiveLinkPorts, 'words' | 'faults' | 'tally' | 'kindOf' | 'now' | 'beganMs'> | null => {
  const plan = spec.faults as FaultPlan;
  if (!plans(plan, MESSAGE_FAULTS)) return null;
  const tally = new LiveTally(plan, faults!.tally, own);
  const { beganMs } = faults!;
  const links = linkFaultsOf(plan, spec.seed, own, tally);
  return { words: RING_WORDS, faults: links, tally, kindOf, now, beganMs: () => beganMs[0]! };
};

/** What a half declares durable is told to the main thread before it counts as kept: this thread may end at any moment. */
class DurableMap extends Map<string, unknown> {
  private readonly tell: (key: string, kept?: { readonly value: unknown }) => void;

  constructor(kept: ReadonlyMap<string, unknown>, tell: DurableMap['tell']) {
    super(kept);
    this.tell = tell;
  }

  override set(key: string, value: unknown): this {
    // While the constructor fills it there is nobody to tell.
    this.tell?.(key, { value });
    return super.set(key, value);
  }

  override delete(key: string): boolean {
    this.tell(key);
    return super.delete(key);
  }

  override clear(): void {
    for (const key of [...this.keys()]) this.delete(key);
  }
}

const durableOf = ({ thread: node, durable }: LiveTask): DurableMap =>
  new DurableMap(durable, (key, kept) => {
    const news: LiveNews = kept === undefined ? { node, key } : { node, key, kept };
    parentPort?.postMessage(news);
  });

/** What a node that planned faults may hit is given, with the rings of `ports` on the other side of its link. */
export const faultyPorts = <Ports extends LiveNodePorts>(
  task: LiveTask,
  ports: Ports,
  wake: () => void,
): { readonly ports: Ports; readonly faults: LiveFaultPorts } => {
  const { thread, shared, life } = task;
  const { spec, words, faults } = shared;
  const plan = spec.faults as FaultPlan;
  Atomics.store(words, word.threadWord(thread) + word.THREAD_ID, threadId);
  const parts = linkParts(shared, thread, ports.now);
  const link =
    parts === null
      ? null
      : new LiveLink({
          ...parts,
          out: ports.toHypervisor,
          in: ports.fromHypervisor,
          peer: spec.nodes,
          wake,
        });
  const ends = link === null ? {} : { toHypervisor: link.sender, fromHypervisor: link.receiver };
  const tally = new LiveTally(plan, faults!.tally, thread);
  return {
    ports: { ...ports, ...ends, isReborn: life > 1, durable: durableOf(task) },
    faults: { plan, tally, link, life },
  };
};

/** A node that planned faults may hit. */
export const faultyNode = (task: LiveTask, half: NodeHalf, raw: LiveNodePorts): LiveNode => {
  const { thread, shared } = task;
  const wake = (): void => word.wakeHypervisor(shared.words, shared.spec.nodes);
  const { ports, faults } = faultyPorts(task, raw, wake);
  const node = new FaultyLiveNode(thread, shared, half, ports, faults);
  node.checks.onFinding = (finding) => parentPort?.postMessage({ node: thread, finding } satisfies LiveNews);
  return node;
};

/** The ways from the hypervisor to nodes; `writer` makes its end of a ring. */
export const waysOf = (
  { shared, rings }: LiveTask,
  now: () => number,
  writer: (node: number, offset: number) => LiveRingWriter,
): ((node: number) => NodeWay) => {
  const { spec, words } = shared;
  const parts = linkParts(shared, spec.nodes, now);
  return (node) => {
    const to = writer(node, ringOffset(spec.nodes + node));
    const from = new LiveRingReader(rings, ringOffset(node), RING_WORDS);
    if (parts === null) return { to, from, link: null };
    const wake = (): void => word.wakeNode(words, spec.nodes, node);
    const link = new LiveLink({ ...parts, out: to, in: from, peer: node, wake });
    return { to: link.sender, from: link.receiver, link };
  };
};

/** The hypervisor of a run with planned faults. */
export const faultyHypervisor = (task: LiveTask, half: HypervisorHalf, now: () => number): FaultyLiveHypervisor => {
  const open = waysOf(task, now, (_, offset) => new LiveRingWriter(task.rings, offset, RING_WORDS));
  return new FaultyLiveHypervisor(task.shared, half, task.recordLimit, { now, open });
};
