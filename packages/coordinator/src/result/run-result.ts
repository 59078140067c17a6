import type { FaultResult, Refutation, RuleResult, Verdict } from '@numalab/checkers';
import type { Finding, ScrubCounts, Strategy } from '@numalab/node-worker';
import type { Guarantee } from '@numalab/protocols';
import type { RecordedSummary } from '../machine/recorded-trace.ts';

/** Nearest-rank percentiles of latencies, picoseconds; null where there was nothing to measure. */
export interface Percentiles {
  readonly p50: number | null;
  readonly p90: number | null;
  readonly p99: number | null;
  readonly max: number | null;
}

/** Stores to text. */
export interface WriteFigures {
  /** Stores that trapped to EL2, refused ones included. */
  readonly trapped: number;
  /** Numbered writes that are over: retired by the protocol, or, where nothing traps, stored. */
  readonly retired: number;
  /** Trapped stores that came back to EL1 as an abort. */
  readonly refused: number;
  /** Trapped stores that wrote nothing, such as a compare-and-swap that compared unequal. */
  readonly withoutEffect: number;
  /** From the trap to its ERET; where nothing traps from the store to the last DSB of its writer's maintenance. */
  readonly latencyPs: Percentiles;
  /** From the same moment until the writer's own maintenance is over too, which is what a kernel waits for either way. */
  readonly maintainedPs: Percentiles;
}

/** Fetched words of the kernel's text, by what served them. The parts add up to `total`. */
export interface FetchFigures {
  readonly total: number;
  readonly l1i: number;
  readonly l2: number;
  readonly llc: number;
  /** DRAM of the core's own node. */
  readonly local: number;
  /** DRAM of another node. */
  readonly remote: number;
  /** DRAM behind a granule that EL2's text shares, which is the primary on every node. */
  readonly shared: number;
  /** Mean time a fetched word took, stalls and translation included, picoseconds; null without fetches. */
  readonly meanPs: number | null;
}

/** Loads of text and constants. */
export interface LoadFigures {
  readonly total: number;
  /** Loads that needed another node's memory. */
  readonly remote: number;
}

/** Translation table walks, and the descriptors they read. */
export interface WalkFigures {
  readonly count: number;
  readonly reads: number;
  readonly localReads: number;
  readonly remoteReads: number;
  /** Remote reads of stage-1 tables: those on node 0, which only `stage1` replaces, and only for the image. */
  readonly stage1Remote: number;
}

/** Memory that replication takes. Bytes. */
export interface MemoryFigures {
  /** All replicas together; the primary is the kernel's own. */
  readonly replicaBytes: number;
  /** What one node's copy of text and constants maps. */
  readonly replicatedBytes: number;
  /** In granules that belong to EL2 alone, inside the span of a replica. */
  readonly holeBytes: number;
  /** In granules that EL2's text shares with the kernel's: the primary on every node. */
  readonly sharedBytes: number;
  /** Constant bytes of text and rodata that every node takes from node 0. */
  readonly notReplicatedConstantBytes: number;
  /** Stage-2 tables in use. */
  readonly stage2Bytes: number;
  /** Pools reserved for stage-2 tables. */
  readonly stage2ReservedBytes: number;
  /** The kernel's own tables on nodes other than 0. */
  readonly stage1Bytes: number;
  /** How the replicated range is mapped: size of a leaf to the bytes mapped so, over all nodes. */
  readonly leafBytes: Readonly<Record<string, number>>;
  /** What the host's nodes have touched otherwise: tables, data. */
  readonly committedBytes: number;
}

/** What one node, or all together, did and took. */
export interface Figures {
  readonly fetches: FetchFigures;
  readonly loads: LoadFigures;
  readonly walks: WalkFigures;
  readonly memory: MemoryFigures;
  /** TLB invalidations broadcast. */
  readonly tlbis: number;
  /** Faults that EL2 answered by mapping memory. */
  readonly lazyFaults: number;
  /** Aborts that EL2 passed on to EL1. */
  readonly injected: number;
  readonly events: number;
}

/** One node's share. */
export interface NodeResult extends Figures {
  readonly id: number;
  readonly writes: { readonly trapped: number; readonly refused: number; readonly applied: number };
}

/** One run of a machine, measured. */
export interface MeasuredRun extends Figures {
  readonly strategy: Strategy;
  readonly digest: string;
  readonly virtualTimePs: number;
  /** Real time of the measured phase, of boot, and of judging. */
  readonly wallMs: number;
  readonly bootMs: number;
  readonly judgeMs: number;
  readonly writes: WriteFigures;
}

/** The same scenario and seed without replication, and what the difference is. */
export interface Comparison extends MeasuredRun {
  readonly gains: readonly string[];
  readonly costs: readonly string[];
}

/** What `numalab run --json` prints. */
export interface RunResult extends MeasuredRun {
  /** Id of a built-in scenario, or file name. */
  readonly scenario: string;
  readonly seed: number;
  readonly mode: 'sim';
  readonly placement: 'inline' | 'threads' | 'cluster';
  /** Null where nothing is replicated. */
  readonly protocol: string | null;
  readonly verdict: Verdict;
  /** Why, in one line. */
  readonly reason: string;
  /** The run was cut off by a signal: everything here is what there was until then. */
  readonly interrupted: boolean;
  readonly guarantee: {
    readonly declared: Guarantee | null;
    readonly held: Guarantee | null;
    /** Fetches, or applications, that could have refuted each level. */
    readonly evidence: Readonly<Record<Guarantee, number>>;
    readonly refuted: readonly Refutation[];
  };
  /** The first of them. */
  readonly violations: readonly Finding[];
  readonly violationCount: number;
  readonly rules: readonly RuleResult[];
  readonly duty: number;
  /** What became of each planned fault. */
  readonly faults: readonly FaultResult[];
  /** What the scrubbers of all nodes did; null where copies are not scrubbed. */
  readonly scrub: ScrubCounts | null;
  readonly nodes: readonly NodeResult[];
  /** Null if not asked for, if nothing is replicated anyway, or if the run was cut off before. */
  readonly comparison: Comparison | null;
  readonly assumptions: readonly string[];
  readonly recorded: RecordedSummary | null;
  /** What a user should know before relying on the run. */
  readonly warnings: readonly string[];
}
