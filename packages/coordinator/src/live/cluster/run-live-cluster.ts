import { rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import {
  imageWords,
  type LiveShared,
  layOut,
  type MachineSpec,
  type WatchMap,
  shared as word,
} from '@numalab/node-worker';
import { giveMembers, killMembers, takeMembers } from '../../engine/cluster/members.ts';
import { unpackMemory } from '../../engine/cluster/packed-report.ts';
import { makeFolder } from '../../engine/cluster/run-cluster.ts';
import { spreadMachine } from '../../engine/deal.ts';
import type { ProtocolRef } from '../../engine/protocol-ref.ts';
import { Conductor } from '../conductor.ts';
import type { LiveOptions, LiveRun } from '../live-run.ts';
import { buildShared } from '../live-shared.ts';
import { NO_HYPERVISOR } from '../live-task.ts';
import { memoryReport } from '../memory-report.ts';
import { monotonicNs } from '../monotonic-clock.ts';
import { ClusterFleet } from './cluster-fleet.ts';
import type { LiveMemberJob, LiveSpread } from './cluster-task.ts';
import type { LiveMemberOutcome } from './live-member.ts';

/** How a live run is spread over processes. */
export interface LiveClusterOptions extends LiveOptions {
  /** Processes of the operating system; null: as many as cores. */
  readonly processes: number | null;
  /** The hypervisor has a process to itself instead of living with its node. */
  readonly ownHypervisor: boolean;
  /** Is told the processes, by their system’s numbers, when they are there. */
  readonly started?: (pids: readonly number[]) => void;
}

type Left = Extract<LiveMemberOutcome, { kind: 'done' }>;

const jobsOf = (
  spec: MachineSpec,
  protocol: ProtocolRef,
  watch: WatchMap,
  options: LiveClusterOptions,
  folder: string,
): LiveMemberJob[] => {
  const cores = availableParallelism();
  const { memberOf, threads } = spreadMachine(spec, options.processes ?? cores, spec.nodes, options.ownHypervisor);
  const originNs = monotonicNs();
  const members = threads.length;
  return Array.from({ length: members }, (_, member) => {
    const spread: LiveSpread = { member, members, memberOf, folder };
    const { scale, recordLimit } = options;
    // The processes share the cores.
    const own = Math.max(1, Math.floor(cores / members));
    return { spec, protocol, watch, spread, scale, recordLimit, cores: own, originNs };
  });
};

/** Memory as the processes left it, in memory of this one. */
const sharedOf = (job: LiveMemberJob, left: readonly Left[]): LiveShared => {
  const { spec } = job;
  const shared = buildShared(spec, job.watch, { ...job, isHere: () => false });
  const image = imageWords(spec, layOut(spec));
  const memories = [...shared.memories];
  const accounts = new Float64Array(shared.faults!.tally);
  for (const { nodes, memories: packed, reference, numbered, tally } of left) {
    if (reference !== null) Atomics.store(shared.words, word.NUMBERED, numbered);
    for (const [i, { id }] of nodes.entries()) memories[id] = unpackMemory(packed[i]!, image);
    for (const [i, place] of reference?.at.entries() ?? []) shared.reference[place] = reference!.cells[i]!;
    const own = new Float64Array(tally.slice().buffer);
    for (let i = 0; i < own.length; i++) accounts[i] = Math.max(accounts[i]!, own[i]!);
  }
  return { ...shared, memories };
};

/**
 * Runs a machine on threads that race in several processes of the operating system. A process that is ended from outside takes
 * its nodes with it, and the run goes on without them. Throws LostError if it had what no run goes on without,
 * InternalError if a thread fails, InputError if the protocol cannot be loaded; then no process goes on.
 */
export const runLiveCluster = async (
  given: MachineSpec,
  protocol: ProtocolRef,
  watch: WatchMap,
  options: LiveClusterOptions,
): Promise<LiveRun> => {
  const called = performance.now();
  // A process may be lost at any time: so nodes always are of the kind that can go down.
  const spec = { ...given, faults: given.faults ?? { faults: [], healPs: 0 } };
  const folder = makeFolder();
  const jobs = jobsOf(spec, protocol, watch, options, folder);
  const members = takeMembers(jobs.length);
  options.started?.(members.map(({ pid }) => pid));
  try {
    const fleet = new ClusterFleet(members, jobs);
    const conductor = new Conductor(fleet, options);
    const isReady = await conductor.ready();
    const bootMs = performance.now() - called;
    const measured = isReady
      ? await conductor.conduct(spec)
      : { warmUpMs: 0, wallMs: 0, retired: 0, alone: null, rested: false };
    if (!isReady) conductor.end();
    // A run that was interrupted before it began has left nothing.
    const kept = isReady || !conductor.interrupted ? fleet.outcomes : [];
    const outcomes = await Promise.all(kept.map((outcome) => conductor.inTime(outcome)));
    const { interrupted } = conductor;
    const left = outcomes.flatMap((outcome) => (outcome?.kind === 'done' ? [outcome] : []));
    if (left.length + fleet.lost.length === members.length) giveMembers(members.filter(({ isAlive }) => isAlive));
    else await killMembers(members);
    const shared = sharedOf(jobs[0]!, left);
    const nodes = left.flatMap(({ nodes: own }) => own).sort((x, y) => x.id - y.id);
    return {
      shared,
      nodes,
      hypervisor:
        spec.strategy === 'none'
          ? memoryReport(
              shared,
              nodes,
              left.flatMap(({ served }) => served),
            )
          : (left.find(({ hypervisor }) => hypervisor !== null)?.hypervisor ?? NO_HYPERVISOR),
      bootMs,
      ...measured,
      beganMs: fleet.beganMs,
      interrupted,
      cellsRead: left.reduce((sum, { cellsRead }) => sum + cellsRead, 0),
      cellsTorn: left.reduce((sum, { cellsTorn }) => sum + cellsTorn, 0),
      cores: availableParallelism(),
      outages: left.flatMap(({ outages }) => outages).sort((x, y) => x.downMs - y.downMs),
      lostFindings: left.flatMap(({ findings }) => findings),
      processes: members.length,
      lost: fleet.lost,
      ticksAreNs: true,
    };
  } catch (error) {
    await killMembers(members);
    throw error;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
};
