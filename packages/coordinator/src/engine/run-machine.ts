import { Digest } from '@numalab/base';
import {
  bookFaults,
  type FaultResult,
  type Judgement,
  judge,
  judgeTables,
  type TableMemo,
  watchTables,
} from '@numalab/checkers';
import { imageWords, layOut, type MachineSpec, type TableWatcherFactory, type WatchMap } from '@numalab/node-worker';
import { MachineTrace } from '../trace/trace-machine.ts';
import { InlineMachine, type RawRun } from './inline.ts';
import { loadProtocol } from './protocol-ref.ts';

/** One thread; worker threads; or worker threads of several processes of the operating system. */
export type Placement = 'inline' | 'threads' | 'cluster';

/** Where the processes of a run live. It changes nothing that happens. */
export interface PlacementOptions {
  readonly placement: Placement;
  /** Worker threads, in all processes together; null: as many as nodes or cores, whichever is less. */
  readonly threads: number | null;
  /** For `cluster`: processes of the operating system; null: as many as cores. */
  readonly processes?: number | null;
  /** For `cluster`: the hypervisor has a process to itself instead of living with its node. */
  readonly ownHypervisor?: boolean;
  /** Windows are this many times shorter than they may be. */
  readonly windowDivisor?: number;
  readonly signal?: AbortSignal;
  /** Told now and then how far virtual time is, in picoseconds. */
  readonly progress?: (virtualPs: number) => void;
  /** Folder for the trace of the run, which exists; a file for each process. */
  readonly trace?: string | null;
  /** Watches each node's table edits instead of the judge of T4 alone; `inline` only. */
  readonly watcherOf?: TableWatcherFactory;
}

/** What judges need beside the run itself. */
export interface CheckOptions {
  readonly minEvidence: number;
  readonly expect: readonly string[];
  /** Entries of the history that judges may look at; null or left out: all. */
  readonly budget?: number | null;
}

/** One run, judged. */
export interface JudgedRun {
  readonly raw: RawRun;
  readonly judgement: Judgement;
  /** Hash of everything that happened, in hexadecimal: equal for equal scenario and seed, wherever it ran. */
  readonly digest: string;
  readonly judgeMs: number;
  /** What became of each planned fault. */
  readonly faults: readonly FaultResult[];
}

const digestOf = (raw: RawRun): string => {
  const digest = new Digest();
  for (const { digest: words } of [...raw.nodes, raw.hypervisor]) for (const word of words) digest.word(word);
  return digest.hex();
};

/** Runs a machine to its end, in the placement asked for, and judges what it left. */
export const runMachine = async (
  spec: MachineSpec,
  watch: WatchMap,
  checks: CheckOptions,
  options: PlacementOptions,
): Promise<JudgedRun> => {
  return judgeRaw(spec, await runRaw(spec, watch, options), checks);
};

/** Judges what a machine left, whatever made it run. `memo` saves judging tables that are those of the run before. */
export const judgeRaw = (
  spec: MachineSpec,
  raw: RawRun,
  checks: CheckOptions,
  memo: TableMemo | null = null,
): JudgedRun => {
  const started = performance.now();
  const layout = layOut(spec);
  const image = imageWords(spec, layout);
  const tables = raw.interrupted ? { findings: [], evidence: {} } : judgeTables(spec, raw.nodes, memo);
  const judged = judge({
    spec,
    nodes: raw.nodes,
    hypervisor: raw.hypervisor,
    valueAtBoot: (word) => image[word - (layout.spanStart >> 2)] ?? 0,
    tableFindings: tables.findings,
    tableEvidence: tables.evidence,
    minEvidence: checks.minEvidence,
    interrupted: raw.interrupted,
    expect: checks.expect,
    budget: checks.budget ?? Infinity,
  });
  const tallies = [...raw.nodes, raw.hypervisor].map(({ faults }) => faults);
  const { judgement, faults } = bookFaults(spec.faults, tallies, judged, checks.expect, spec.scrubPs > 0);
  return { raw, judgement, faults, digest: digestOf(raw), judgeMs: performance.now() - started };
};

const runRaw = async (spec: MachineSpec, watch: WatchMap, options: PlacementOptions): Promise<RawRun> => {
  if (options.placement === 'threads') {
    const { runThreads } = await import('./threads.ts');
    return await runThreads(spec, spec.protocol, watch, options);
  }
  if (options.placement === 'cluster') {
    const { runCluster } = await import('./cluster/run-cluster.ts');
    return await runCluster(spec, spec.protocol, watch, { ...options, processes: options.processes ?? null });
  }
  const { watcherOf = watchTables, windowDivisor = 1 } = options;
  const trace = typeof options.trace === 'string' ? new MachineTrace(options.trace, watcherOf) : null;
  const machine = new InlineMachine(
    spec,
    loadProtocol(spec.protocol),
    watch,
    trace?.watcherOf ?? watcherOf,
    windowDivisor,
  );
  trace?.attach(spec, machine.nodes, machine.hypervisor);
  try {
    return await machine.run(options.signal, options.progress);
  } finally {
    trace?.close();
  }
};
