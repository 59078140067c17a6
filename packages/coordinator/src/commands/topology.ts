import { existsSync } from 'node:fs';
import { InputError } from '@numalab/base';
import {
  BUILTIN_TOPOLOGIES,
  builtinTopology,
  importTopology,
  LATENCY_PROFILES,
  Latencies,
  type LatencyProfile,
  latencyProfile,
  resizeTopology,
  type Topology,
} from '@numalab/machine';
import { displayPath, readInputFile } from '../scenario/files.ts';
import { didYouMean } from '../scenario/problems.ts';
import { type CommandContext, EXIT_PASS } from './context.ts';
import { wrap } from './text.ts';

/** Options of `topology`. */
export interface TopologyOptions {
  readonly nodes?: number;
  readonly profile?: string;
  readonly json: boolean;
}

interface Shown {
  readonly topology: Topology;
  readonly profile: string;
  readonly format: string;
  readonly notes: readonly string[];
}

const MAX_BYTES = 2 ** 20;
/** Where descriptions begin in the list of what is built in. */
const LIST_COLUMN = 27;

const findTopology = (source: string, nodes: number | undefined): Shown => {
  const builtin = builtinTopology(source, nodes);
  if (builtin !== undefined) return { topology: builtin, profile: builtin.profile, format: 'builtin', notes: [] };
  if (!existsSync(source)) {
    const hint = didYouMean(
      source,
      BUILTIN_TOPOLOGIES.map(({ name }) => name),
    );
    throw new InputError(source.slice(0, 200), `no built-in machine and no such file${hint}`);
  }
  const name = displayPath(source);
  const { topology, format, notes } = importTopology(readInputFile(source, name, MAX_BYTES), name);
  return {
    topology: nodes === undefined ? topology : resizeTopology(topology, nodes),
    profile: 'generic',
    format,
    notes,
  };
};

const findProfile = (name: string): LatencyProfile => {
  const profile = latencyProfile(name);
  if (profile !== undefined) return profile;
  const known = LATENCY_PROFILES.map((entry) => entry.name);
  throw new InputError(
    '--profile',
    `no profile ${name.slice(0, 40)}; there are ${known.join(', ')}${didYouMean(name, known)}`,
  );
};

const table = <Value>(nodes: number, cell: (from: number, to: number) => Value): Value[][] =>
  Array.from({ length: nodes }, (_, from) => Array.from({ length: nodes }, (__, to) => cell(from, to)));

/** A matrix with node numbers, in blocks of columns that fit into `width`. */
const matrixLines = (cells: readonly (readonly string[])[], width: number): string[] => {
  const cellWidth = 1 + Math.max(3, ...cells.map((row) => Math.max(...row.map((text) => text.length))));
  const perBlock = Math.max(1, Math.floor((width - 6) / cellWidth));
  const lines: string[] = [];
  for (let start = 0; start < cells.length; start += perBlock) {
    const numbers = cells.slice(start, start + perBlock).map((_, index) => String(start + index).padStart(cellWidth));
    lines.push(`      ${numbers.join('')}`);
    for (const [row, texts] of cells.entries()) {
      const block = texts.slice(start, start + perBlock).map((text) => text.padStart(cellWidth));
      lines.push(`${String(row).padStart(5)}:${block.join('')}`);
    }
  }
  return lines;
};

const nanoseconds = (ps: number): string => (ps % 1000 === 0 ? String(ps / 1000) : (ps / 1000).toFixed(1));

/** The points that a profile's latencies rest on, with their sources. */
const sourceLines = ({ dram, line }: LatencyProfile): string[] => {
  const lines: string[] = [];
  for (const [name, by] of [
    ['DRAM', dram],
    ['line', line],
  ] as const) {
    lines.push(`  ${name}, same node: ${nanoseconds(by.local[0])} ns (${by.local[1]})`);
    for (const [label, curve] of [
      ['same socket', by.sameSocket],
      ['other socket', by.otherSocket],
    ] as const) {
      for (const [ratio, value, source] of curve) {
        const far = ratio === 1000 ? '' : ` at ${(ratio / 1000).toFixed(2)} × the nearest`;
        lines.push(`  ${name}, ${label}${far}: ${nanoseconds(value)} ns (${source})`);
      }
    }
  }
  return lines;
};

const printText = (shown: Shown, latencies: Latencies, context: CommandContext): void => {
  const { bold, yellow } = context.colors;
  const { topology, notes } = shown;
  const { nodes, profile } = latencies;
  const sockets = Math.max(...topology.sockets) + 1;
  const inNs = (of: (from: number, to: number) => number): string[][] =>
    table(nodes, (from, to) => nanoseconds(of(from, to)));
  context.print(
    bold(`${topology.name}: ${nodes} nodes, ${sockets} sockets`),
    ...wrap(`source: ${topology.source}`, context.columns, '  '),
    ...notes.map((note) => yellow(`note: ${note}`)),
    `socket of each node: ${topology.sockets.join(' ')}`,
    '',
    bold('distances'),
    ...matrixLines(
      table(nodes, (from, to) => String(topology.distances[from]?.[to])),
      context.columns,
    ),
    '',
    ...wrap(`DRAM, ns (profile ${profile.name}: ${profile.description})`, context.columns, '  ').map(bold),
    ...matrixLines(
      inNs((from, to) => latencies.dramPs(from, to)),
      context.columns,
    ),
    '',
    bold('cache line or message, one way, ns'),
    ...matrixLines(
      inNs((from, to) => latencies.linePs(from, to)),
      context.columns,
    ),
    '',
    bold('where these come from'),
    ...sourceLines(profile).flatMap((line) => wrap(line, context.columns, '    ')),
  );
};

const printJson = (shown: Shown, latencies: Latencies, context: CommandContext): void => {
  const { topology, format, notes } = shown;
  const { nodes, profile } = latencies;
  const inNs = (of: (from: number, to: number) => number): number[][] =>
    table(nodes, (from, to) => of(from, to) / 1000);
  context.printJson({
    name: topology.name,
    source: topology.source,
    format,
    notes,
    nodes,
    sockets: topology.sockets,
    distances: topology.distances,
    profile: profile.name,
    dramNs: inNs((from, to) => latencies.dramPs(from, to)),
    lineNs: inNs((from, to) => latencies.linePs(from, to)),
    ipiNs: inNs((from, to) => latencies.ipiPs(from, to)),
    bytesPerNs: table(nodes, (from, to) => latencies.bytesPerNanosecond(from, to)),
    figures: { dram: profile.dram, line: profile.line, bandwidth: profile.bandwidth, core: profile.core },
    caches: profile.caches,
  });
};

/** `topology [SOURCE]`: a machine's distances and nanoseconds, or the machines built in. Returns the exit code. */
export const topologyCommand = (
  source: string | undefined,
  options: TopologyOptions,
  context: CommandContext,
): number => {
  if (source === undefined) {
    const entries = BUILTIN_TOPOLOGIES.map(({ name, description, distances, profile, source: from }) => ({
      id: name,
      nodes: distances.length,
      profile,
      description,
      source: from,
    }));
    if (options.json) context.printJson(entries);
    else {
      for (const { id, nodes, description } of entries) {
        const [first, ...rest] = wrap(description, context.columns - LIST_COLUMN);
        const head = `${context.colors.bold(id.padEnd(16))} ${String(nodes).padStart(2)} nodes  `;
        context.print(head + first, ...rest.map((line) => ' '.repeat(LIST_COLUMN) + line));
      }
    }
    return EXIT_PASS;
  }
  const shown = findTopology(source, options.nodes);
  const latencies = new Latencies(shown.topology, findProfile(options.profile ?? shown.profile));
  if (options.json) printJson(shown, latencies, context);
  else printText(shown, latencies, context);
  return EXIT_PASS;
};
