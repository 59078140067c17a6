import type { Finding, LiveNodeReport, LiveShared } from '@numalab/node-worker';
import type { LiveHypervisorReport } from './live-task.ts';
import type { NodeOutage } from './node-lives.ts';

/** A process of the operating system that was ended from outside in the middle of a run, with its nodes. */
export interface LostProcess {
  readonly process: number;
  readonly pid: number;
  readonly nodes: readonly number[];
  /** What ended it. */
  readonly how: string;
  /**
   * When, in milliseconds since the measured phase began, and when its nodes were up again in another; null: never. Before it
   * began, all processes began anew.
   */
  readonly atMs: number;
  backMs: number | null;
}

/** How a live run is set up. */
export interface LiveOptions {
  /** Factor on latencies; 0: off. */
  readonly scale: number;
  /** Writes that are recorded. */
  readonly recordLimit: number;
  readonly signal?: AbortSignal;
  /** Told now and then how much real time has passed, in milliseconds. */
  readonly progress?: (ms: number) => void;
}

/** What a live run left behind. */
export interface LiveRun {
  readonly shared: LiveShared;
  readonly nodes: readonly LiveNodeReport[];
  readonly hypervisor: LiveHypervisorReport;
  readonly bootMs: number;
  /** How long threads ran, and were checked, before anything was measured. */
  readonly warmUpMs: number;
  /** The measured phase, and the writes retired in it. */
  readonly wallMs: number;
  readonly retired: number;
  /** The same with one write in flight; null if that was not measured. */
  readonly alone: { readonly wallMs: number; readonly retired: number } | null;
  /** When the measured phase began, on the threads' clock. */
  readonly beganMs: number;
  readonly interrupted: boolean;
  /** Whether everything came to rest at the end. */
  readonly rested: boolean;
  readonly cellsRead: number;
  readonly cellsTorn: number;
  readonly cores: number;
  /** Nodes that went down, and what they had found by then. */
  readonly outages: readonly NodeOutage[];
  readonly lostFindings: readonly Finding[];
  /** Processes over which the run was spread, and those of them that were lost; 1 and none for threads of one. */
  readonly processes: number;
  readonly lost: readonly LostProcess[];
  /** Ticks are nanoseconds of the clock that all processes have in common, not events of the order. */
  readonly ticksAreNs: boolean;
}
