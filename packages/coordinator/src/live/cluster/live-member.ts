import { setTimeout as delay } from 'node:timers/promises';
import {
  type Finding,
  imageWords,
  type LiveNodeReport,
  type LiveShared,
  layOut,
  numberOfCell,
  type OrderedStore,
  shared as word,
} from '@numalab/node-worker';
import {
  type FromMember,
  packFrame,
  type ToLiveMember,
  type ToMember,
  unpackJob,
} from '../../engine/cluster/member-messages.ts';
import { type PackedMemory, packMemory } from '../../engine/cluster/packed-report.ts';
import { loopsForEver } from '../../engine/protocol-ref.ts';
import { buildShared, doneWrites, threadsOf } from '../live-shared.ts';
import type { LiveHypervisorReport, LiveNews, LiveOutcome } from '../live-task.ts';
import { monotonicMsClock } from '../monotonic-clock.ts';
import { LOOK_MS, NodeLives, type NodeOutage } from '../node-lives.ts';
import { inPatience, StuckThreads } from '../stuck-threads.ts';
import { receivedError } from '../thread-errors.ts';
import { type LiveMemberJob, orderThread } from './cluster-task.ts';
import { MemberHost } from './member-host.ts';

/** What a process of a live run leaves behind. */
export type LiveMemberOutcome =
  | { readonly kind: 'failed'; readonly name: string; readonly message: string; readonly where: string }
  | {
      readonly kind: 'done';
      readonly nodes: readonly LiveNodeReport[];
      readonly memories: readonly PackedMemory[];
      readonly hypervisor: LiveHypervisorReport | null;
      /** Of the process with the order: cells of the reference that a write has, by place, and the number given out last. */
      readonly reference: { readonly at: Int32Array; readonly cells: Float64Array } | null;
      readonly numbered: number;
      /** Where nothing traps: what it stored for threads of other processes. */
      readonly served: readonly OrderedStore[];
      readonly tally: Uint8Array;
      /** Times for which nodes of it were down, and what they had found by then. */
      readonly outages: readonly NodeOutage[];
      readonly findings: readonly Finding[];
      readonly cellsRead: number;
      readonly cellsTorn: number;
    };

const writtenCells = (reference: Float64Array): { at: Int32Array; cells: Float64Array } => {
  const at: number[] = [];
  for (let i = 0; i < reference.length; i++) if (numberOfCell(reference[i]!) > 0) at.push(i);
  return { at: Int32Array.from(at), cells: Float64Array.from(at, (i) => reference[i]!) };
};

/** This process's part in a live run. */
class LiveMember {
  private readonly job: LiveMemberJob;
  private readonly shared: LiveShared;
  private readonly tell: (message: FromMember) => void;
  private readonly host: MemberHost;
  private lives: NodeLives | null = null;
  private readonly stuck: StuckThreads;
  /** Rejects when a protocol loops for ever. */
  private giveUp!: (error: Error) => void;
  private readonly patience = new Promise<never>((_, reject) => {
    this.giveUp = reject;
  });
  private isConnected = false;
  private isOver = false;
  /** When the measured phase began, in milliseconds of the run's clock. */
  private beganMs: number | null = null;
  private end!: () => void;
  /** The run is over, or a thread here has failed: no thread begins any more. */
  private readonly ended = new Promise<void>((resolve) => {
    this.end = () => {
      this.isOver = true;
      resolve();
    };
  });

  constructor(job: LiveMemberJob, tell: (message: FromMember) => void) {
    const { spec, watch, spread } = job;
    this.job = job;
    this.tell = tell;
    const isHere = (thread: number): boolean => spread.memberOf[thread] === spread.member;
    this.shared = buildShared(spec, watch, { ...job, isHere });
    for (let node = 0; node < spec.nodes; node++) if (!isHere(node)) word.markElsewhere(this.shared.words, node);
    this.host = new MemberHost(job, this.shared, {
      listening: () => tell({ kind: 'listening' }),
      connected: () => {
        this.isConnected = true;
        if (spread.life > 1) this.live();
      },
      failed: () => this.fail(),
    });
    this.patience.catch(() => {});
    this.stuck = new StuckThreads(this.shared, this.host.threads, job.protocol);
    // Somebody has to know it, should this process be killed.
    this.host.pool.on('message', (news: LiveNews) => tell({ kind: 'news', news }));
    // Nodes that come back need what the others know before they begin.
    if (spread.life === 1) this.live();
    this.host.serve();
  }

  /** Its threads begin. */
  private live(): void {
    const { beganMs, job, host } = this;
    if (this.isOver) return;
    this.lives = new NodeLives(host, host.base, job.durable);
    if (beganMs !== null) this.lives.begin(beganMs, monotonicMsClock(job.originNs)() - beganMs);
  }

  private fail(): void {
    Atomics.store(this.shared.words, word.FAILED, 1);
    this.notify();
    this.end();
  }

  private notify(): void {
    const { words } = this.shared;
    Atomics.notify(words, word.PHASE);
    word.wakeAll(words, this.job.spec.nodes);
  }

  connect(): void {
    this.host.toService.postMessage('connect');
  }

  phase(phase: number, beganMs: number | null): void {
    if (beganMs !== null) {
      this.beganMs = beganMs;
      this.lives?.begin(beganMs, 0);
    }
    Atomics.store(this.shared.words, word.PHASE, phase);
    this.notify();
    if (phase === word.PHASE_END) this.end();
  }

  agents(count: number): void {
    Atomics.store(this.shared.words, word.AGENTS, count);
    this.notify();
  }

  endFaults(): void {
    this.lives?.end();
  }

  /** Another process is gone, and its nodes with it. Tells when nothing here is left of it, so that they can come back. */
  async lose(member: number): Promise<void> {
    const { memberOf } = this.job.spread;
    const { words, spec } = this.shared;
    await this.host.lose(member);
    if (this.host.threads.includes(spec.nodes) && spec.strategy !== 'none') {
      const changes = Atomics.load(words, word.CHANGES);
      while (Atomics.load(words, word.CHANGES_SEEN) - changes < 0) {
        if (this.isOver) return;
        await delay(LOOK_MS);
      }
      // The hypervisor writes to them no more, and what it wrote is of no use.
      for (let node = 0; node < spec.nodes; node++) if (memberOf[node] === member) await this.host.clear(node);
    }
    this.tell({ kind: 'buried', member });
  }

  private get areNodesUp(): boolean {
    const { words, spec } = this.shared;
    return this.host.threads.every(
      (thread) =>
        thread === spec.nodes || Atomics.load(words, word.threadWord(thread) + word.OFFLINE) === word.OFFLINE_UP,
    );
  }

  status(wave: number): void {
    const { words } = this.shared;
    const { threads } = this.host;
    this.lives?.look();
    if (!this.isOver && this.stuck.find(performance.now())) {
      this.giveUp(loopsForEver(this.job.protocol));
      this.fail();
    }
    const { over, ...here } = threadsOf(words, this.job.spec.nodes, (thread) => threads.includes(thread));
    this.tell({
      kind: 'status',
      wave,
      // Threads that begin anew are counted once more.
      ready: this.isConnected && Atomics.load(words, word.READY) >= threads.length,
      failed: Atomics.load(words, word.FAILED) !== 0,
      settled: this.lives?.isSettled === true && this.areNodesUp,
      ...here,
      retired: doneWrites(this.shared, { over, ...here }),
    });
  }

  /** Ends when all threads of this process have. */
  async outcome(): Promise<LiveMemberOutcome> {
    await this.ended;
    this.lives?.end();
    const left = Promise.race([Promise.all(this.lives?.settled ?? []), this.patience]);
    const settled = await inPatience(left, this.job.protocol);
    const outcomes = settled.filter((outcome) => outcome !== null);
    const service = await this.host.end();
    for (const outcome of [service, ...outcomes]) {
      if (outcome.status === 'fulfilled') continue;
      return failureOf(outcome.reason);
    }
    return this.left(
      outcomes.map((outcome) => (outcome as PromiseFulfilledResult<LiveOutcome>).value),
      (service as PromiseFulfilledResult<readonly OrderedStore[]>).value,
    );
  }

  private left(outcomes: readonly LiveOutcome[], served: readonly OrderedStore[]): LiveMemberOutcome {
    const { spec, spread } = this.job;
    const image = imageWords(spec, layOut(spec));
    const nodes = outcomes.flatMap(({ node }) => (node === null ? [] : [node]));
    const hypervisor = outcomes.find((outcome) => outcome.hypervisor !== null)?.hypervisor ?? null;
    return {
      kind: 'done',
      nodes,
      memories: nodes.map(({ id }) => packMemory(this.shared.memories[id]!, image)),
      hypervisor,
      reference: spread.memberOf[orderThread(spec)] === spread.member ? writtenCells(this.shared.reference) : null,
      numbered: Atomics.load(this.shared.words, word.NUMBERED),
      served,
      tally: Uint8Array.from(new Uint8Array(this.shared.faults!.tally)),
      outages: this.lives?.outages ?? [],
      findings: this.lives?.findings ?? [],
      cellsRead: outcomes.reduce((sum, { cellsRead }) => sum + cellsRead, 0),
      cellsTorn: outcomes.reduce((sum, { cellsTorn }) => sum + cellsTorn, 0),
    };
  }
}

const failureOf = (error: unknown): LiveMemberOutcome => {
  const { name, message, where = '' } = receivedError(error) as Error & { readonly where?: string };
  return { kind: 'failed', name, message, where };
};

let current: LiveMember | null = null;

const runJob = async (job: LiveMemberJob, tell: (message: FromMember) => void): Promise<LiveMemberOutcome> => {
  try {
    current = new LiveMember(job, tell);
    return await current.outcome();
  } catch (error) {
    return failureOf(error);
  } finally {
    current = null;
  }
};

/** Does what the primary says about a live run. */
export const takeLive = async (
  message: ToLiveMember | Extract<ToMember, { kind: 'connect' }>,
  tell: (message: FromMember) => void,
): Promise<void> => {
  switch (message.kind) {
    case 'live': {
      tell({ kind: 'outcome', frame: packFrame(await runJob(unpackJob<LiveMemberJob>(message.frame), tell)) });
      break;
    }
    case 'connect':
      current?.connect();
      break;
    case 'phase':
      current?.phase(message.phase, message.beganMs);
      break;
    case 'end-faults':
      current?.endFaults();
      break;
    case 'agents':
      current?.agents(message.count);
      break;
    case 'poll':
      current?.status(message.wave);
      break;
    case 'lost':
      await current?.lose(message.member);
      break;
  }
};
