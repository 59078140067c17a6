import type { TimedWrite } from '@numalab/checkers';
import {
  type NodeCounts,
  type NodeReport,
  SERVED_L1I,
  SERVED_L2,
  SERVED_LLC,
  SERVED_LOCAL,
  SERVED_REMOTE,
  SERVED_SHARED,
} from '@numalab/node-worker';
import type { JudgedRun } from '../engine/run-machine.ts';
import type { PreparedMachine } from '../machine/build-spec.ts';
import { nodeMemoryFigures, totalMemory } from './memory-figures.ts';
import { percentiles } from './percentiles.ts';
import type { FetchFigures, Figures, MeasuredRun, NodeResult, WriteFigures } from './run-result.ts';

const fetchFigures = (counts: readonly NodeCounts[]): FetchFigures => {
  const sum = (pick: (count: NodeCounts) => number): number => counts.reduce((total, count) => total + pick(count), 0);
  const served = (by: number): number => sum((count) => count.served[by]!);
  const total = sum((count) => count.fetches);
  return {
    total,
    l1i: served(SERVED_L1I),
    l2: served(SERVED_L2),
    llc: served(SERVED_LLC),
    local: served(SERVED_LOCAL),
    remote: served(SERVED_REMOTE),
    shared: served(SERVED_SHARED),
    meanPs: total === 0 ? null : sum((count) => count.fetchPs) / total,
  };
};

/** Everything but memory and events, summed over nodes. */
const countFigures = (counts: readonly NodeCounts[]): Omit<Figures, 'memory' | 'events'> => {
  const sum = (pick: (count: NodeCounts) => number): number => counts.reduce((total, count) => total + pick(count), 0);
  return {
    fetches: fetchFigures(counts),
    loads: { total: sum((count) => count.loads), remote: sum((count) => count.loadsRemote) },
    walks: {
      count: sum((count) => count.walks),
      reads: sum((count) => count.walkReads),
      localReads: sum((count) => count.walkReadsLocal),
      remoteReads: sum((count) => count.walkReadsRemote),
      stage1Remote: sum((count) => count.stage1Remote),
    },
    tlbis: sum((count) => count.tlbis),
    lazyFaults: sum((count) => count.lazyFaults),
    injected: sum((count) => count.injected),
  };
};

const maintainedSpans = (nodes: readonly NodeReport[]): number[] =>
  nodes.flatMap(({ times }) => times.flatMap(({ begin, maintained }) => (maintained < 0 ? [] : [maintained - begin])));

/** Where nothing traps, memory numbers word by word: the words of one store begin together on their core. */
const oneForEachStore = (writes: readonly TimedWrite[]): TimedWrite[] => {
  const seen = new Set<string>();
  return writes.filter(({ node, core, begin }) => {
    const store = `${node} ${core} ${begin}`;
    return !seen.has(store) && seen.add(store);
  });
};

const writeFigures = ({ raw, judgement }: JudgedRun, traps: boolean): WriteFigures => {
  const sum = (pick: (count: NodeCounts) => number): number =>
    raw.nodes.reduce((total, { counts }) => total + pick(counts), 0);
  const ended = judgement.writes.filter(({ begin, end }) => Number.isFinite(begin) && Number.isFinite(end));
  const over = traps ? ended : oneForEachStore(ended);
  const retired = traps ? raw.hypervisor.journal.filter((entry) => entry.retired >= 0).length : over.length;
  return {
    trapped: sum((counts) => counts.trapped),
    retired,
    refused: sum((counts) => counts.refused),
    withoutEffect: raw.hypervisor.withoutEffect,
    latencyPs: percentiles(over.map(({ begin, end }) => end - begin)),
    maintainedPs: percentiles(traps ? maintainedSpans(raw.nodes) : over.map(({ begin, end }) => end - begin)),
  };
};

/** One node's share of a run. */
export const nodeResult = ({ spec, image }: PreparedMachine, report: NodeReport): NodeResult => {
  const { trapped, refused, applied } = report.counts;
  return {
    id: report.id,
    ...countFigures([report.counts]),
    memory: nodeMemoryFigures(spec, image, report),
    events: report.events,
    writes: { trapped, refused, applied },
  };
};

/** The figures of a whole run. `nodes` are its {@link nodeResult}s. */
export const measuredRun = (
  { spec }: PreparedMachine,
  judged: JudgedRun,
  nodes: readonly NodeResult[],
): MeasuredRun => {
  const { raw, digest, judgeMs } = judged;
  return {
    strategy: spec.strategy,
    digest,
    virtualTimePs: raw.endPs,
    wallMs: raw.wallMs,
    bootMs: raw.bootMs,
    judgeMs,
    writes: writeFigures(judged, spec.strategy === 'stage2'),
    ...countFigures(raw.nodes.map(({ counts }) => counts)),
    memory: totalMemory(nodes.map(({ memory }) => memory)),
    events: raw.nodes.reduce((sum, { events }) => sum + events, raw.hypervisor.events),
  };
};
