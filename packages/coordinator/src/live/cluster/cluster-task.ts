import type { MessagePort } from 'node:worker_threads';
import { liveRingBytes } from '@numalab/interconnect';
import type { MachineSpec, WatchMap } from '@numalab/node-worker';
import type { ProtocolRef } from '../../engine/protocol-ref.ts';
import type { LiveTask } from '../live-task.ts';

/** Who of a live run lives where. */
export interface LiveSpread {
  /** This process, of how many. */
  readonly member: number;
  readonly members: number;
  /** Counts the processes that have had this place, from 1: another comes when one is killed. */
  readonly life: number;
  /** Process of each node, then of the hypervisor. */
  readonly memberOf: Int32Array;
  /** Where the sockets are. */
  readonly folder: string;
}

/** A process's part in a live run. */
export interface LiveMemberJob {
  readonly spec: MachineSpec;
  readonly protocol: ProtocolRef;
  readonly watch: WatchMap;
  readonly spread: LiveSpread;
  readonly scale: number;
  readonly cores: number;
  readonly recordLimit: number;
  /** CLOCK_MONOTONIC, in nanoseconds, when the clock of the run is 0. */
  readonly originNs: number;
  /** By node, what its half of the protocol declared durable in processes that are gone. */
  readonly durable: readonly ReadonlyMap<string, unknown>[];
}

/** What a thread of it is given: `port` is its way to the service thread, and the service thread's to the process. */
export interface ClusterLiveTask extends LiveTask {
  readonly spread: LiveSpread;
  /** See RemotePort: by thread, what it shares with the service thread, and its outbox. */
  readonly ports: SharedArrayBuffer;
  readonly outboxes: SharedArrayBuffer;
  /** See LineHolders. */
  readonly sentLines: Uint8Array;
  /** 1 while the service thread sleeps. */
  readonly asleep: Int32Array;
  readonly port: MessagePort;
  /** Of the service thread: who rings. */
  readonly bells: MessagePort[];
}

/** Thread number of the service thread: after the hypervisor. */
export const serviceThread = ({ nodes }: MachineSpec): number => nodes + 1;

/** The thread in whose process every number is known: the hypervisor's, or where nothing traps that of the one copy. */
export const orderThread = ({ nodes, strategy }: MachineSpec): number => (strategy === 'none' ? 0 : nodes);

export const OUTBOX_WORDS: number = 2 ** 14;
export const outboxOffset = (thread: number): number => thread * liveRingBytes(OUTBOX_WORDS);

/**
 * To the service thread: it is to connect; the run is over; a process is gone (answered by the same); a node here has gone down;
 * one is to begin anew (answered by the same); its thread rings there.
 */
export type ToService =
  | 'connect'
  | 'end'
  | { readonly lost: number }
  | { readonly down: number }
  | { readonly clear: number }
  | { readonly bell: MessagePort };

/**
 * From the service thread: others can connect to it; it has its connections, knows what all know, and serves; nobody here waits
 * for a process that is gone; a node may begin anew.
 */
export type FromService = 'listening' | 'connected' | { readonly lost: number } | { readonly clear: number };
