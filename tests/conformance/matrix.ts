/** The conformance matrix: every protocol × every writer × machines of 2 to 16 nodes; the table in docs/CONFORMANCE.md. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { watchTables } from '@numalab/checkers';
import { buildSpec, InlineMachine, judgeRaw, parseScenario, type Scenario } from '@numalab/coordinator';
import { PROTOCOLS, type Protocol } from '@numalab/protocols';

/** What stores, in words for the table, and as a scenario has it; `{n}` is the number of nodes. */
interface Pattern {
  readonly id: string;
  readonly says: string;
  readonly writers: string;
}

const CONCURRENT = 'rate: 400k/s, inFlight: {n}';

export const PATTERNS: readonly Pattern[] = [
  { id: 'jump-label', says: 'one word, kick', writers: '{kind: jump-label, rate: 200k/s, keys: 3, batch: 2}' },
  { id: 'ftrace', says: 'two single words, load and compare, kick', writers: '{kind: ftrace, rate: 200k/s, batch: 2}' },
  { id: 'ftrace-literal', says: '8 bytes', writers: '{kind: ftrace-literal, rate: 200k/s, sites: 4}' },
  { id: 'kprobe', says: 'one word, stop_machine', writers: '{kind: kprobe, rate: 100k/s, sites: 2}' },
  {
    id: 'alternatives',
    says: 'sequences of words, stop_machine',
    writers: '{kind: alternatives, rate: 50k/s, entries: 2}',
  },
  {
    id: 'recorded',
    says: 'rows of a trace, 4 and 8 bytes, dealt over all cores',
    writers: '{kind: recorded, spread: true, file: {trace}}',
  },
  { id: 'synthetic 4', says: 'one word', writers: `{kind: synthetic, width: 4, sites: 4, ${CONCURRENT}}` },
  {
    id: 'same word',
    says: 'one word, all nodes store to the same one',
    writers: `{kind: synthetic, forms: [str_w, ldadd_w, cas_w], sites: 1, ${CONCURRENT}}`,
  },
  {
    id: 'synthetic 1–2',
    says: 'parts of words',
    writers: `{kind: synthetic, width: 2, sites: 2, ${CONCURRENT}}, {kind: synthetic, width: 1, sites: 2, ${CONCURRENT}}`,
  },
  { id: 'synthetic 8', says: '8 bytes', writers: `{kind: synthetic, width: 8, sites: 4, ${CONCURRENT}}` },
  { id: 'synthetic 16', says: 'four words', writers: `{kind: synthetic, width: 16, sites: 4, ${CONCURRENT}}` },
  {
    id: 'line-crossing',
    says: '2 to 16 bytes across a cache line',
    writers: `{kind: synthetic, straddle: line, sites: 4, ${CONCURRENT}}`,
  },
  {
    id: 'page-crossing',
    says: '2 to 16 bytes across a page',
    writers: `{kind: synthetic, straddle: page, sites: 4, ${CONCURRENT}}`,
  },
];

/** Machines by number of nodes. */
const TOPOLOGIES: Readonly<Record<number, string>> = {
  2: 'kunpeng920',
  4: 'kunpeng920',
  8: 'xeon8-glueless',
  16: 'arm64-16node',
};
export const SIZES: readonly number[] = Object.keys(TOPOLOGIES).map(Number);

/** Seeds of a cell, judged together: evidence is summed, and the weakest level counts. */
const SEEDS = [1, 2] as const;

/** Sites that the recorded trace patches, and its rows for each. */
const SITES = 6;

/** One cell of the table. */
export interface Cell {
  readonly declared: string;
  /** The weakest of the levels that the seeds held; null: none. */
  readonly held: string | null;
  /** Fetches that could have refuted the declared level. */
  readonly evidence: number;
  readonly writes: number;
  readonly verdict: 'pass' | 'fail' | 'unknown';
  /** Rules broken. */
  readonly broken: readonly string[];
}

/** A trace of stores that fits the built-in kernel: ftrace sites and literals, there and back. */
const writeTrace = (folder: string, nodes: number): string => {
  const { image } = buildSpec(parseScenario('{}', {}), 1);
  const rows: string[] = [];
  const row = (offset: number, size: number, old: string, value: string, table: string): void => {
    rows.push(
      `${rows.length + 1},${rows.length % (2 * nodes)},writer,${offset.toString(16)},${size},${old},${value},${table}`,
    );
  };
  const hex = (word: number): string => (word >>> 0).toString(16).padStart(8, '0');
  for (const site of [...image.ftraceSites].slice(40, 40 + SITES)) {
    const old = hex(image.words[site >> 2]!);
    row(site, 4, old, 'aa1e03e9', 'ftrace');
    row(site, 4, 'aa1e03e9', old, 'ftrace');
  }
  for (const at of [...image.ftraceLiterals].slice(40, 40 + SITES)) {
    const old = hex(image.words[(at >> 2) + 1]!) + hex(image.words[at >> 2]!);
    row(at, 8, old, 'ffff800008400040', 'ftrace-literal');
  }
  const path = join(folder, `trace-${nodes}.csv`);
  writeFileSync(path, `seq,vcpu,writer,offset,size,old,new,table\n${rows.join('\n')}\n`);
  return path;
};

const scenarioOf = (pattern: Pattern, nodes: number, protocol: string, trace: string): Scenario =>
  parseScenario('{}', {
    protocol,
    set: [
      `machine.nodes=${nodes}`,
      `machine.distances=${TOPOLOGIES[nodes]}`,
      'machine.coresPerNode=2',
      'machine.memoryPerNode=512MiB',
      'workload.duration=40us',
      'workload.duty=0.3',
      'comparison=false',
      `kernel.writers=[${pattern.writers.replaceAll('{n}', String(nodes)).replace('{trace}', JSON.stringify(trace))}]`,
    ],
  });

const LEVELS = ['eventual', 'ordered', 'completed', 'atomic'] as const;

const cellOf = (protocol: Protocol, runs: readonly ReturnType<typeof judgeRaw>[]): Cell => {
  const declared = protocol.guarantee;
  const strength = (level: string | null): number => (LEVELS as readonly (string | null)[]).indexOf(level);
  // What one seed had too little evidence for another may have: a level is lost where it was refuted.
  const weakest = Math.min(
    ...runs.map(({ judgement: { refuted } }) => (refuted.length === 0 ? LEVELS.length : strength(refuted[0]!.level))),
  );
  const evidence = Object.fromEntries(
    LEVELS.map((level) => [level, runs.reduce((sum, { judgement }) => sum + judgement.evidence[level], 0)]),
  );
  let held = -1;
  while (held + 1 < weakest && evidence[LEVELS[held + 1]!]! > 0) held++;
  const broken = [...new Set(runs.flatMap(({ judgement }) => judgement.violations.map(({ id }) => id)))].sort();
  const verdict = broken.length > 0 ? 'fail' : held >= strength(declared) ? 'pass' : 'unknown';
  const writes = runs.reduce((sum, { judgement }) => sum + judgement.writes.length, 0);
  return { declared, held: LEVELS[held] ?? null, evidence: evidence[declared]!, writes, verdict, broken };
};

/** Runs cells; machines are set back between the seeds and protocols of one pattern and size. */
export class Matrix {
  private readonly folder = mkdtempSync(join(tmpdir(), 'numalab-matrix-'));

  /** The cells of one pattern on machines of one size, by protocol. */
  run(pattern: Pattern, nodes: number, protocols: readonly string[]): Record<string, Cell> {
    const cells: Record<string, Cell> = {};
    const trace = pattern.id === 'recorded' ? writeTrace(this.folder, nodes) : '';
    for (const name of protocols) {
      const scenario = scenarioOf(pattern, nodes, name, trace);
      let machine: InlineMachine | null = null;
      const runs = SEEDS.map((seed) => {
        const { spec, watch } = buildSpec(scenario, seed);
        const protocol = PROTOCOLS[name]!;
        if (machine === null) {
          machine = new InlineMachine(spec, protocol, watch, watchTables);
          machine.checkpoint();
        } else machine.reset(spec, protocol, watch);
        return judgeRaw(spec, machine.runShort(), { minEvidence: 0, expect: [] });
      });
      cells[name] = cellOf(PROTOCOLS[name]!, runs);
    }
    return cells;
  }

  close(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** A cell as the page has it. */
export const cellText = ({ held, evidence, writes, verdict, broken }: Cell): string => {
  if (verdict === 'fail') return `**broken: ${broken.join(', ')}**`;
  return verdict === 'unknown' ? `no evidence (0 of ${writes})` : `${held}, ${evidence} of ${writes}`;
};

/** Heading of a protocol's table. */
export const headingOf = (protocol: string): string => `## ${protocol}: declares ${PROTOCOLS[protocol]!.guarantee}`;
