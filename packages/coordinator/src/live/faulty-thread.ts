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

/** A node that planned faults may hit. */
export const faultyNode = ({ thread, shared, life }: LiveTask, half: NodeHalf, ports: LiveNodePorts): LiveNode => {
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
          wake: () => word.wakeHypervisor(words, spec.nodes),
        });
  const ends = link === null ? {} : { toHypervisor: link.sender, fromHypervisor: link.receiver };
  const tally = new LiveTally(plan, faults!.tally, thread);
  const node = new FaultyLiveNode(
    thread,
    shared,
    half,
    { ...ports, ...ends, isReborn: life > 1 },
    { plan, tally, link, life },
  );
  node.checks.onFinding = (finding) => parentPort?.postMessage({ node: thread, finding } satisfies LiveNews);
  return node;
};

/** The hypervisor of a run with planned faults. */
export const faultyHypervisor = (
  { shared, rings, recordLimit }: LiveTask,
  half: HypervisorHalf,
  now: () => number,
): FaultyLiveHypervisor => {
  const { spec, words } = shared;
  const parts = linkParts(shared, spec.nodes, now);
  const open = (node: number): NodeWay => {
    const to = new LiveRingWriter(rings, ringOffset(spec.nodes + node), RING_WORDS);
    const from = new LiveRingReader(rings, ringOffset(node), RING_WORDS);
    if (parts === null) return { to, from, link: null };
    const wake = (): void => word.wakeNode(words, spec.nodes, node);
    const link = new LiveLink({ ...parts, out: to, in: from, peer: node, wake });
    return { to: link.sender, from: link.receiver, link };
  };
  return new FaultyLiveHypervisor(shared, half, recordLimit, { now, open });
};
