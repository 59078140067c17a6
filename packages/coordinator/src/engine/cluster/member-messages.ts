import type { MachineSpec, WatchMap } from '@numalab/node-worker';
import { Packr } from 'msgpackr';
import type { LiveNews } from '../../live/live-task.ts';
import { shareArray } from '../../machine/shared-array.ts';
import type { ProtocolRef } from '../protocol-ref.ts';
import type { ClusterTask, ThreadFailure } from '../thread-task.ts';
import type { PackedReport } from './packed-report.ts';

/** A member's part of a run. */
export interface MemberJob {
  readonly spec: MachineSpec;
  readonly protocol: ProtocolRef;
  readonly watch: WatchMap;
  readonly threads: number;
  /** Thread of each process of the machine, ELSEWHERE for those of other members. */
  readonly owners: Int32Array;
  readonly cluster: Omit<ClusterTask, 'port'>;
  readonly windowDivisor: number;
  /** Folder for the trace of the run; null: none is wanted. */
  readonly trace: string | null;
  /** Whether every thread of every member has a core to itself. */
  readonly ownCore: boolean;
  /** Whether to tell how far the run is. */
  readonly tellsProgress: boolean;
}

/** What becomes of it. */
export type MemberOutcome =
  | { readonly kind: 'done'; readonly reports: readonly PackedReport[] }
  | { readonly kind: 'failed'; readonly thread: number; readonly failure: ThreadFailure }
  /** Another member failed. */
  | { readonly kind: 'stopped' };

/** From the primary. Frames are msgpackr's. */
export type ToMember =
  | { readonly kind: 'run'; readonly frame: Uint8Array }
  /** All members have their sockets. */
  | { readonly kind: 'connect' }
  /** Everybody ends the run after the same window, with what there is by then. */
  | { readonly kind: 'end' };

/** From the primary to a member that has a part in a live run. */
export type ToLiveMember =
  | { readonly kind: 'live'; readonly frame: Uint8Array }
  /** The next phase; when it is the first, and all agree when it begins. Milliseconds of the run's clock. */
  | { readonly kind: 'phase'; readonly phase: number; readonly beganMs: number | null }
  | { readonly kind: 'agents'; readonly count: number }
  /** How far are you? Answered by a status of that wave. */
  | { readonly kind: 'poll'; readonly wave: number }
  /** No fault begins any more. */
  | { readonly kind: 'end-faults' }
  /** Another member is gone. */
  | { readonly kind: 'lost'; readonly member: number };

/** What a member of a live run is doing. */
export interface LiveStatus {
  readonly wave: number;
  readonly ready: boolean;
  readonly failed: boolean;
  readonly idle: boolean;
  readonly finite: boolean;
  /** All its nodes are up, and none is about to go down. */
  readonly settled: boolean;
  readonly sent: number;
  readonly taken: number;
  /** Of the hypervisor's member. */
  readonly retired: number;
}

/** To the primary. */
export type FromMember =
  | ({ readonly kind: 'status' } & LiveStatus)
  | { readonly kind: 'news'; readonly news: LiveNews }
  /** Of a member that is gone nothing is left here: its nodes can come back. */
  | { readonly kind: 'buried'; readonly member: number }
  | { readonly kind: 'listening' }
  | { readonly kind: 'progress'; readonly virtualPs: number }
  | { readonly kind: 'outcome'; readonly frame: Uint8Array };

const packr = new Packr({ structuredClone: true, useBigIntExtension: true });

export const packFrame = (value: object): Uint8Array => packr.pack(value);
export const unpackFrame = (frame: Uint8Array): unknown => packr.unpack(frame);
export const unpackOutcome = (frame: Uint8Array): MemberOutcome => packr.unpack(frame) as MemberOutcome;

/** Arrays of at least so many bytes are shared between threads instead of copied. */
const SHARED_BYTES = 4096;

const shareLarge = (value: unknown): unknown => {
  if (ArrayBuffer.isView(value)) return value.byteLength < SHARED_BYTES ? value : shareArray(value as Uint8Array);
  if (Array.isArray(value)) return value.map(shareLarge);
  if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, shareLarge(inner)]));
};

/** The job in a frame, with what is large in memory that all threads of the member share. */
export const unpackJob = <Job = MemberJob>(frame: Uint8Array): Job => shareLarge(packr.unpack(frame)) as Job;
