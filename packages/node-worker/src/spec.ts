import type { FaultPlan, Stall } from '@numalab/interconnect';
import type { WriterSpec } from '@numalab/kernel';
import type { GranuleName, LatencyProfile, Topology } from '@numalab/machine';
import type { Guarantee } from '@numalab/protocols';

/** The kernel as the machine needs it: shared by all nodes and never changed. Offsets are in bytes from `_text`. */
export interface KernelText {
  /** The Image's words from `_text` on, as in the file. */
  readonly words: Uint32Array;
  /** Memory that the kernel takes, .bss included. */
  readonly imageBytes: number;
  /** The kernel's own page size: the granule of its stage-1 tables. */
  readonly pageBytes: number;
  /** VA of `_text`, bits 51:0. */
  readonly linkVa: number;
  /** [_stext, _etext). */
  readonly text: { readonly start: number; readonly end: number };
  /** What is replicated, what EL2 owns, and what both share, in order and without gaps between `start`s of one section. */
  readonly ranges: readonly ReplicatedRange[];
  /** Starts of functions that a walk may call, ascending. */
  readonly functions: Int32Array;
}

/** One stretch of the replicated range; see `replicatedRanges`. */
export interface ReplicatedRange {
  readonly start: number;
  readonly end: number;
  /** `replica`: a copy on every node; `hole`: EL2's own, mapped nowhere; `shared`: the primary on every node. */
  readonly kind: 'replica' | 'hole' | 'shared';
}

/** See {@link MachineSpec.strategy}. */
export type Strategy = 'none' | 'stage1' | 'stage2';

/** How much the cores do. Spans in picoseconds. */
export interface WorkloadSpec {
  /** Bounds walks and endless writers; finite writers run to their end. */
  readonly durationPs: number;
  /** Fraction of time in which cores execute: 0 to 1. */
  readonly duty: number;
  /** Cores of other nodes fetch words whose writes are in flight. */
  readonly probe: boolean;
  /** Zipf exponent of the choice of functions: 0 to 3. */
  readonly zipf: number;
  /** Share of calls that go to functions which writers patch, whatever their popularity. */
  readonly focus: number;
  /** Return addresses that a walk remembers. */
  readonly callDepth: number;
  /** Share of literal loads and ADRPs that are followed by the load. */
  readonly loads: number;
  /** Touches of other RAM, and of MMIO, per fetched group. */
  readonly data: number;
  readonly mmio: number;
  /** The cores that walk (numbered over all nodes); null: all. */
  readonly cpus: readonly number[] | null;
}

/** Everything that a run depends on, the seed included: plain data, so that it can be handed to another thread. */
export interface MachineSpec {
  readonly seed: number;
  readonly nodes: number;
  readonly coresPerNode: number;
  readonly memoryPerNode: number;
  /** First PA of node 0's DRAM. */
  readonly base: number;
  readonly topology: Topology;
  readonly profile: LatencyProfile;
  /** Factor on the profile's jitter. */
  readonly jitter: number;
  readonly granule: GranuleName;
  readonly ipaBits: number;
  readonly lpa2: boolean;
  readonly population: 'lazy' | 'eager';
  /** CTR_EL0.IDC and DIC. */
  readonly idc: boolean;
  readonly dic: boolean;
  /** The TLB keeps the two stages apart instead of combined entries. */
  readonly nestedTlb: boolean;
  /** Cores fetch a group ahead of execution. */
  readonly fetchAhead: boolean;
  readonly kernel: KernelText;
  /** Stores made to the image at boot, before replication: word offsets from `_text` and values. */
  readonly bootStores: { readonly words: Int32Array; readonly values: Uint32Array };
  /** Bound on what a node may commit outside copies of the text. */
  readonly arenaBytes: number;
  /** How text is replicated: not at all; by the kernel itself, with its own tables on every node; by stage 2. */
  readonly strategy: Strategy;
  readonly protocol: string;
  /** Options of the protocol, defaults filled in. */
  readonly protocolOptions: Readonly<Record<string, unknown>>;
  readonly guarantee: Guarantee | null;
  /** The protocol says that writes of several words are seen whole (R6). */
  readonly wholeWrites?: boolean;
  readonly hypervisorNode: number;
  readonly serialisation: 'central' | 'lock';
  /** The hypervisor keeps a journal, from which it recovers. */
  readonly journal: boolean;
  /** Until a record of it is safe, before any node hears of the write. */
  readonly recordPs: number;
  /** In this time every node's copy of the text is scrubbed once; 0: never. */
  readonly scrubPs: number;
  readonly workload: WorkloadSpec;
  readonly writers: readonly WriterSpec[];
  /** Known bugs that are switched on. The right code asks for its own; nothing else knows of them. */
  readonly bugs: readonly string[];
  /** What breaks; null: nothing. */
  readonly faults: FaultPlan | null;
  /** Who gets less time than it could; null: nobody. */
  readonly schedule: readonly Stall[] | null;
}

/** What a seed decides. */
const OF_SEED: ReadonlySet<string> = new Set([
  'seed',
  'writers',
  'workload',
  'faults',
  'schedule',
  'protocol',
  'guarantee',
]);

/** Whether two specs differ in nothing but what a seed decides: whether they are of one machine, which is used again. */
export const isSameMachine = (one: MachineSpec, other: MachineSpec): boolean => {
  for (const key in other) {
    // In this order, because most are the same, and this is asked for each of a million runs.
    if (one[key as keyof MachineSpec] !== other[key as keyof MachineSpec] && !OF_SEED.has(key)) return false;
  }
  return true;
};
