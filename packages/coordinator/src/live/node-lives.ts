import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { type FaultSpec, LiveTally } from '@numalab/interconnect';
import { type Finding, stoppingCpu, shared as word } from '@numalab/node-worker';
import type { Piscina } from 'piscina';
import { KeptNews } from './kept-news.ts';
import { faultThreads, isCoreOf } from './live-shared.ts';
import type { LiveNews, LiveOutcome, LiveTask } from './live-task.ts';

const PS_PER_MS = 1e9;
/** How often somebody's answer in shared memory is looked for. */
export const LOOK_MS = 2;

/** A node that went down, and when, in milliseconds since the measured phase began; `backMs` is null if it did not return. */
export interface NodeOutage {
  readonly node: number;
  readonly life: number;
  readonly downMs: number;
  backMs: number | null;
}

/** The process in which threads live. */
export interface LivesHost {
  readonly pool: Piscina;
  /** Those that live here: nodes, and the hypervisor's. */
  readonly threads: readonly number[];
  run(task: LiveTask, signal: AbortSignal): Promise<LiveOutcome>;
  /** A node's thread has ended, and here everybody knows. */
  down(node: number): void;
  /** A node begins anew: nothing of its last life is to reach it, or come from it. */
  clear(node: number): Promise<void>;
}

/**
 * The threads of a live run with their lives. A node crashes by the AbortSignal of its task, wherever its thread is at that moment;
 * what it held is given back, the hypervisor learns that it is gone, and a new task takes its place when the outage is over.
 */
export class NodeLives {
  readonly outages: NodeOutage[] = [];
  /** What lives that ended had found. */
  readonly findings: Finding[] = [];
  private readonly host: LivesHost;
  private readonly base: Omit<LiveTask, 'thread' | 'life' | 'durable'>;
  private readonly news: KeptNews;
  private readonly tasks: (Promise<LiveOutcome> | null)[];
  private readonly ends: AbortController[] = [];
  private readonly lives: number[];
  private readonly stop = new AbortController();
  private readonly timers: NodeJS.Timeout[] = [];
  private readonly tally: LiveTally | null;
  private beganMs = 0;
  private underWay = 0;
  private error: Error | null = null;

  /** `durable` is what halves of the protocol declared durable in processes that are gone, by node. */
  constructor(
    host: LivesHost,
    base: Omit<LiveTask, 'thread' | 'life' | 'durable'>,
    durable: readonly ReadonlyMap<string, unknown>[] = [],
  ) {
    const { spec, faults } = base.shared;
    this.host = host;
    this.base = base;
    // Those that were buried before this began were of a process that is gone.
    this.lives = Array.from({ length: spec.nodes + 1 }, (_, thread) =>
      Atomics.load(base.shared.words, word.threadWord(thread) + word.BURIED),
    );
    this.news = new KeptNews(this.lives.length, durable);
    this.tally = faults === null ? null : new LiveTally(spec.faults!, faults.tally, faultThreads(spec) - 1);
    host.pool.on('message', (news: LiveNews) => this.news.hear(news));
    this.tasks = this.lives.map((_, thread) => (host.threads.includes(thread) ? this.live(thread) : null));
  }

  private live(thread: number): Promise<LiveOutcome> {
    const end = new AbortController();
    this.ends[thread] = end;
    const life = ++this.lives[thread]!;
    const task: LiveTask = { ...this.base, thread, life, durable: this.news.durable[thread]! };
    return this.begun(this.host.run(task, end.signal));
  }

  private begun(task: Promise<LiveOutcome>): Promise<LiveOutcome> {
    // It is looked at only when the run is over.
    task.catch(() => {});
    return task;
  }

  /** What became of the threads in their last lives, the hypervisor last; a node that is down, or elsewhere, has left nothing. */
  get settled(): readonly Promise<PromiseSettledResult<LiveOutcome> | null>[] {
    if (this.error !== null) throw this.error;
    return this.tasks.map(async (task) => (task === null ? null : (await Promise.allSettled([task]))[0]));
  }

  /**
   * The measured phase has begun `sinceMs` ago, and faults count from there; `clockMs` is that moment on the clock of all threads.
   * What hit a node in an earlier life does not hit it again.
   */
  begin(clockMs: number, sinceMs: number): void {
    const { faults, spec } = this.base.shared;
    if (faults === null) return;
    this.beganMs = this.now() - sinceMs;
    faults.beganMs[0] = clockMs;
    for (const fault of spec.faults!.faults) {
      if (fault.kind !== 'crash' || !this.host.threads.includes(fault.node)) continue;
      if (fault.nth > 0 || fault.atPs >= spec.faults!.healPs) continue;
      const inMs = fault.atPs / PS_PER_MS - sinceMs;
      if (inMs < 0 && this.lives[fault.node]! > 1) continue;
      this.timers.push(setTimeout(() => this.crash(fault), inMs));
    }
  }

  private now(): number {
    return performance.now();
  }

  /** Looks for crashes that nodes themselves found due. */
  look(): void {
    const { words, spec, faults } = this.base.shared;
    if (faults === null) return;
    for (const node of this.host.threads) {
      if (node === spec.nodes) continue;
      const due = Atomics.exchange(words, word.threadWord(node) + word.CRASHES, 0);
      if (due > 0) this.crash({ ...spec.faults!.faults[due - 1]!, node });
    }
  }

  /** Whether every outage that began is over. */
  get isSettled(): boolean {
    return this.underWay === 0;
  }

  /** No node goes down any more, and none comes back. */
  end(): void {
    for (const timer of this.timers) clearTimeout(timer);
    this.stop.abort();
  }

  private crash(fault: FaultSpec): void {
    const { node } = fault;
    const isUp = Atomics.load(this.base.shared.words, word.threadWord(node) + word.OFFLINE) === word.OFFLINE_UP;
    if (!isUp || this.stop.signal.aborted || this.tasks[node] === null) return;
    this.underWay++;
    this.outage(fault).then(
      () => this.underWay--,
      (error: Error) => {
        if (this.stop.signal.aborted) return;
        this.error = error;
        Atomics.store(this.base.shared.words, word.FAILED, 1);
      },
    );
  }

  private async outage({ node, name, spanPs, losesMemory }: FaultSpec): Promise<void> {
    const { words } = this.base.shared;
    const outage: NodeOutage = { node, life: this.lives[node]!, downMs: this.now() - this.beganMs, backMs: null };
    this.outages.push(outage);
    this.tally?.fired(name, outage.downMs * PS_PER_MS);
    await this.kill(node);
    this.findings.push(...this.news.takeFindings(node));
    this.release(node);
    this.host.down(node);
    const began = this.now();
    if (losesMemory) this.base.shared.memories[node]!.text!.cells.fill(0);
    await this.until(() => Atomics.load(words, word.threadWord(node) + word.BURIED) === outage.life);
    await delay(Math.max(0, began + spanPs / PS_PER_MS - this.now()), undefined, { signal: this.stop.signal });
    await this.host.clear(node);
    this.tasks[node] = this.live(node);
    await this.until(() => Atomics.load(words, word.threadWord(node) + word.OFFLINE) === word.OFFLINE_UP);
    outage.backMs = this.now() - this.beganMs;
    this.tally?.repaired(name);
  }

  private async kill(node: number): Promise<void> {
    const { words } = this.base.shared;
    const id = Atomics.load(words, word.threadWord(node) + word.THREAD_ID);
    const thread = this.host.pool.threads.find(({ threadId }) => threadId === id);
    const gone = thread === undefined ? null : once(thread, 'exit');
    this.tasks[node] = null;
    this.ends[node]!.abort();
    await gone;
  }

  private release(node: number): void {
    const { words, spec, permits } = this.base.shared;
    word.releaseNode(words, { nodes: spec.nodes, node, permits }, isCoreOf(spec, node), stoppingCpu);
  }

  private async until(holds: () => boolean): Promise<void> {
    while (!holds()) await delay(LOOK_MS, undefined, { signal: this.stop.signal });
  }
}
