import { InputError } from '@numalab/base';
import { type Topology, topologyFromMatrix } from './topology.ts';

/** What `numactl --hardware` said. */
export interface NumactlHardware {
  readonly topology: Topology;
  /** The operating system's number of each node; they need not be 0, 1, 2 … */
  readonly nodeIds: readonly number[];
  /** Indices (into nodeIds) of nodes listed with memory but no CPU. numalab gives them cores all the same. */
  readonly cpulessNodes: readonly number[];
}

const numbers = (text: string): number[] => (text.trim() === '' ? [] : text.trim().split(/\s+/).map(Number));

const HEADER = /^\s*node((?:\s+\d+)+)\s*$/;
const ROW = /^\s*(\d+)\s*:(.*)$/;
const CPUS = /^\s*node\s+(\d+)\s+cpus:(.*)$/;

/** Index of the line that numbers the columns: the first such line after `node distances:`, or the first of all. */
const findHeader = (lines: readonly string[], where: string): number => {
  const title = lines.findIndex((line) => /^\s*node distances:/i.test(line));
  const header = lines.findIndex((line, index) => index > title && HEADER.test(line));
  if (header < 0) throw new InputError(where, 'node distances: no table of distances follows');
  return header;
};

/**
 * Parses the output of `numactl --hardware` (or its table of distances alone). Rows may come in any order and node numbers
 * may have gaps. Throws InputError with `where` and the line.
 */
export const parseNumactlHardware = (text: string, name: string, where: string = name): NumactlHardware => {
  const lines = text.split(/\r?\n/);
  const header = findHeader(lines, where);
  const nodeIds = numbers(HEADER.exec(lines[header]!)![1]!);
  if (new Set(nodeIds).size !== nodeIds.length)
    throw new InputError(`${where}:${header + 1}`, 'a node is listed twice');
  const rows = new Map<number, number[]>();
  for (let index = header + 1; index < lines.length; index++) {
    const match = ROW.exec(lines[index]!);
    if (match === null) {
      if (lines[index]!.trim() === '') continue;
      break;
    }
    const id = Number(match[1]);
    const at = `${where}:${index + 1}`;
    if (!nodeIds.includes(id)) throw new InputError(at, `node distances: node ${id} is not in the header`);
    if (rows.has(id)) throw new InputError(at, `node distances: node ${id} has two rows`);
    const entries = numbers(match[2]!);
    if (entries.length !== nodeIds.length) {
      throw new InputError(at, `node distances: row ${id} has ${entries.length} entries for ${nodeIds.length} nodes`);
    }
    rows.set(id, entries);
  }
  const matrix = nodeIds.map((id) => {
    const row = rows.get(id);
    if (row === undefined) throw new InputError(where, `node distances: node ${id} has no row`);
    return row;
  });
  const cpuless = new Set<number>();
  for (const line of lines) {
    const match = CPUS.exec(line);
    if (match !== null && match[2]!.trim() === '') cpuless.add(Number(match[1]));
  }
  return {
    topology: topologyFromMatrix(matrix, name, `${where}: node distances`, 'numactl --hardware'),
    nodeIds,
    cpulessNodes: nodeIds.flatMap((id, index) => (cpuless.has(id) ? [index] : [])),
  };
};
