import { fileURLToPath } from 'node:url';
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { liveRingBytes } from '@numalab/interconnect';
import {
  type LiveShared,
  layOut,
  type OrderedStore,
  remote,
  sentLinesBytes,
  TEARING_TEST_BYTES,
} from '@numalab/node-worker';
import { Piscina } from 'piscina';
import { type LiveOutcome, type LiveTask, RING_WORDS } from '../live-task.ts';
import type { LivesHost } from '../node-lives.ts';
import {
  type ClusterLiveTask,
  type FromService,
  type LiveMemberJob,
  outboxOffset,
  serviceThread,
  type ToService,
} from './cluster-task.ts';

/** What a host tells its process. */
export interface HostEvents {
  /** The service thread waits for the connections of others. */
  readonly listening: () => void;
  /** It has them, and serves: what threads ask of it before goes nowhere. */
  readonly connected: () => void;
  /** A thread has failed. */
  readonly failed: () => void;
}

/** The threads of one process of a live run, and the service thread by which they reach those of others. */
export class MemberHost implements LivesHost {
  readonly pool: Piscina;
  readonly threads: readonly number[];
  readonly toService: { postMessage(message: ToService, transfer?: readonly MessagePort[]): void };
  /** What all tasks have in common. */
  readonly base: Omit<ClusterLiveTask, 'thread' | 'life' | 'durable' | 'port' | 'bells'>;
  private readonly control = new MessageChannel();
  private readonly job: LiveMemberJob;
  private readonly events: HostEvents;
  /** Ends of threads' bells that the service thread has yet to get. */
  private bells: MessagePort[] = [];
  /** Who waits until a node's ways are as new, and until nobody here waits for a process. */
  private readonly cleared = new Map<number, () => void>();
  private readonly buried = new Map<number, () => void>();
  private service: Promise<readonly OrderedStore[]> | null = null;

  constructor(job: LiveMemberJob, shared: LiveShared, events: HostEvents) {
    const { spec, spread } = job;
    const { nodes } = spec;
    this.job = job;
    this.events = events;
    this.threads = [...spread.memberOf.keys()].filter((thread) => spread.memberOf[thread] === spread.member);
    const count = this.threads.length + 1;
    this.pool = new Piscina({
      filename: fileURLToPath(new URL('./thread.ts', import.meta.url)),
      minThreads: count,
      maxThreads: count,
      concurrentTasksPerWorker: 1,
    });
    this.toService = this.control.port1;
    this.control.port1.on('message', (message: FromService) => this.hear(message));
    this.base = {
      shared,
      protocol: job.protocol,
      rings: new SharedArrayBuffer(2 * nodes * liveRingBytes(RING_WORDS)),
      tearingTest: new SharedArrayBuffer(TEARING_TEST_BYTES),
      recordLimit: job.recordLimit,
      originMs: 0,
      spread,
      originNs: job.originNs,
      ports: new SharedArrayBuffer(remote.PORT_BYTES * (nodes + 1)),
      outboxes: new SharedArrayBuffer(outboxOffset(nodes + 1)),
      sentLines: new Uint8Array(new SharedArrayBuffer(sentLinesBytes(layOut(spec)))),
      asleep: new Int32Array(new SharedArrayBuffer(4)),
    };
  }

  private hear(message: FromService): void {
    if (message === 'listening') this.events.listening();
    else if (message === 'connected') this.events.connected();
    else if ('lost' in message) this.buried.get(message.lost)!();
    else this.cleared.get(message.clear)!();
  }

  run({ thread, life, durable }: LiveTask, signal: AbortSignal): Promise<LiveOutcome> {
    const { port1: port, port2: bell } = new MessageChannel();
    if (this.service === null) this.bells.push(bell);
    else this.toService.postMessage({ bell }, [bell]);
    const task: ClusterLiveTask = { ...this.base, thread, life, durable, port, bells: [] };
    const run = this.pool.run(task, { signal, transferList: [port] }) as Promise<LiveOutcome>;
    run.catch(() => {
      if (!signal.aborted) this.events.failed();
    });
    return run;
  }

  /** The service thread begins, when all others have. */
  serve(): void {
    const { bells, control } = this;
    const task: ClusterLiveTask = {
      ...this.base,
      thread: serviceThread(this.job.spec),
      life: 1,
      durable: new Map(),
      port: control.port2,
      bells,
    };
    this.service = this.pool.run(task, { transferList: [control.port2, ...bells] }) as Promise<readonly OrderedStore[]>;
    this.service.catch(this.events.failed);
    this.bells = [];
  }

  down(node: number): void {
    this.toService.postMessage({ down: node });
  }

  async clear(node: number): Promise<void> {
    await this.ask({ clear: node }, this.cleared, node);
  }

  /** A process is gone. Resolves when nobody here waits for it, and its nodes are down. */
  async lose(member: number): Promise<void> {
    await this.ask({ lost: member }, this.buried, member);
  }

  /** Asks the service thread for something, and waits among `waiting` until it is done. */
  private ask(message: ToService, waiting: Map<number, () => void>, subject: number): Promise<void> {
    return new Promise((resolve) => {
      waiting.set(subject, resolve);
      this.toService.postMessage(message);
    });
  }

  /** No thread is needed any more: what became of the service thread. */
  async end(): Promise<PromiseSettledResult<readonly OrderedStore[]>> {
    this.toService.postMessage('end');
    const [service] = await Promise.allSettled([this.service!]);
    this.control.port1.close();
    // What there is goes first: ending threads takes time.
    this.pool.destroy();
    return service;
  }
}
