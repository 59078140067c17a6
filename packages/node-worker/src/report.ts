import type { Digest } from '@numalab/base';
import type { FaultTally } from '@numalab/interconnect';
import { GRANULES, type SharedNodeMemory } from '@numalab/machine';
import { APPLY_STORE, type ApplyEntries } from './apply-log.ts';
import { imageWords } from './boot.ts';
import type { WriteTimes } from './el2.ts';
import type { Comparison, DirectStore, NodeProcess, Synchronisation } from './node.ts';
import type { Finding, GroupLog, WordLog } from './observations.ts';
import type { ScrubCounts } from './scrubber.ts';
import type { PageState } from './text-pages.ts';
import { type Wait, waitsOf } from './waits.ts';

/** What the cores of a node did, summed. Times in picoseconds. */
export interface NodeCounts {
  readonly fetches: number;
  /** By where they were served: L1I, L2, last-level cache, local DRAM, remote DRAM, shared granules. */
  readonly served: readonly number[];
  readonly fetchPs: number;
  readonly activePs: number;
  readonly loads: number;
  readonly loadsRemote: number;
  readonly walks: number;
  readonly walkReads: number;
  readonly walkReadsLocal: number;
  readonly walkReadsRemote: number;
  readonly stage1Remote: number;
  readonly faults: number;
  readonly lazyFaults: number;
  readonly injected: number;
  readonly tlbis: number;
  readonly trapped: number;
  readonly refused: number;
  readonly emulationsChecked: number;
  readonly applied: number;
  readonly actions: number;
  readonly retransmitted: number;
}

/** A node's copy of the text where it differs from the image at boot: word offsets from `_text`, values, write numbers. */
export interface CopyChanges {
  readonly words: Int32Array;
  readonly values: Uint32Array;
  readonly numbers: Uint32Array;
}

/** Everything a run leaves behind on one node. Plain data. */
export interface NodeReport {
  readonly id: number;
  readonly digest: readonly [number, number];
  readonly events: number;
  readonly counts: NodeCounts;
  readonly words: readonly WordLog[];
  readonly groups: readonly GroupLog[];
  readonly findings: readonly Finding[];
  readonly findingsDropped: number;
  readonly comparisons: readonly Comparison[];
  /** What was done to the copy, in order. */
  readonly applied: ApplyEntries;
  /** Pages of the copy that stage 2 does not map at the end: their contents concern nobody. */
  readonly pages: readonly { readonly page: number; readonly state: PageState }[];
  readonly synchronisations: readonly Synchronisation[];
  readonly times: readonly WriteTimes[];
  readonly directStores: readonly DirectStore[];
  readonly storeOrder: readonly { readonly word: number; readonly words: readonly number[] }[];
  readonly copy: CopyChanges | null;
  /** The tables as they are at the end, to be judged where all nodes' are at hand. */
  readonly tables: {
    readonly vtcr: bigint;
    readonly vttbr: bigint;
    readonly paMax: number;
    readonly usedPages: number;
  } | null;
  readonly memory: SharedNodeMemory;
  readonly tableFindings: readonly { readonly id: string; readonly message: string }[];
  readonly tableEdits: number;
  /** Cached translations and instruction lines that were judged (T5). */
  readonly translationsChecked: number;
  readonly stage2: {
    readonly usedBytes: number;
    readonly reservedBytes: number;
    readonly leaves: Readonly<Record<string, number>>;
  } | null;
  /** Cores that wait although nothing is left to happen: a hang. */
  readonly waits: readonly Wait[];
  /** `up`, or what keeps it from that. */
  readonly state: string;
  /** Messages that nobody had acknowledged when the run gave up, by receiver. */
  readonly unheard: readonly { readonly peer: number; readonly pending: number }[];
  /** Locks of the kernel, which node 0 keeps, and the cores that hold them. */
  readonly locks: readonly { readonly lock: number; readonly cpu: number }[];
  /** Requests for table pages that the pool could not meet, and how many of them EL2 made known. */
  readonly poolFailures: number;
  readonly poolFailuresReported: number;
  readonly committedBytes: number;
  /** What scrubbing came to; null: there is none. */
  readonly scrub: ScrubCounts | null;
  /** What became of planned faults here. */
  readonly faults: FaultTally;
}

/** What is counted per core. */
const NO_COUNTS = {
  fetches: 0,
  served: [] as number[],
  fetchPs: 0,
  activePs: 0,
  loads: 0,
  loadsRemote: 0,
  walks: 0,
  walkReads: 0,
  walkReadsLocal: 0,
  walkReadsRemote: 0,
  stage1Remote: 0,
  faults: 0,
};

const coreCounts = (node: NodeProcess): Pick<NodeCounts, keyof typeof NO_COUNTS> => {
  const counts = { ...NO_COUNTS, served: [0, 0, 0, 0, 0, 0] };
  for (const cpu of node.cpus) {
    counts.fetches += cpu.fetchedWords;
    for (let i = 0; i < counts.served.length; i++) counts.served[i]! += cpu.served[i]!;
    counts.fetchPs += cpu.fetchTicks;
    counts.activePs += cpu.activeTicks;
    counts.loads += cpu.loads;
    counts.loadsRemote += cpu.loadsRemote;
    counts.walks += cpu.walks;
    counts.walkReads += cpu.walkReads;
    counts.walkReadsLocal += cpu.walkReadsLocal;
    counts.walkReadsRemote += cpu.walkReadsRemote;
    counts.stage1Remote += cpu.stage1Remote;
    counts.faults += cpu.faults;
  }
  return counts;
};

const countsOf = (node: NodeProcess): NodeCounts => ({
  ...coreCounts(node),
  lazyFaults: node.el2.lazyFaults,
  injected: node.el2.injected,
  tlbis: node.maintenance.tlbis,
  trapped: node.el2.trapped,
  refused: node.el2.refused,
  emulationsChecked: node.el2.emulationsChecked,
  applied: node.applyLog.kinds.filter((kind) => kind === APPLY_STORE).length,
  actions: node.writers.actions,
  retransmitted: node.sessions.retransmitted,
});

/**
 * What the memory says that it has changed; null: it does not know. Bug 63, which is the judge's own: the page that was changed
 * first is not among it. R1 looks for what was written as well as at what was changed, so it finds those writes missing.
 */
const trackedChanges = ({ memory, spec }: NodeProcess): readonly number[] | null => {
  const changed = memory.changedText();
  if (changed === null || !spec.bugs.includes('63')) return changed;
  const pageOf = (word: number): number => Math.floor((4 * word) / GRANULES[spec.granule].bytes);
  return changed.filter((word) => pageOf(word) !== pageOf(changed[0]!));
};

const changesOf = (node: NodeProcess): CopyChanges | null => {
  const { layout, spec, memory, id } = node;
  const region = memory.textAt(layout.copyPa[id]!);
  if (region === null) return null;
  const built = imageWords(spec, layout);
  const words: number[] = [];
  const { cells } = region;
  const compare = (i: number): void => {
    if (cells[2 * i] !== built[i] || cells[2 * i + 1] !== 0) words.push(i);
  };
  // Memory that keeps what was overwritten knows where to look; otherwise nothing is trusted and all is compared.
  const changed = trackedChanges(node);
  if (changed !== null) for (const i of changed) compare(i);
  else for (let i = 0; i < built.length; i++) compare(i);
  const changes = {
    words: new Int32Array(words.length),
    values: new Uint32Array(words.length),
    numbers: new Uint32Array(words.length),
  };
  for (let at = 0; at < words.length; at++) {
    const i = words[at]!;
    changes.words[at] = i + (layout.spanStart >> 2);
    changes.values[at] = cells[2 * i]!;
    changes.numbers[at] = cells[2 * i + 1]!;
  }
  return changes;
};

const stage2Of = (node: NodeProcess): NodeReport['stage2'] => {
  if (node.tables === null) return null;
  const { editor, pool, config } = node.tables;
  const leaves: Record<string, number> = {};
  editor.forEachEntry((_pa, lo, _hi, level) => {
    const isLeaf = (lo & 1) === 1 && (level === 3 || (lo & 2) === 0);
    if (isLeaf) leaves[`level ${level}`] = (leaves[`level ${level}`] ?? 0) + editor.levelBytes(level);
  });
  const page = config.granule.bytes;
  return { usedBytes: pool.used * page, reservedBytes: pool.capacity * page, leaves };
};

/** Bits of VTTBR_EL2 that bugs 31 (CnP) and 32 (VMID) set. */
const registerBits = ({ id, spec: { bugs } }: NodeProcess): bigint =>
  (bugs.includes('31') ? 1n : 0n) | (bugs.includes('32') ? BigInt(id) << 48n : 0n);

const tablesOf = (node: NodeProcess): NodeReport['tables'] => {
  if (node.tables === null) return null;
  const { config, pool } = node.tables;
  return {
    vtcr: config.vtcr,
    vttbr: config.vttbr | registerBits(node),
    paMax: config.paMax,
    usedPages: pool.used,
  };
};

/** Collects what the run left on a node. The machine must be quiet. `figures`: those that only a report to people needs, too. */
export const reportOf = (node: NodeProcess, figures = true): NodeReport => {
  node.coherence.cleanAll();
  const digest: Digest = node.runDigest();
  const copy = changesOf(node);
  const { kinds, subjects, numbers, times } = node.applyLog;
  if (copy !== null) {
    for (let i = 0; i < copy.words.length; i++) {
      digest.word(copy.words[i]!);
      digest.word(copy.values[i]!);
      digest.word(copy.numbers[i]!);
    }
  }
  return {
    id: node.id,
    digest: digest.words(),
    events: node.eventCount,
    counts: countsOf(node),
    words: [...node.observations.words.values()],
    groups: [...node.observations.groups.values()],
    findings: node.observations.findings,
    findingsDropped: node.observations.dropped,
    comparisons: node.comparisons,
    applied: { kinds, subjects, numbers, times },
    pages: node.textPages.exceptions(),
    synchronisations: node.synchronisations,
    times: node.el2.times,
    directStores: node.directStores,
    storeOrder: node.storeOrder,
    copy,
    tables: tablesOf(node),
    memory: node.memory.share(),
    tableFindings: node.tableOps?.findings ?? [],
    tableEdits: node.tableOps?.evidence ?? 0,
    translationsChecked: (node.tableOps?.translations ?? 0) + node.maintenance.linesChecked,
    stage2: figures ? stage2Of(node) : null,
    waits: waitsOf(node),
    state: node.life?.state ?? 'up',
    unheard: node.unheard,
    locks: node.locks.holders().map(({ lock, node: at, core }) => ({ lock, cpu: at * node.spec.coresPerNode + core })),
    poolFailures: node.tables?.pool.failures ?? 0,
    poolFailuresReported: (node.host?.recycled ?? 0) + node.el2.exhaustions,
    committedBytes: node.memory.committedBytes(),
    scrub: node.scrubber?.counts ?? null,
    faults: node.tally.tally(),
  };
};
