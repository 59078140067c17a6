import { rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import {
  imageWords,
  type LiveNodeReport,
  type LiveShared,
  layOut,
  type MachineSpec,
  type WatchMap,
  shared as word,
} from '@numalab/node-worker';
import { giveMembers } from '../../engine/cluster/members.ts';
import { unpackMemory } from '../../engine/cluster/packed-report.ts';
import { makeFolder } from '../../engine/cluster/run-cluster.ts';
import { spreadMachine } from '../../engine/deal.ts';
import type { ProtocolRef } from '../../engine/protocol-ref.ts';
import { Conductor } from '../conductor.ts';
import type { LiveOptions, LiveRun, LostProcess } from '../live-run.ts';
import { buildShared } from '../live-shared.ts';
import { type LiveHypervisorReport, NO_HYPERVISOR } from '../live-task.ts';
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
  /** Is told the processes, by their system’s numbers, whenever there are others. */
  readonly started?: (pids: readonly number[]) => void;
}

/** How often all processes are started before the run is given up. */
const MAX_BOOTS = 3;

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
    const spread: LiveSpread = { member, members, life: 1, memberOf, folder };
    const { scale, recordLimit } = options;
    // The processes share the cores.
    const own = Math.max(1, Math.floor(cores / members));
    return { spec, protocol, watch, spread, scale, recordLimit, cores: own, originNs, durable: [] };
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

/** Processes that are there, and wait for the first phase. */
interface Booted {
  readonly fleet: ClusterFleet;
  readonly conductor: Conductor;
  readonly isReady: boolean;
  /** Those that were lost before. */
  readonly lost: readonly LostProcess[];
}

/** Until all processes are there nothing has happened: if one is ended from outside, all begin anew. */
const boot = async (jobs: readonly LiveMemberJob[], options: LiveClusterOptions): Promise<Booted> => {
  const lost: LostProcess[] = [];
  for (;;) {
    const fleet = new ClusterFleet(jobs, options.started ?? (() => {}));
    const conductor = new Conductor(fleet, options);
    const isReady = await conductor.ready();
    const { lostInBoot } = fleet;
    if (lostInBoot === null || conductor.interrupted || lost.length === MAX_BOOTS - 1) {
      return { fleet, conductor, isReady, lost };
    }
    lost.push(lostInBoot);
    await fleet.kill();
  }
};

/** All that were lost, with moments since the measured phase began. */
const lostOf = ({ fleet, lost }: Booted): LostProcess[] => [
  ...lost.map((one) => ({ ...one, atMs: one.atMs - fleet.beganMs, backMs: 0 })),
  ...fleet.lost,
];

/**
 * Runs a machine on threads that race in several processes of the operating system. A process that is ended from outside takes
 * its nodes with it; they come back in another, or if that cannot be had the run goes on without them. Throws LostError if it
 * had what no run goes on without, InternalError if a thread fails, InputError if the protocol cannot be loaded; then no
 * process goes on.
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
  try {
    const jobs = jobsOf(spec, protocol, watch, options, folder);
    const booted = await boot(jobs, options);
    try {
      return await conduct(booted, jobs, performance.now() - called);
    } catch (error) {
      await booted.fleet.kill();
      throw error;
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
};

/** What the hypervisor left. Nodes without a report, whose process was lost in the end, say no more that their stores returned. */
const orderReport = (left: readonly Left[], nodes: readonly LiveNodeReport[]): LiveHypervisorReport => {
  const report = left.find(({ hypervisor }) => hypervisor !== null)?.hypervisor;
  if (report === undefined || report === null) return NO_HYPERVISOR;
  const silent = report.answers.filter((_, node) => nodes.every(({ id }) => id !== node));
  return { ...report, orphaned: silent.reduce((sum, answers) => sum + answers, report.orphaned) };
};

/** The run itself, and what it left. */
const conduct = async (booted: Booted, jobs: readonly LiveMemberJob[], bootMs: number): Promise<LiveRun> => {
  const { fleet, conductor, isReady } = booted;
  const { spec } = jobs[0]!;
  const measured = isReady
    ? await conductor.conduct(spec)
    : { warmUpMs: 0, wallMs: 0, retired: 0, alone: null, rested: false };
  if (!isReady) conductor.end();
  // A run that was interrupted before it began has left nothing.
  const kept = isReady || !conductor.interrupted ? fleet.outcomes : [];
  const outcomes = await Promise.all(kept.map((outcome) => conductor.inTime(outcome)));
  const left = outcomes.flatMap((outcome) => (outcome?.kind === 'done' ? [outcome] : []));
  if (fleet.isFree) giveMembers(fleet.members.filter(({ isAlive }) => isAlive));
  else await fleet.kill();
  const shared = sharedOf(jobs[0]!, left);
  // Without the order of an interrupted run, what nodes saw proves nothing.
  const hasOrder = spec.strategy === 'none' || left.some(({ hypervisor }) => hypervisor !== null);
  const nodes = hasOrder ? left.flatMap(({ nodes: own }) => own).sort((x, y) => x.id - y.id) : [];
  const served = left.flatMap((one) => one.served);
  const lost = lostOf(booted);
  return {
    shared,
    nodes,
    hypervisor:
      spec.strategy === 'none' ? memoryReport(shared, nodes, served, fleet.lost.length > 0) : orderReport(left, nodes),
    bootMs,
    ...measured,
    beganMs: fleet.beganMs,
    interrupted: conductor.interrupted,
    cellsRead: left.reduce((sum, { cellsRead }) => sum + cellsRead, 0),
    cellsTorn: left.reduce((sum, { cellsTorn }) => sum + cellsTorn, 0),
    cores: availableParallelism(),
    outages: left.flatMap(({ outages }) => outages).sort((x, y) => x.downMs - y.downMs),
    lostFindings: [...fleet.lostFindings, ...left.flatMap(({ findings }) => findings)],
    processes: fleet.members.length,
    lost,
    ticksAreNs: true,
  };
};
