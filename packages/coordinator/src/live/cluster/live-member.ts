import { fileURLToPath } from 'node:url';
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { liveRingBytes } from '@numalab/interconnect';
import {
  imageWords,
  type LiveNodeReport,
  type LiveShared,
  layOut,
  numberOfCell,
  type OrderedStore,
  remote,
  sentLinesBytes,
  stoppingCpu,
  TEARING_TEST_BYTES,
  shared as word,
} from '@numalab/node-worker';
import { Piscina } from 'piscina';
import {
  type FromMember,
  packFrame,
  type ToLiveMember,
  type ToMember,
  unpackJob,
} from '../../engine/cluster/member-messages.ts';
import { type PackedMemory, packMemory } from '../../engine/cluster/packed-report.ts';
import { buildShared, doneWrites, threadsOf } from '../live-shared.ts';
import { type LiveHypervisorReport, type LiveOutcome, RING_WORDS } from '../live-task.ts';
import { type ClusterLiveTask, type LiveMemberJob, orderThread, outboxOffset, serviceThread } from './cluster-task.ts';

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
  private readonly toService: MessagePort;
  private readonly threads: readonly number[];
  private readonly pool: Piscina;
  private readonly tasks: readonly Promise<LiveOutcome>[];
  private readonly service: Promise<unknown>;

  constructor(job: LiveMemberJob, tell: (message: FromMember) => void) {
    const { spec, watch, spread } = job;
    this.job = job;
    this.tell = tell;
    const isHere = (thread: number): boolean => spread.memberOf[thread] === spread.member;
    this.shared = buildShared(spec, watch, { ...job, isHere });
    this.threads = [...spread.memberOf.keys()].filter(isHere);
    for (let node = 0; node < spec.nodes; node++) if (!isHere(node)) word.markElsewhere(this.shared.words, node);
    const count = this.threads.length + 1;
    this.pool = new Piscina({
      filename: fileURLToPath(new URL('./thread.ts', import.meta.url)),
      minThreads: count,
      maxThreads: count,
      concurrentTasksPerWorker: 1,
    });
    const control = new MessageChannel();
    this.toService = control.port1;
    this.toService.on('message', () => tell({ kind: 'listening' }));
    const { tasks, service } = this.start(control.port2);
    this.tasks = tasks;
    this.service = service;
  }

  private start(port: MessagePort): { tasks: Promise<LiveOutcome>[]; service: Promise<unknown> } {
    const { job, shared, threads, pool } = this;
    const { nodes } = job.spec;
    const base: Omit<ClusterLiveTask, 'thread' | 'port' | 'bells'> = {
      life: 1,
      durable: new Map(),
      shared,
      protocol: job.protocol,
      rings: new SharedArrayBuffer(2 * nodes * liveRingBytes(RING_WORDS)),
      tearingTest: new SharedArrayBuffer(TEARING_TEST_BYTES),
      recordLimit: job.recordLimit,
      originMs: 0,
      spread: job.spread,
      originNs: job.originNs,
      ports: new SharedArrayBuffer(remote.PORT_BYTES * (nodes + 1)),
      outboxes: new SharedArrayBuffer(outboxOffset(nodes + 1)),
      sentLines: new Uint8Array(new SharedArrayBuffer(sentLinesBytes(layOut(job.spec)))),
      asleep: new Int32Array(new SharedArrayBuffer(4)),
    };
    const bells = threads.map(() => new MessageChannel());
    const run = (task: ClusterLiveTask): Promise<unknown> =>
      pool.run(task, { transferList: [task.port, ...task.bells] });
    const tasks = threads.map((thread, i) => run({ ...base, thread, port: bells[i]!.port1, bells: [] }));
    const rung = bells.map(({ port2 }) => port2);
    const service = run({ ...base, thread: serviceThread(job.spec), port, bells: rung });
    service.catch(() => this.fail());
    for (const task of tasks) task.catch(() => this.fail());
    return { tasks: tasks as Promise<LiveOutcome>[], service };
  }

  private fail(): void {
    Atomics.store(this.shared.words, word.FAILED, 1);
    this.notify();
  }

  private notify(): void {
    const { words } = this.shared;
    Atomics.notify(words, word.PHASE);
    word.wakeAll(words, this.job.spec.nodes);
  }

  connect(): void {
    this.toService.postMessage('connect');
  }

  phase(phase: number, beganMs: number | null): void {
    const { words, faults } = this.shared;
    if (beganMs !== null) faults!.beganMs[0] = beganMs;
    Atomics.store(words, word.PHASE, phase);
    this.notify();
  }

  agents(count: number): void {
    Atomics.store(this.shared.words, word.AGENTS, count);
    this.notify();
  }

  /** Another process is gone, and its nodes with it. */
  lose(member: number): void {
    const { spec, spread } = this.job;
    const { words } = this.shared;
    this.toService.postMessage({ lost: member });
    const isGone = (node: number): boolean => spread.memberOf[node] === member;
    for (let node = 0; node < spec.nodes; node++) {
      if (isGone(node)) Atomics.store(words, word.threadWord(node) + word.OFFLINE, word.OFFLINE_DOWN);
    }
    word.releaseLocks(words, (cpu) => cpu >= 0 && isGone(Math.floor(cpu / spec.coresPerNode)), stoppingCpu);
    word.announceChange(words, spec.nodes);
  }

  status(wave: number): void {
    const { words } = this.shared;
    const { nodes } = this.job.spec;
    const { over, ...here } = threadsOf(words, nodes, (thread) => this.threads.includes(thread));
    this.tell({
      kind: 'status',
      wave,
      ready: Atomics.load(words, word.READY) === this.threads.length,
      failed: Atomics.load(words, word.FAILED) !== 0,
      ...here,
      retired: doneWrites(this.shared, { over, ...here }),
    });
  }

  /** Ends when all threads of this process have. */
  async outcome(): Promise<LiveMemberOutcome> {
    const outcomes = await Promise.allSettled(this.tasks);
    this.toService.postMessage('end');
    const service = (await Promise.allSettled([this.service]))[0];
    this.toService.close();
    // What there is goes first: ending threads takes time.
    this.pool.destroy();
    for (const outcome of [service, ...outcomes]) {
      if (outcome.status === 'fulfilled') continue;
      return failureOf(outcome.reason as Error);
    }
    const { value: served } = service as PromiseFulfilledResult<readonly OrderedStore[]>;
    return this.left(
      outcomes.map((outcome) => (outcome as PromiseFulfilledResult<LiveOutcome>).value),
      served,
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
      cellsRead: outcomes.reduce((sum, { cellsRead }) => sum + cellsRead, 0),
      cellsTorn: outcomes.reduce((sum, { cellsTorn }) => sum + cellsTorn, 0),
    };
  }
}

const failureOf = ({ name, message, where = '' }: Error & { readonly where?: string }): LiveMemberOutcome => ({
  kind: 'failed',
  name,
  message,
  where,
});

let current: LiveMember | null = null;

const runJob = async (job: LiveMemberJob, tell: (message: FromMember) => void): Promise<LiveMemberOutcome> => {
  try {
    current = new LiveMember(job, tell);
    return await current.outcome();
  } catch (error) {
    return failureOf(error as Error);
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
    case 'agents':
      current?.agents(message.count);
      break;
    case 'poll':
      current?.status(message.wave);
      break;
    case 'lost':
      current?.lose(message.member);
      break;
  }
};
