import type { HypervisorReport } from '@numalab/hypervisor';
import { APPLY_STORE, type ApplyEntries, type MachineSpec, type NodeReport, type WordLog } from '@numalab/node-worker';
import type { Guarantee } from '@numalab/protocols';
import type { JudgeInput } from './judge.ts';

/** One fetch of a hand-made history. Times in picoseconds. */
export interface SampleFetch {
  readonly word: number;
  readonly cpu: number;
  readonly issue: number;
  readonly end: number;
  /** The write it saw, and what it had put there. */
  readonly number: number;
  readonly value: number;
}

/** One write of a hand-made history, made by core 0 of `node`. */
export interface SampleWrite {
  readonly word: number;
  readonly values: readonly number[];
  readonly node: number;
  readonly begin: number;
  /** -1: never. */
  readonly end: number;
}

/** What every word of the sample kernel holds at boot. */
export const BOOT_VALUE = 0xd503_201f;

const CORES = 2;

/** What one node's log of a word would be after these fetches, each of which also executed the word. */
export const logOf = (word: number, fetches: readonly SampleFetch[]): WordLog => {
  const log: { -readonly [Key in keyof WordLog]: WordLog[Key] } = {
    word,
    numbers: [],
    highest: -1,
    values: [],
    counts: [],
    lastIssue: [],
    lastIssueEnd: [],
    lastIssueCpu: [],
    firstEnd: [],
    firstEndIssue: [],
    firstEndCpu: [],
    lastExecution: [],
    lastExecutionCpu: [],
  };
  for (const number of new Set(fetches.map((fetch) => fetch.number))) {
    const seen = fetches.filter((fetch) => fetch.number === number);
    const last = seen.reduce((a, b) => (b.issue > a.issue ? b : a));
    const first = seen.reduce((a, b) => (b.end < a.end ? b : a));
    const executed = seen.reduce((a, b) => (b.end > a.end ? b : a));
    log.numbers.push(number);
    log.values.push(seen[0]!.value);
    log.counts.push(seen.length);
    log.lastIssue.push(last.issue);
    log.lastIssueEnd.push(last.end);
    log.lastIssueCpu.push(last.cpu);
    log.firstEnd.push(first.end);
    log.firstEndIssue.push(first.issue);
    log.firstEndCpu.push(first.cpu);
    log.lastExecution.push(executed.end);
    log.lastExecutionCpu.push(executed.cpu);
  }
  return log;
};

/** Words as bytes, little-endian. */
const bytesOf = (words: readonly number[]): number[] =>
  words.flatMap((word) => [0, 8, 16, 24].map((shift) => (word >>> shift) & 255));

/** The log of a node that stored these writes. */
export const logOfStores = (numbers: readonly number[]): ApplyEntries => ({
  kinds: numbers.map(() => APPLY_STORE),
  subjects: [...numbers],
  numbers: numbers.map(() => 0),
  times: numbers.map((_, i) => i),
});

/** The reports of a machine of `nodes` nodes in which everything went well, but for what the fetches say. */
export const sampleInput = (
  nodes: number,
  guarantee: Guarantee,
  writes: readonly SampleWrite[],
  fetches: readonly SampleFetch[],
): JudgeInput => {
  const changes = new Map<number, { value: number; number: number }>();
  for (const [i, { word, values }] of writes.entries()) {
    for (const [at, value] of values.entries()) changes.set(word + at, { value, number: i + 1 });
  }
  const words = [...changes.keys()].sort((a, b) => a - b);
  const reportOf = (id: number): NodeReport => {
    const own = fetches.filter(({ cpu }) => Math.floor(cpu / CORES) === id);
    return {
      id,
      counts: {
        fetches: own.length,
        loads: 0,
        applied: writes.length,
        emulationsChecked: 0,
      },
      words: [...new Set(own.map(({ word }) => word))].map((word) =>
        logOf(
          word,
          own.filter((fetch) => fetch.word === word),
        ),
      ),
      groups: [],
      findings: [],
      comparisons: [],
      applied: logOfStores(writes.map((_, i) => i + 1)),
      pages: [],
      synchronisations: [],
      times: writes.flatMap(({ node, begin, end, word, values }, i) =>
        node === id && end >= 0
          ? [{ number: i + 1, begin, end, core: 0, maintained: end, offset: word * 4, bytes: bytesOf(values) }]
          : [],
      ),
      waits: [],
      state: 'up',
      unheard: [],
      locks: [],
      poolFailures: 0,
      poolFailuresReported: 0,
      copy: {
        words: Int32Array.from(words),
        values: Uint32Array.from(words, (word) => changes.get(word)!.value),
        numbers: Uint32Array.from(words, (word) => changes.get(word)!.number),
      },
    } as unknown as NodeReport;
  };
  const hypervisor = {
    journal: writes.map(({ word, values, node, begin, end }, i) => ({
      write: { number: i + 1, word, words: values, origin: node },
      core: 0,
      begin,
      numbered: begin,
      retired: end,
    })),
    waits: [],
  } as unknown as HypervisorReport;
  return {
    spec: { strategy: 'stage2', guarantee, nodes, coresPerNode: CORES, granule: '4K' } as unknown as MachineSpec,
    nodes: Array.from({ length: nodes }, (_, id) => reportOf(id)),
    hypervisor,
    valueAtBoot: () => BOOT_VALUE,
    tableFindings: [],
    tableEvidence: {},
    minEvidence: 1,
    interrupted: false,
    expect: [],
  };
};

/** The same reports with one node's changed. */
export const withNode = (
  input: JudgeInput,
  id: number,
  change: (node: NodeReport) => Partial<NodeReport>,
): JudgeInput => ({
  ...input,
  nodes: input.nodes.map((node) => (node.id === id ? { ...node, ...change(node) } : node)),
});
