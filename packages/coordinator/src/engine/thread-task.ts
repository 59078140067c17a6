import type { MessagePort } from 'node:worker_threads';
import type { HypervisorReport } from '@numalab/hypervisor';
import { ringWords } from '@numalab/interconnect';
import type { MachineSpec, NodeReport, WatchMap } from '@numalab/node-worker';
import type { ProtocolRef } from './protocol-ref.ts';

/** What a thread of a run is given. The same for all but for `thread`. */
export interface ThreadTask {
  readonly spec: MachineSpec;
  readonly protocol: ProtocolRef;
  readonly watch: WatchMap;
  readonly thread: number;
  readonly threads: number;
  /** Thread of each process: nodes, then the hypervisor; ELSEWHERE if it is none of these threads. */
  readonly owners: Int32Array;
  /** The other processes of the operating system that have a part in the run; null: there are none. */
  readonly cluster: ClusterTask | null;
  readonly windowDivisor: number;
  /** Folder for the trace of the run; null: none is wanted. */
  readonly trace: string | null;
  /** Whether every thread has a core to itself. */
  readonly ownCore: boolean;
  /** See `barrierMemory`. */
  readonly barrier: SharedArrayBuffer;
  /** A ring for every ordered pair of threads: see {@link ringOf}. */
  readonly rings: SharedArrayBuffer;
}

/** What a thread must know of a run that is spread over processes of the operating system. */
export interface ClusterTask {
  /** This one, of how many. */
  readonly member: number;
  readonly members: number;
  /** Member of each process of the machine: nodes, then the hypervisor. */
  readonly memberOf: Int32Array;
  /** Where the members' sockets are. */
  readonly folder: string;
  /** For thread 0, which speaks for its member: tells when its socket is there, and hears when all are. */
  readonly port: MessagePort | null;
}

/** An error that ended a thread, as it travels between threads. */
export interface ThreadFailure {
  readonly name: string;
  readonly message: string;
  readonly stack: string;
  /** File and field of an InputError. */
  readonly where: string;
}

/** What a thread leaves behind. Moments are milliseconds since the epoch of the clock of the process. */
export interface ThreadReport {
  readonly nodes: readonly NodeReport[];
  readonly hypervisor: HypervisorReport | null;
  readonly endPs: number;
  readonly windows: number;
  readonly startedMs: number;
  readonly endedMs: number;
  readonly interrupted: boolean;
}

export type ThreadOutcome =
  | { readonly kind: 'done'; readonly report: ThreadReport }
  | { readonly kind: 'failed'; readonly failure: ThreadFailure }
  /** Another thread, or another process, failed. */
  | { readonly kind: 'stopped' };

/** Rings of all pairs together take at most this many words, and each slot at least and at most so many. */
const ALL_WORDS = 2 ** 22;
const MIN_SLOT_WORDS = 128;
const MAX_SLOT_WORDS = 2 ** 14;

const slotWords = (threads: number): number => {
  const fair = Math.floor(ALL_WORDS / (2 * threads * threads));
  return Math.max(MIN_SLOT_WORDS, Math.min(MAX_SLOT_WORDS, fair)) - ringWords(0) / 2;
};

/** Memory for all rings of a run: address space that is committed as it is used. */
export const ringMemory = (threads: number): SharedArrayBuffer =>
  new SharedArrayBuffer(8 * threads * threads * ringWords(slotWords(threads)));

/** The words of the ring from one thread to another. */
export const ringOf = (memory: SharedArrayBuffer, threads: number, from: number, to: number): Float64Array => {
  const words = ringWords(slotWords(threads));
  return new Float64Array(memory, 8 * words * (from * threads + to), words);
};
