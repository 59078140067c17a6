import type { FaultKind } from '@numalab/interconnect';
import type { GranuleName, Topology } from '@numalab/machine';

/** How often an endless writer writes: events per second of virtual time, or as fast as it can. */
export type Rate = number | 'max';

/** What all kernel writers have in common. */
interface WriterCommon {
  /** Events per second. */
  readonly rate: Rate;
  /** Start at this moment of virtual time, picoseconds; such a writer is finite. */
  readonly at: number | null;
  /** Ends after this many writes; null: endless, or one pass if `at` is given. */
  readonly writes: number | null;
  /** The vCPUs it runs on (numbered over all nodes); null: all, in turn. */
  readonly cpus: readonly number[] | null;
  /** Which of its actions it performs, counted from 0; null: all. Leaving one out changes nothing about the others. */
  readonly only: readonly number[] | null;
}

/** Static keys: their sites change between NOP and B, then all CPUs are kicked. */
export interface JumpLabelWriter extends WriterCommon {
  readonly kind: 'jump-label';
  /** How many keys are toggled; null: all. */
  readonly keys: number | null;
  /** Sites patched between two kicks at most. */
  readonly batch: number;
}

/** Function tracing switched on and off: NOP to BL and back. */
export interface FtraceWriter extends WriterCommon {
  readonly kind: 'ftrace';
  /** How many sites; null: all. */
  readonly sites: number | null;
  /** Sites patched between two kicks at most. */
  readonly batch: number;
  /** Back to NOP after all are on, and so on; false: once. */
  readonly toggle: boolean;
}

/** The 8-byte literals before functions (CALL_OPS). */
export interface FtraceLiteralWriter extends WriterCommon {
  readonly kind: 'ftrace-literal';
  readonly sites: number | null;
}

/** Breakpoints armed and disarmed under stop_machine. */
export interface KprobeWriter extends WriterCommon {
  readonly kind: 'kprobe';
  readonly sites: number | null;
}

/** Alternatives: sequences of words through the linear map under stop_machine. */
export interface AlternativesWriter extends WriterCommon {
  readonly kind: 'alternatives';
  /** How many entries; null: all. */
  readonly entries: number | null;
}

/** An ordered trace of real stores. */
export interface RecordedWriter extends WriterCommon {
  readonly kind: 'recorded';
  /** Absolute path of the trace, CSV, gzip or plain. */
  readonly file: string;
  /** Rows before this one are applied at boot. */
  readonly protectAt: number;
  /** Deal rows over all vCPUs, one in flight each. */
  readonly spread: boolean;
}

/** Distinguishable values of any width. */
export interface SyntheticWriter extends WriterCommon {
  readonly kind: 'synthetic';
  /** Bytes per store. */
  readonly width: 1 | 2 | 4 | 8 | 16 | 'mixed';
  /** Names in the machine's STORE_FORMS (`str w`, `stp x` …); empty: every form that has the width. */
  readonly forms: readonly string[];
  /** Number of places written to. */
  readonly sites: number;
  /** Writes under way at a time. */
  readonly inFlight: number;
  /** Every store begins before a boundary of this kind and ends behind it. */
  readonly straddle: 'nothing' | 'line' | 'page';
  readonly sync: 'none' | 'kick' | 'stop-machine';
}

/** What stores to kernel text at run time. */
export type Writer =
  | JumpLabelWriter
  | FtraceWriter
  | FtraceLiteralWriter
  | KprobeWriter
  | AlternativesWriter
  | RecordedWriter
  | SyntheticWriter;

/** A cache; lines are 64 bytes. */
export interface CacheSize {
  readonly bytes: number;
  readonly ways: number;
}

/** Caches and TLBs as they will be built: the profile's unless the scenario says otherwise. */
export interface Caches {
  readonly l1i: CacheSize;
  readonly l2: CacheSize;
  readonly llc: CacheSize & { readonly sharedBy: 'node' | 'socket' };
  readonly tlbEntries: number;
  readonly walkCacheEntries: number;
  /** The TLB holds the two stages apart instead of combined entries. */
  readonly nested: boolean;
  /** Words fetched ahead of execution. */
  readonly fetchAhead: number;
}

/** The machine. */
export interface MachineScenario {
  readonly nodes: number;
  readonly coresPerNode: number;
  /** Bytes. */
  readonly memoryPerNode: number;
  /** PA of node 0's memory. */
  readonly base: number;
  /** As written: a built-in machine, the absolute path of a file, or a matrix. */
  readonly distances: string | readonly (readonly number[])[];
  /** What `distances` came to, with exactly `nodes` nodes. */
  readonly topology: Topology;
  /** Id of the profile of core times and caches. */
  readonly profile: string;
  readonly stage2: {
    readonly granule: GranuleName;
    readonly ipaBits: number;
    readonly lpa2: boolean;
    readonly population: 'lazy' | 'eager';
  };
  readonly caches: Caches;
  readonly ctr: { readonly idc: boolean; readonly dic: boolean };
  readonly ecc: 'secded' | 'none';
}

export interface KernelScenario {
  /** `builtin` or the absolute path of an Image. */
  readonly image: string;
  /** Absolute path of a System.map. */
  readonly map: string | null;
  readonly writers: readonly Writer[];
  /** Bytes by which the kernel's virtual addresses are moved. */
  readonly kaslrOffset: number;
}

export interface ReplicationScenario {
  readonly strategy: 'none' | 'stage1' | 'stage2';
  /** Name of a built-in protocol or absolute path of a module. */
  readonly protocol: string;
  readonly protocolOptions: Readonly<Record<string, unknown>>;
  readonly range: 'text' | 'text+rodata';
}

export interface HypervisorScenario {
  /** Node on which the hypervisor worker runs, and its pools lie. */
  readonly node: number;
  readonly serialisation: 'central' | 'lock';
  readonly journal: boolean;
  /** Picoseconds until a record of the journal is safe. */
  readonly recordTime: number;
  /** Picoseconds in which every copy of the text is scrubbed once; null: never. */
  readonly scrub: number | null;
}

export interface InterconnectScenario {
  /** Id of the profile of link latencies. */
  readonly profile: string;
  /** Jitter in 1/1024 of the log-normal table (sigma 0.2); 0: none. */
  readonly jitter1024: number;
  /** `profile`: what the profile says; `none`: without bound; else bytes per nanosecond of every link between nodes. */
  readonly bandwidth: 'profile' | 'none' | number;
  /** Real time per virtual time of latencies, `live` only. */
  readonly latencyScale: number;
}

export interface WorkloadScenario {
  /** Picoseconds for which endless writers write and vCPUs execute. */
  readonly durationPs: number;
  /** Endless writers stop once so many writes were issued; null: no such bound. */
  readonly writes: number | null;
  /** Fraction of the time in which vCPUs execute, 0 to 1. */
  readonly duty: number;
  /** vCPUs of other nodes fetch words whose writes are in flight or just retired. */
  readonly probe: boolean;
  /** Exponent of the Zipf distribution that functions are picked by. */
  readonly zipf: number;
  /** Share of calls that go to functions which writers patch, 0 to 1. */
  readonly focus: number;
  /** Depth of the call stack of the random walk. */
  readonly callDepth: number;
  /** Share of literal loads and ADRPs that are followed by the load, 0 to 1. */
  readonly loads: number;
  /** Touches of other RAM (they populate stage 2) per fetched group of four words, 0 to 1. */
  readonly data: number;
  /** Touches of MMIO per fetched group of four words, 0 to 1. */
  readonly mmio: number;
  /** The vCPUs that walk (numbered over all nodes); null: all. */
  readonly cpus: readonly number[] | null;
}

/** A planned or drawn fault. Times in picoseconds; null: the scenario does not say. */
export interface Fault {
  readonly kind: FaultKind;
  /** A node, a link, a step of the hypervisor, a field of a descriptor: what it is depends on the kind. */
  readonly target: string | number | null;
  readonly at: number | null;
  readonly nth: number | null;
  readonly match: string | null;
  /** 0 to 1. */
  readonly probability: number | null;
  readonly during: readonly [from: number, to: number] | null;
  readonly for: number | null;
  readonly factor: number | null;
  readonly memory: 'kept' | 'lost';
}

/** One choice of a scheduler: somebody gets less time than it could. It only ever adds delay. */
export interface ScheduleChoice {
  /** `cpu N`, `el2 N`, `node N`, `hyp`, or a link such as `0>hyp`. */
  readonly target: string;
  readonly during: readonly [from: number, to: number];
  /** How many times slower; null: it gets nothing at all. */
  readonly slow: number | null;
}

export interface ChecksScenario {
  readonly minEvidence: number;
  /** Ids of rules whose violation is expected; the run passes only if each occurred. */
  readonly expect: readonly string[];
  /** Entries of the history that judges may look at; null: all. */
  readonly budget: number | null;
}

/**
 * A scenario with every default filled in and every reference resolved. Plain data: it can be sent to a worker or printed.
 * Sizes are bytes, times picoseconds, paths absolute. The seed is not part of it.
 */
export interface Scenario {
  /** Id of a built-in scenario, or the file name. */
  readonly name: string;
  /** Absolute path it was read from. */
  readonly file: string | null;
  /** What the command line put over it: a field's path, and the option to blame if the value cannot be used. */
  readonly options: readonly { readonly label: string; readonly field: string }[];
  readonly machine: MachineScenario;
  readonly kernel: KernelScenario;
  readonly replication: ReplicationScenario;
  readonly hypervisor: HypervisorScenario;
  readonly interconnect: InterconnectScenario;
  readonly workload: WorkloadScenario;
  readonly faults: readonly Fault[];
  readonly schedule: readonly ScheduleChoice[];
  readonly checks: ChecksScenario;
  /** Also run without replication, to compare. */
  /** Known bugs that are switched on: numbers of the catalogue. */
  readonly bugs: readonly string[];
  readonly comparison: boolean;
}
