import { InputError } from '@numalab/base';
import { parseNumactlHardware } from './numactl.ts';
import { looksLikeSlit, parseSlit } from './slit.ts';
import { type Topology, topologyFromMatrix } from './topology.ts';

/** A topology read from a file, and what the reader should be told about it. */
export interface ImportedTopology {
  readonly topology: Topology;
  readonly format: 'slit' | 'numactl' | 'matrix';
  readonly notes: readonly string[];
}

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

const parseMatrixText = (text: string, where: string): number[][] => {
  const rows: number[][] = [];
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    const content = line
      .replace(/#.*/, '')
      .replace(/[[\],;]/g, ' ')
      .replace(/^\s*-/, ' ')
      .trim();
    if (content === '') continue;
    rows.push(
      content.split(/\s+/).map((token) => {
        if (!/^\d+$/.test(token)) throw new InputError(`${where}:${index + 1}`, `distances: ${token} is not a number`);
        return Number(token);
      }),
    );
  }
  if (rows.length === 0) throw new InputError(where, 'distances: the file holds no matrix');
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
  if (looksLikeSlit(bytes)) return { topology: parseSlit(bytes, name, where), format: 'slit', notes: [] };
  const text = plainText(bytes);
  if (text === undefined) {
    throw new InputError(where, 'signature: neither a SLIT table nor the text of numactl --hardware nor a matrix');
  }
  if (/^\s*(available:|node\b|No distance)/im.test(text)) {
    const { topology, nodeIds, cpulessNodes } = parseNumactlHardware(text, name, where);
    return { topology, format: 'numactl', notes: numactlNotes(nodeIds, cpulessNodes) };
  }
  const topology = topologyFromMatrix(parseMatrixText(text, where), name, `${where}: distances`);
  return { topology, format: 'matrix', notes: [] };
};
