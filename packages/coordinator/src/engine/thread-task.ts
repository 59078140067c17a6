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
  /** Thread of each process: nodes, then the hypervisor. */
  readonly owners: Int32Array;
  readonly windowDivisor: number;
  /** Whether every thread has a core to itself. */
  readonly ownCore: boolean;
  /** See `barrierMemory`. */
  readonly barrier: SharedArrayBuffer;
  /** A ring for every ordered pair of threads: see {@link ringOf}. */
  readonly rings: SharedArrayBuffer;
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
  /** Another thread failed. */
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
