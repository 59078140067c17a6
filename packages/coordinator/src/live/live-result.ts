import { InputError } from '@numalab/base';
import { bookFaults, type FaultResult, type Judgement } from '@numalab/checkers';
import { type FaultTally, readLiveTallies } from '@numalab/interconnect';
import {
  type LiveCount,
  type LiveNodeReport,
  type MachineSpec,
  type NodeReport,
  percentileOf,
} from '@numalab/node-worker';
import { buildSpec, type PreparedMachine } from '../machine/build-spec.ts';
import { fieldOf } from '../machine/place.ts';
import { nodeMemoryFigures, totalMemory } from '../result/memory-figures.ts';
import type { FetchFigures, MemoryFigures, Percentiles, RunResult, WalkFigures } from '../result/run-result.ts';
import type { Scenario } from '../scenario/scenario.ts';
import { type LiveClusterOptions, runLiveCluster } from './cluster/run-live-cluster.ts';
import { judgeLiveRun } from './judge-run.ts';
import { checkLiveFaults } from './live-faults.ts';
import type { LiveOptions, LiveRun, LostProcess } from './live-run.ts';
import { faultThreads } from './live-shared.ts';
import { NO_HYPERVISOR } from './live-task.ts';
import type { NodeOutage } from './node-lives.ts';
import { runLiveThreads } from './run-threads.ts';

const VIOLATIONS_KEPT = 100;
/** Writes on record: what memory the history may take. */
const RECORDED_WRITES = 65_536;

/** A rate of writes, with so many in flight. */
export interface LiveRate {
  readonly inFlight: number;
  readonly writesPerSecond: number;
  readonly latencyPs: Percentiles;
}

/** What `numalab run --mode live --json` prints. */
export interface LiveResult
  extends Pick<
    RunResult,
    | 'scenario'
    | 'seed'
    | 'protocol'
    | 'verdict'
    | 'reason'
    | 'interrupted'
    | 'guarantee'
    | 'violations'
    | 'violationCount'
    | 'rules'
    | 'wallMs'
    | 'bootMs'
    | 'writes'
    | 'fetches'
    | 'loads'
    | 'walks'
    | 'memory'
    | 'tlbis'
    | 'lazyFaults'
    | 'injected'
    | 'events'
    | 'duty'
    | 'assumptions'
    | 'warnings'
  > {
  readonly mode: 'live';
  readonly placement: 'threads' | 'cluster';
  /** How threads reach what is of others: memory that they share, or also frames between processes, by their service threads. */
  readonly transport: 'memory' | 'process';
  readonly processes: number;
  /** Processes that were ended from outside while the run went on; their nodes went down, and came back if `backMs` is not null. */
  readonly lostProcesses: readonly LostProcess[];
  readonly digest: null;
  readonly virtualTimePs: null;
  readonly strategy: MachineSpec['strategy'];
  /**
   * Where writes are ordered: on the hypervisor's thread; under a lock on those of the nodes on which they trap; or, where nothing
   * traps, in memory.
   */
  readonly order: 'hypervisor' | 'nodes' | 'memory';
  /** Threads that raced, and the cores they had. */
  readonly threads: number;
  readonly cores: number;
  /** Factor on latencies, which are kept in real time; 0: off. */
  readonly latencyScale: number;
  /** Fetches and loads of words that writers write: on record for the judge of the simulator, and only checked as they happened. */
  readonly history: { readonly recorded: number; readonly dropped: number };
  /** How long threads ran, and were checked, before anything was measured: not in `wallMs`, nor its writes in `writes.retired`. */
  readonly warmUpMs: number;
  /** The measured phase, and one write in flight after it; null if that was not measured. */
  readonly rate: LiveRate;
  readonly rateAlone: LiveRate | null;
  /** The test at the start: cells read while another thread wrote them, and torn ones. */
  readonly cells: { readonly read: number; readonly torn: number };
  /** The share of real time in which a node's vCPUs executed, all together: `duty` of what its thread can have of a processor. */
  readonly dutyOfRealTime: number;
  readonly faults: readonly FaultResult[];
  /** Times for which nodes were down, in milliseconds since the measured phase began; null: not back at the end. */
  readonly outages: readonly NodeOutage[];
  readonly nodes: readonly {
    readonly id: number;
    readonly fetches: FetchFigures;
    readonly walks: WalkFigures;
    readonly memory: MemoryFigures;
    readonly writes: { readonly trapped: number; readonly refused: number; readonly applied: number };
  }[];
  readonly comparison: null;
}

/** A live run, judged, and what is left of the machine. */
export interface LiveScenarioRun {
  readonly result: LiveResult;
  readonly prepared: PreparedMachine;
  readonly run: LiveRun;
  readonly judgement: Judgement;
  readonly faults: readonly FaultResult[];
}

const talliesOf = (spec: MachineSpec, { shared }: LiveRun): readonly FaultTally[] =>
  spec.faults === null ? [] : readLiveTallies(spec.faults, shared.faults!.tally, faultThreads(spec));

const fetchesOf = ({ counts }: LiveNodeReport): FetchFigures => ({
  total: counts.fetches,
  l1i: counts.hits,
  l2: 0,
  llc: 0,
  local: counts.local,
  remote: counts.remote,
  shared: counts.shared,
  meanPs: null,
});

const walksOf = ({ counts }: LiveNodeReport): WalkFigures => ({
  count: counts.walks,
  reads: counts.walkReads,
  localReads: counts.walkReadsLocal,
  remoteReads: counts.walkReadsRemote,
  stage1Remote: counts.walkReadsRemote,
});

const NO_FETCHES: FetchFigures = { total: 0, l1i: 0, l2: 0, llc: 0, local: 0, remote: 0, shared: 0, meanPs: null };
const NO_WALKS: WalkFigures = { count: 0, reads: 0, localReads: 0, remoteReads: 0, stage1Remote: 0 };

const addUp = <Figures extends object>(none: Figures, all: readonly Figures[]): Figures => {
  const sums = { ...none } as Record<string, number | null>;
  for (const one of all) {
    for (const [key, value] of Object.entries(one) as [string, number | null][]) {
      sums[key] = value === null ? null : (sums[key] ?? 0) + value;
    }
  }
  return sums as Figures;
};

/** Percentiles in picoseconds of all nodes' histograms together. */
const percentilesOf = (histograms: readonly Float64Array[], maxima: readonly number[]): Percentiles => {
  const all = new Float64Array(histograms[0]?.length ?? 0);
  for (const counts of histograms) for (let i = 0; i < counts.length; i++) all[i]! += counts[i]!;
  const at = (fraction: number): number | null => {
    const ns = percentileOf(all, fraction);
    return ns === null ? null : Math.min(ns, Math.max(...maxima)) * 1000;
  };
  const max = Math.max(0, ...maxima);
  return { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: max === 0 ? null : Math.round(max * 1000) };
};

const inFlightOf = ({ spec }: PreparedMachine): number =>
  spec.writers.reduce((sum, writer) => sum + (writer.kind === 'synthetic' ? writer.agents.length : spec.nodes), 0);

const perSecond = (count: number, ms: number): number => (ms === 0 ? 0 : Math.round((count / ms) * 1000));

/** Refuses what live cannot do. Throws InputError. */
const checkLive = (scenario: Scenario): void => {
  const fail = (field: string, what: string): never => {
    throw new InputError(fieldOf(scenario, field), `${what} in live`);
  };
  if (scenario.replication.strategy === 'stage1') fail('replication.strategy', 'must be stage2 or none');
  checkLiveFaults(scenario, fail);
  if (scenario.machine.caches.nested) fail('machine.caches.nested', 'must be false');
  if (scenario.checks.budget !== null) fail('checks.budget', 'must be null');
  if (scenario.replication.protocolOptions.multicast === true)
    fail('replication.protocolOptions.multicast', 'must be false');
};

/** How a live run is spread over processes; see runLiveCluster. */
export type LiveCluster = Pick<LiveClusterOptions, 'processes' | 'ownHypervisor' | 'started'>;

const ASSUMPTIONS: readonly string[] = [
  'threads are scheduled by the system: which races happen differs from run to run',
  'stores reach instruction fetches without DC CVAU, as after an eviction, and nothing is fetched ahead: a missing clean or ISB cannot show',
  'a node’s vCPUs execute for `duty` of the time in which its thread can have a processor: threads that are more than processors share them',
  'a node’s cores take turns on one thread; what races is other threads’ stores, IC IVAU and TLBI',
  'a TLBI or IC IVAU makes what is older unusable at once, so a DSB has nothing to wait for',
];

const LOCK_ASSUMPTION =
  'the hypervisor’s thread does what the core with the lock would do itself: one write at a time, messages starting from that core’s node';

const lostText = ({ process, pid, nodes, how, atMs, backMs }: LostProcess): string => {
  const what = `process ${process} (pid ${pid}) ${how}`;
  if (atMs < 0) return `${what} before all processes were there, and all began anew`;
  const [node, they] = nodes.length > 1 ? ['nodes', 'they'] : ['node', 'it'];
  const back =
    backMs === null
      ? `the run went on without`
      : `another process took its place, and ${they} ${nodes.length > 1 ? 'were' : 'was'} back after ${Math.round(backMs - atMs)} ms`;
  return `${what} at ${Math.round(atMs)} ms: ${node} ${nodes.join(', ')} went down with what ${they} had counted and recorded; ${back}`;
};

const warningsOf = (run: LiveRun, judgement: Judgement): string[] => {
  const warnings: string[] = [];
  const gone = new Set(run.lost.flatMap(({ nodes, backMs }) => (backMs === null ? nodes : [])));
  const silent = run.shared.spec.nodes - new Set([...gone, ...run.nodes.map(({ id }) => id)]).size;
  if (run.interrupted && run.wallMs === 0) warnings.push('interrupted before the measured phase began');
  else if (run.interrupted && run.hypervisor === NO_HYPERVISOR) {
    warnings.push(
      'the hypervisor had not told the order when the time after the interruption was over, so that nothing that nodes saw can be judged',
    );
  } else if (run.interrupted && silent > 0) {
    warnings.push(
      `${silent} nodes had not told what they counted and found when the time after the interruption was over`,
    );
  }
  if (run.hypervisor.numbered > RECORDED_WRITES) {
    warnings.push(
      `the first ${RECORDED_WRITES} of ${run.hypervisor.numbered} writes are on record; fetches after them were only checked as they happened`,
    );
  }
  for (const lost of run.lost) warnings.push(lostText(lost));
  for (const { node, downMs, backMs } of run.outages) {
    const back = backMs === null ? 'and did not come back' : `and was back at ${Math.round(backMs)} ms`;
    warnings.push(
      `node ${node} went down at ${Math.round(downMs)} ms ${back}; what it had counted and recorded until then is lost, broken rules are not`,
    );
  }
  if (judgement.declared === 'ordered' || judgement.declared === 'eventual') {
    warnings.push(`the protocol declares ${judgement.declared}, which is too weak for Linux: it relies on completed`);
  }
  return warnings;
};

const writeFigures = (
  run: LiveRun,
  sum: (count: LiveCount) => number,
  latencyPs: Percentiles,
): LiveResult['writes'] => ({
  trapped: sum('trapped'),
  retired: run.retired,
  refused: sum('refused'),
  withoutEffect: run.hypervisor.withoutEffect,
  latencyPs,
  maintainedPs: percentilesOf(
    run.nodes.map(({ maintained }) => maintained),
    run.nodes.map(({ maintainedMax }) => maintainedMax),
  ),
});

const rateAlone = (run: LiveRun): LiveRate | null =>
  run.alone === null
    ? null
    : {
        inFlight: 1,
        writesPerSecond: perSecond(run.alone.retired, run.alone.wallMs),
        latencyPs: percentilesOf(
          run.nodes.map(({ latencyAlone }) => latencyAlone),
          run.nodes.map(({ latencyAloneMax }) => latencyAloneMax),
        ),
      };

const orderOf = ({ spec, ordersOnNodes }: LiveRun['shared']): LiveResult['order'] =>
  spec.strategy === 'none' ? 'memory' : ordersOnNodes ? 'nodes' : 'hypervisor';

const resultOf = (
  scenario: Scenario,
  seed: number,
  prepared: PreparedMachine,
  run: LiveRun,
  judged: Pick<LiveScenarioRun, 'judgement' | 'faults'>,
): Omit<LiveResult, 'placement'> => {
  const { judgement, faults } = judged;
  const { nodes } = run;
  const sum = (count: LiveCount): number => nodes.reduce((total, { counts }) => total + counts[count], 0);
  const latencyPs = percentilesOf(
    nodes.map(({ latency }) => latency),
    nodes.map(({ latencyMax }) => latencyMax),
  );
  const memories = nodes.map((node) =>
    nodeMemoryFigures(prepared.spec, prepared.image, {
      ...node,
      memory: run.shared.memories[node.id]!,
    } as unknown as NodeReport),
  );
  const { verdict, reason, declared, held, evidence, refuted, violations, rules } = judgement;
  const order = orderOf(run.shared);
  return {
    scenario: scenario.name,
    seed,
    mode: 'live',
    transport: run.processes > 1 ? 'process' : 'memory',
    processes: run.processes,
    lostProcesses: run.lost,
    strategy: prepared.spec.strategy,
    protocol: prepared.spec.strategy === 'none' ? null : scenario.replication.protocol,
    digest: null,
    virtualTimePs: null,
    verdict,
    reason,
    interrupted: run.interrupted,
    // Nobody has told anything: then nothing has held.
    guarantee: { declared, held: nodes.length === 0 ? null : held, evidence, refuted },
    violations: violations.slice(0, VIOLATIONS_KEPT),
    violationCount: violations.length,
    rules,
    wallMs: run.wallMs,
    bootMs: run.bootMs,
    warmUpMs: run.warmUpMs,
    order,
    threads: prepared.spec.nodes + (order === 'hypervisor' ? 1 : 0),
    cores: run.cores,
    latencyScale: run.shared.scale,
    history: { recorded: sum('recorded'), dropped: sum('unrecorded') },
    writes: writeFigures(run, sum, latencyPs),
    rate: { inFlight: inFlightOf(prepared), writesPerSecond: perSecond(run.retired, run.wallMs), latencyPs },
    rateAlone: rateAlone(run),
    cells: { read: run.cellsRead, torn: run.cellsTorn },
    fetches: addUp(NO_FETCHES, nodes.map(fetchesOf)),
    loads: { total: sum('loads'), remote: sum('loadsRemote') },
    walks: addUp(NO_WALKS, nodes.map(walksOf)),
    memory: totalMemory(memories),
    tlbis: sum('tlbis'),
    lazyFaults: sum('lazyFaults'),
    injected: sum('injected'),
    events: sum('turns') + run.hypervisor.turns,
    duty: scenario.workload.duty,
    dutyOfRealTime: sum('ranMs') === 0 ? 0 : sum('walkMs') / sum('ranMs'),
    faults,
    outages: run.outages,
    nodes: nodes.map((node, i) => ({
      id: node.id,
      fetches: fetchesOf(node),
      walks: walksOf(node),
      memory: memories[i]!,
      writes: { trapped: node.counts.trapped, refused: node.counts.refused, applied: node.counts.applied },
    })),
    comparison: null,
    assumptions: scenario.hypervisor.serialisation === 'lock' ? [...ASSUMPTIONS, LOCK_ASSUMPTION] : ASSUMPTIONS,
    warnings: warningsOf(run, judgement),
  };
};

/**
 * Runs a scenario on threads that race, and judges it. Throws InputError for what live cannot do; a run that `signal` cuts off
 * ends with what there is.
 */
export const runLiveScenario = async (
  scenario: Scenario,
  options: Pick<LiveOptions, 'signal' | 'progress'> & { readonly seed: number; readonly cluster?: LiveCluster },
): Promise<LiveScenarioRun> => {
  checkLive(scenario);
  const prepared = buildSpec(scenario, options.seed);
  const { spec, watch } = prepared;
  const live = { ...options, scale: scenario.interconnect.latencyScale, recordLimit: RECORDED_WRITES };
  const run = await (options.cluster === undefined
    ? runLiveThreads(spec, spec.protocol, watch, live)
    : runLiveCluster(spec, spec.protocol, watch, { ...live, ...options.cluster }));
  const raw = judgeLiveRun(prepared.spec, run, scenario.checks);
  const judged = bookFaults(prepared.spec.faults, talliesOf(prepared.spec, run), raw, scenario.checks.expect);
  const placement = options.cluster === undefined ? 'threads' : 'cluster';
  const result = { ...resultOf(scenario, options.seed, prepared, run, judged), placement } as const;
  return { result, prepared, run, ...judged };
};
