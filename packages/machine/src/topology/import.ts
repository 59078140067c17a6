import { InputError } from '@numalab/base';
import { parseNumactlHardware } from './numactl.ts';
import { looksLikeSlit, parseSlit } from './slit.ts';
import { LARGEST_DISTANCE, type Topology, topologyFromMatrix } from './topology.ts';

/** A topology read from a file, and what the reader should be told about it. */
export interface ImportedTopology {
  readonly topology: Topology;
  readonly format: 'slit' | 'numactl' | 'matrix';
  readonly notes: readonly string[];
}

const unreachableNotes = ({ distances }: Topology): string[] =>
  distances.some((row) => row.includes(LARGEST_DISTANCE))
    ? ['a distance of 255 means to firmware that there is no path; numalab takes it for the longest one']
    : [];

/** The text of `bytes`, or undefined if they contain anything but printable ASCII and white space. */
const plainText = (bytes: Uint8Array): string | undefined => {
  let text = '';
  for (let start = 0; start < bytes.length; start += 4096) {
    const piece = bytes.subarray(start, start + 4096);
    if (!piece.every((byte) => byte === 9 || byte === 10 || byte === 13 || (byte >= 32 && byte < 127)))
      return undefined;
    text += String.fromCharCode(...piece);
  }
  return text;
};

/** Rows end with a line, a semicolon or a bracket, so that a matrix may stand on one line as it does in a scenario. */
const parseMatrixText = (text: string, where: string): number[][] => {
  const rows: number[][] = [];
  let last = 0;
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    for (const part of line.replace(/#.*/, '').split(/[;\]]/)) {
      const content = part.replace(/[[,]/g, ' ').replace(/^\s*-/, ' ').trim();
      if (content === '') continue;
      last = index + 1;
      rows.push(
        content.split(/\s+/).map((token) => {
          if (!/^\d+$/.test(token)) throw new InputError(`${where}:${last}`, `distances: ${token} is not a number`);
          return Number(token);
        }),
      );
    }
  }
  if (rows.length === 0) throw new InputError(where, 'distances: the file holds no matrix');
  const [only] = rows;
  if (rows.length === 1 && only!.length > 1) {
    throw new InputError(
      `${where}:${last}`,
      `distances: one row of ${only!.length} numbers is no matrix; each row stands on a line of its own or in brackets, as in [[10, 20], [20, 10]]`,
    );
  }
  return rows;
};

const numactlNotes = (nodeIds: readonly number[], cpuless: readonly number[]): string[] => {
  const notes: string[] = [];
  if (nodeIds.some((id, index) => id !== index))
    notes.push(`nodes renumbered: ${nodeIds.join(' ')} became 0 to ${nodeIds.length - 1}`);
  if (cpuless.length > 0) notes.push(`nodes without CPUs: ${cpuless.join(' ')}; numalab gives them cores all the same`);
  return notes;
};

/**
 * Reads distances in any of the formats known: a raw ACPI SLIT table, the output of `numactl --hardware`, or a plain matrix
 * (one row a line; brackets, commas and # comments are allowed). Throws InputError naming `where` and the field.
 */
export const importTopology = (bytes: Uint8Array, name: string, where: string = name): ImportedTopology => {
  if (looksLikeSlit(bytes)) {
    const topology = parseSlit(bytes, name, where);
    return { topology, format: 'slit', notes: unreachableNotes(topology) };
  }
  const text = plainText(bytes);
  if (text === undefined) {
    throw new InputError(where, 'signature: neither a SLIT table nor the text of numactl --hardware nor a matrix');
  }
  if (/^\s*(available:|node\b|No distance)/im.test(text)) {
    const { topology, nodeIds, cpulessNodes } = parseNumactlHardware(text, name, where);
    return {
      topology,
      format: 'numactl',
      notes: [...numactlNotes(nodeIds, cpulessNodes), ...unreachableNotes(topology)],
    };
  }
  const topology = topologyFromMatrix(parseMatrixText(text, where), name, `${where}: distances`);
  return { topology, format: 'matrix', notes: unreachableNotes(topology) };
};
