import type { LiveEntry } from '@numalab/hypervisor';
import { liveRingBytes } from '@numalab/interconnect';
import type { Finding, LiveNodeReport, LiveShared } from '@numalab/node-worker';
import type { ProtocolRef } from '../engine/protocol-ref.ts';

/** Words of a ring between a node and the hypervisor. */
export const RING_WORDS: number = 2 ** 15;

/** Where a ring of {@link LiveTask.rings} begins. */
export const ringOffset = (ring: number): number => ring * liveRingBytes(RING_WORDS);

/** Words of a ring from a node to the part of the order that is on another. */
export const PART_RING_WORDS: number = 2 ** 10;

/** Where the ring from node `from` to the part of the order on node `to` begins: behind those to nodes. */
export const partRingOffset = (nodes: number, from: number, to: number): number =>
  ringOffset(2 * nodes) + (from * nodes + to) * liveRingBytes(PART_RING_WORDS);

/** Bytes of {@link LiveTask.rings}. */
export const ringsBytes = (nodes: number, ordersOnNodes: boolean): number =>
  ordersOnNodes ? partRingOffset(nodes, nodes, 0) : ringOffset(2 * nodes);

/** What a thread of a live run is given. The same for all but for `thread`: a node, or the hypervisor, which comes last. */
export interface LiveTask {
  readonly thread: number;
  /** Counts the lives of a node, from 1. */
  readonly life: number;
  /** What the protocol's half on this node declared durable in earlier lives. */
  readonly durable: ReadonlyMap<string, unknown>;
  readonly shared: LiveShared;
  readonly protocol: ProtocolRef;
  /** A ring from each node to the hypervisor, then one to each node. */
  readonly rings: SharedArrayBuffer;
  readonly tearingTest: SharedArrayBuffer;
  /** Writes that are recorded. */
  readonly recordLimit: number;
  /** Milliseconds since the epoch at which the threads' common clock is 0. */
  readonly originMs: number;
  /** CLOCK_MONOTONIC, in nanoseconds, where the record's time, if it is the clock, is 0. */
  readonly originNs: number;
}

/** What the hypervisor leaves behind. */
export interface LiveHypervisorReport {
  readonly record: readonly LiveEntry[];
  readonly tickMs: Float64Array;
  readonly numbered: number;
  readonly retired: number;
  readonly withoutEffect: number;
  readonly turns: number;
  /** Retired writes whose stores can never return, because their nodes have gone down. */
  readonly orphaned: number;
  /** By node: stores that returned to its present life, where lives may end. */
  readonly answers: readonly number[];
}

/** Of a run whose hypervisor left nothing. */
export const NO_HYPERVISOR: LiveHypervisorReport = {
  record: [],
  tickMs: new Float64Array(0),
  numbered: 0,
  retired: 0,
  withoutEffect: 0,
  turns: 0,
  orphaned: 0,
  answers: [],
};

/**
 * What a node's thread tells at once, because it may end before its report: what it found, and what its protocol's half
 * declared durable (a deleted key comes without a value).
 */
export type LiveNews = { readonly node: number } & (
  | { readonly finding: Finding }
  | { readonly key: string; readonly kept?: { readonly value: unknown } }
);

/** What a thread leaves behind. */
export interface LiveOutcome {
  readonly node: LiveNodeReport | null;
  readonly hypervisor: LiveHypervisorReport | null;
  /** Of the test at the start: cells read while another thread wrote them, and how many were torn. */
  readonly cellsRead: number;
  readonly cellsTorn: number;
}
