import type {
  CacheSize,
  Caches,
  ChecksScenario,
  Fault,
  HypervisorScenario,
  KernelScenario,
  MachineScenario,
  Rate,
  ReplicationScenario,
  ScheduleChoice,
  WorkloadScenario,
  Writer,
} from './scenario.ts';

/**
 * A scenario as the schema hands it on: units are base units and defaults are filled in, but what depends on other keys or
 * on files is not worked out yet. Only the loader sees it.
 */
export interface ScenarioInput {
  readonly machine: MachineInput;
  readonly kernel: KernelInput;
  readonly replication: ReplicationScenario;
  readonly hypervisor: HypervisorScenario;
  readonly interconnect: InterconnectInput;
  readonly workload: WorkloadInput;
  readonly faults: readonly FaultInput[];
  readonly schedule: readonly ScheduleChoice[];
  readonly checks: ChecksScenario;
  readonly bugs: readonly string[];
  readonly comparison: boolean;
}

type OptionalSize = { readonly [Key in keyof CacheSize]?: CacheSize[Key] | undefined };

/** What a scenario says of caches; the rest comes from the profile. */
export interface CachesInput extends Pick<Caches, 'nested' | 'fetchAhead'> {
  readonly l1i: OptionalSize;
  readonly l2: OptionalSize;
  readonly llc: OptionalSize & { readonly sharedBy?: 'node' | 'socket' | undefined };
  readonly tlbEntries?: number | undefined;
  readonly walkCacheEntries?: number | undefined;
}

/** `machine` before references are resolved. */
export interface MachineInput
  extends Pick<MachineScenario, 'coresPerNode' | 'memoryPerNode' | 'base' | 'distances' | 'ctr' | 'ecc'> {
  readonly nodes?: number | undefined;
  readonly profile?: string | undefined;
  readonly stage2: Omit<MachineScenario['stage2'], 'ipaBits'> & { readonly ipaBits?: number | undefined };
  readonly caches: CachesInput;
}

type Unrated<W extends Writer> = W extends Writer ? Omit<W, 'rate'> & { readonly rate?: Rate | undefined } : never;

/** A writer whose rate may be left out. */
export type WriterInput = Unrated<Writer>;

/** `kernel` before paths are resolved. */
export interface KernelInput extends Omit<KernelScenario, 'writers'> {
  readonly writers: readonly WriterInput[];
}

/** `interconnect` before the profile is known. */
export interface InterconnectInput {
  readonly profile?: string | undefined;
  readonly jitter: number;
  readonly bandwidth: 'profile' | 'none' | number;
  readonly latencyScale: number;
}

/** `workload`, its duration under the name users know. */
export interface WorkloadInput extends Omit<WorkloadScenario, 'durationPs'> {
  readonly duration: number;
}

/** A fault as written, its target not looked at yet. */
export type FaultInput = Fault;
