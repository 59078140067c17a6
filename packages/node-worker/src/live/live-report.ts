import type { Synchronisation } from '../node.ts';
import type { Finding, WordLog } from '../observations.ts';
import type { PageState } from '../text-pages.ts';
import type { LiveNode } from './live-node.ts';
import type { LiveWriteTimes } from './live-times.ts';
import type { OrderedStore } from './store-order.ts';

/** Everything that a node leaves behind in a live run. Plain data; moments are ticks. */
export interface LiveNodeReport {
  readonly id: number;
  readonly counts: Readonly<Record<LiveCount, number>>;
  readonly findings: readonly Finding[];
  readonly findingsDropped: number;
  /** What the record holds. */
  readonly words: readonly WordLog[];
  readonly recordFindings: readonly Finding[];
  readonly times: readonly LiveWriteTimes[];
  /** Where nothing traps: stores that this node's thread has performed on record. */
  readonly stored: readonly OrderedStore[];
  readonly synchronisations: readonly Synchronisation[];
  /** Latencies of writes in nanoseconds, as LatencyHistogram counts them. */
  readonly latency: Float64Array;
  readonly latencyMax: number;
  readonly latencyAlone: Float64Array;
  readonly latencyAloneMax: number;
  readonly maintained: Float64Array;
  readonly maintainedMax: number;
  readonly tables: {
    readonly vtcr: bigint;
    readonly vttbr: bigint;
    readonly paMax: number;
    readonly usedPages: number;
  } | null;
  /** Pages of the copy that stage 2 does not map at the end. */
  readonly pages: readonly { readonly page: number; readonly state: PageState }[];
  readonly tableFindings: readonly { readonly id: string; readonly message: string }[];
  readonly tableEdits: number;
  readonly stage2: {
    readonly usedBytes: number;
    readonly reservedBytes: number;
    readonly leaves: Readonly<Record<string, number>>;
  };
  readonly stuck: readonly string[];
  readonly committedBytes: number;
}

/** What is counted. */
export type LiveCount =
  | 'fetches'
  | 'hits'
  | 'local'
  | 'remote'
  | 'loadsRemote'
  | 'shared'
  | 'again'
  | 'loads'
  | 'probes'
  | 'walkMs'
  | 'ranMs'
  | 'walks'
  | 'walkReads'
  | 'walkReadsLocal'
  | 'walkReadsRemote'
  | 'faults'
  | 'lazyFaults'
  | 'injected'
  | 'tlbis'
  | 'trapped'
  | 'refused'
  | 'writesOver'
  | 'emulationsChecked'
  | 'compared'
  | 'applied'
  | 'highestApplied'
  | 'actions'
  | 'turns'
  | 'checked'
  | 'valuesCompared'
  | 'recorded'
  | 'unrecorded'
  | 'completedEvidence'
  | 'atomicEvidence'
  | 'synchronisedEvidence';

const countsOf = (node: LiveNode): Record<LiveCount, number> => ({
  fetches: node.fetch.fetchedWords,
  hits: node.fetch.hits,
  local: node.fetch.local,
  remote: node.fetch.remote,
  loadsRemote: node.fetch.loadsRemote,
  shared: node.fetch.shared,
  again: node.fetch.again,
  loads: node.fetch.loads,
  probes: node.probes,
  walkMs: node.walkMs,
  ranMs: node.ranMs,
  walks: node.mmu.walks,
  walkReads: node.mmu.reads,
  walkReadsLocal: node.mmu.localReads,
  walkReadsRemote: node.mmu.remoteReads,
  faults: node.el2.faults,
  lazyFaults: node.el2.lazyFaults,
  injected: node.el2.injected,
  tlbis: node.tlbis,
  trapped: node.el2.trapped,
  refused: node.el2.refused,
  writesOver: node.writesOver,
  emulationsChecked: node.el2.emulationsChecked,
  compared: node.compared,
  applied: node.agent.applied,
  highestApplied: node.agent.highestApplied,
  actions: node.writers.actions,
  turns: node.turns,
  checked: node.checks.checked,
  valuesCompared: node.checks.compared,
  recorded: node.checks.recorded,
  unrecorded: node.checks.unrecorded,
  completedEvidence: node.checks.completedEvidence,
  atomicEvidence: node.checks.atomicEvidence,
  synchronisedEvidence: node.checks.synchronisedEvidence,
});

const stage2Of = (node: LiveNode): LiveNodeReport['stage2'] => {
  if (!node.hasTables) return { usedBytes: 0, reservedBytes: 0, leaves: {} };
  const { tables } = node;
  const { editor, pool, config } = tables;
  const leaves: Record<string, number> = {};
  editor.forEachEntry((_pa, lo, _hi, level) => {
    const isLeaf = (lo & 1) === 1 && (level === 3 || (lo & 2) === 0);
    if (isLeaf) leaves[`level ${level}`] = (leaves[`level ${level}`] ?? 0) + editor.levelBytes(level);
  });
  const page = config.granule.bytes;
  return { usedBytes: pool.used * page, reservedBytes: pool.capacity * page, leaves };
};

const pagesOf = (node: LiveNode): { page: number; state: PageState }[] => {
  const pages: { page: number; state: PageState }[] = [];
  const { spanStart, spanEnd, copyPa } = node.layout;
  for (let page = node.pageOf(spanStart); page * node.granuleBytes < spanEnd; page++) {
    const offset = page * node.granuleBytes;
    if (!node.isReplicated(offset) || node.isShared(offset)) continue;
    const pa = node.mappedTo(page);
    if (pa === node.copyOf(offset)) continue;
    pages.push({ page, state: pa === copyPa[0]! + offset - spanStart ? 'primary' : 'unmapped' });
  }
  return pages;
};

const tablesOf = (node: LiveNode): LiveNodeReport['tables'] => {
  if (!node.hasTables) return null;
  const { config, pool } = node.tables;
  return { vtcr: config.vtcr, vttbr: config.vttbr, paMax: config.paMax, usedPages: pool.used };
};

/** Collects what a run left on a node. Its thread must be out of its loop. */
export const liveReportOf = (node: LiveNode): LiveNodeReport => {
  const { checks, el2, latency, latencyAlone, maintained } = node;
  return {
    id: node.id,
    counts: countsOf(node),
    findings: checks.findings,
    findingsDropped: checks.dropped + checks.observations.dropped,
    words: [...checks.observations.words.values()],
    recordFindings: checks.observations.findings,
    times: el2.times.entries(),
    synchronisations: node.synchronisations,
    latency: latency.counts,
    latencyMax: latency.max,
    latencyAlone: latencyAlone.counts,
    latencyAloneMax: latencyAlone.max,
    maintained: maintained.counts,
    maintainedMax: maintained.max,
    tables: tablesOf(node),
    pages: node.hasTables ? pagesOf(node) : [],
    stored: node.stored?.record ?? [],
    tableFindings: node.tableOps?.findings ?? [],
    tableEdits: node.tableOps?.evidence ?? 0,
    stage2: stage2Of(node),
    stuck: node.cpus
      .filter((cpu) => cpu.task !== null || cpu.taskQueue.length > 0)
      .map((cpu) => `CPU ${cpu.cpu} never ended its task`),
    committedBytes: node.memory.committedBytes(),
  };
};
