import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { assert, LostError } from '@numalab/base';
import type { MachineSpec, WatchMap } from '@numalab/node-worker';
import { ELSEWHERE, type Spread, spreadMachine } from '../deal.ts';
import type { RawRun } from '../inline.ts';
import type { ProtocolRef } from '../protocol-ref.ts';
import type { ThreadReport } from '../thread-task.ts';
import { errorOf, joinReports, type ThreadOptions } from '../threads.ts';
import { type MemberJob, type MemberOutcome, packFrame, unpackOutcome } from './member-messages.ts';
import { giveMembers, killMembers, type Member, takeMembers } from './members.ts';
import { unpackReport } from './packed-report.ts';

/** How a run is spread over processes of the operating system. None of it changes what happens. */
export interface ClusterOptions extends ThreadOptions {
  /** Processes of the operating system; null: as many as cores. Never more than nodes, and one more for the hypervisor. */
  readonly processes: number | null;
  /** The hypervisor has a process to itself instead of living with its node. */
  readonly ownHypervisor?: boolean;
}

/** Who is told to end before anything ran has this long to find that out: members that still boot have nothing to say. */
const BOOT_PATIENCE_MS = 1000;

/** A socket's path has room for 108 bytes. */
const MAX_FOLDER = 90;

/** A folder for the members' sockets that only this user can enter. */
export const makeFolder = (): string => {
  const folder = tmpdir();
  return mkdtempSync(join(folder.length > MAX_FOLDER ? '/tmp' : folder, 'numalab-'));
};

const interruptedEarly = (): LostError => new LostError('interrupted before any of it ran');

/** One run of a machine over members, from jobs to outcomes. */
class ClusterRun {
  private readonly members: readonly Member[];
  private readonly jobs: readonly MemberJob[];
  private readonly options: ClusterOptions;
  private listening = 0;
  /** Virtual time has passed: there is something to keep. */
  private begun = false;
  private giveUp = (): void => {};

  constructor(members: readonly Member[], jobs: readonly MemberJob[], options: ClusterOptions) {
    this.members = members;
    this.jobs = jobs;
    this.options = options;
  }

  /** The outcomes by member. Throws what ended a member; then all are gone. */
  async outcomes(): Promise<readonly MemberOutcome[]> {
    const { signal } = this.options;
    let timer: NodeJS.Timeout | undefined;
    const tooLate = new Promise<never>((_, reject) => {
      this.giveUp = () => {
        timer = setTimeout(() => {
          if (!this.begun) reject(interruptedEarly());
        }, BOOT_PATIENCE_MS);
      };
    });
    const end = (): void => {
      for (const member of this.members) member.send({ kind: 'end' });
      this.giveUp();
    };
    signal?.addEventListener('abort', end);
    try {
      const outcomes = this.members.map((_, index) => this.outcomeOf(index));
      if (signal?.aborted === true) end();
      return await Promise.race([this.settle(outcomes), tooLate]);
    } catch (error) {
      await killMembers(this.members);
      throw error;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', end);
    }
  }

  /** Who only stopped did so because of somebody who fails or is lost: that one is waited for. */
  private async settle(outcomes: readonly Promise<MemberOutcome>[]): Promise<readonly MemberOutcome[]> {
    const all = await Promise.all(outcomes);
    assert(
      all.every(({ kind }) => kind === 'done'),
      'members stopped, but none failed',
    );
    return all;
  }

  /** Gives a member its job. Rejects if it fails or is lost. */
  private outcomeOf(index: number): Promise<MemberOutcome> {
    const { members } = this;
    const member = members[index]!;
    return new Promise((resolve, reject) => {
      member.exited.then(({ code, signal }) => {
        const how = signal === null ? `ended with exit code ${code}` : `was killed by ${signal}`;
        reject(new LostError(`process ${index} of the run (pid ${member.pid}) ${how}`));
      });
      member.listen((message) => {
        if (message.kind === 'progress') this.hear(message.virtualPs);
        else if (message.kind === 'listening') this.connectAll();
        else if (message.kind === 'outcome') {
          const outcome = unpackOutcome(message.frame);
          if (outcome.kind === 'failed') {
            reject(errorOf(outcome.failure, `process ${index}, thread ${outcome.thread}`));
          } else {
            resolve(outcome);
          }
        }
      });
      member.send({ kind: 'run', frame: packFrame(this.jobs[index]!) });
    });
  }

  private hear(virtualPs: number): void {
    this.begun ||= virtualPs > 0;
    this.options.progress?.(virtualPs);
  }

  private connectAll(): void {
    const { members } = this;
    if (++this.listening === members.length) for (const member of members) member.send({ kind: 'connect' });
  }
}

const jobsOf = (
  spec: MachineSpec,
  protocol: ProtocolRef,
  watch: WatchMap,
  options: ClusterOptions,
  { memberOf, threadOf, threads }: Spread,
  folder: string,
): MemberJob[] => {
  const members = threads.length;
  const ownCore = threads.reduce((sum, count) => sum + count, 0) <= availableParallelism();
  const { windowDivisor = 1, trace = null } = options;
  return Array.from(threads, (count, member) => ({
    spec,
    protocol,
    watch,
    threads: count,
    owners: threadOf.map((thread, process) => (memberOf[process] === member ? thread : ELSEWHERE)),
    cluster: { member, members, memberOf, folder },
    windowDivisor,
    trace,
    ownCore,
    tellsProgress: member === 0,
  }));
};

/**
 * Runs a machine on processes of the operating system, each with worker threads, with the result that it has in one thread.
 * Throws InternalError if a thread fails, LostError if a process is ended from outside or the run is interrupted before
 * there is anything to keep, and InputError if the protocol cannot
 * be loaded; then no process goes on.
 */
export const runCluster = async (
  spec: MachineSpec,
  protocol: ProtocolRef,
  watch: WatchMap,
  options: ClusterOptions,
): Promise<RawRun> => {
  const calledMs = performance.timeOrigin + performance.now();
  const cores = availableParallelism();
  const { processes, threads, ownHypervisor = false } = options;
  if (options.signal?.aborted === true) throw interruptedEarly();
  const spread = spreadMachine(spec, processes ?? cores, threads ?? Math.min(spec.nodes, cores), ownHypervisor);
  const members = takeMembers(spread.threads.length);
  const folder = makeFolder();
  let outcomes: readonly MemberOutcome[];
  try {
    outcomes = await new ClusterRun(
      members,
      jobsOf(spec, protocol, watch, options, spread, folder),
      options,
    ).outcomes();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  giveMembers(members);
  const reports: ThreadReport[] = [];
  for (const outcome of outcomes) {
    if (outcome.kind === 'done') reports.push(...outcome.reports.map((report) => unpackReport(spec, report)));
  }
  return joinReports(reports, calledMs);
};
