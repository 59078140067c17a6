import { assert } from '@numalab/base';
import type { SharedNodeMemory } from '@numalab/machine';
import { imageWords, layOut, type MachineSpec, type NodeReport } from '@numalab/node-worker';
import type { ThreadReport } from '../thread-task.ts';

/**
 * What a run left on a thread, for another process of the operating system: a node's memory is address space of which little
 * is used, so only that goes over, and of a copy of the text what differs from the image, which the receiver has.
 */

interface PackedText {
  readonly base: number;
  readonly bytes: number;
  /** Cells that differ from the image: word indices, and word and number of each. */
  readonly at: Int32Array;
  readonly cells: Uint32Array;
}

export interface PackedMemory {
  readonly base: number;
  readonly bytes: number;
  readonly arenaWords: number;
  /** The arena up to the last word that is not 0. */
  readonly arena: Uint32Array;
  readonly directoryLength: number;
  /** Entries that are not 0: places and values. */
  readonly at: Int32Array;
  readonly frames: Int32Array;
  readonly text: PackedText | null;
}

type PackedNode = Omit<NodeReport, 'memory'> & { readonly memory: PackedMemory };

/** A {@link ThreadReport} without shared memory. */
export type PackedReport = Omit<ThreadReport, 'nodes'> & { readonly nodes: readonly PackedNode[] };

/** Words of a frame of the arena: the directory numbers frames from 1. */
const FRAME_WORDS = 2 ** 14;

const packText = (text: NonNullable<SharedNodeMemory['text']>, image: Uint32Array): PackedText => {
  const { base, bytes, cells } = text;
  assert(cells.length === 2 * image.length, 'a copy of the text is as long as the image');
  const at: number[] = [];
  for (let i = 0; i < image.length; i++) if (cells[2 * i] !== image[i] || cells[2 * i + 1] !== 0) at.push(i);
  const changed = new Uint32Array(2 * at.length);
  for (const [place, i] of at.entries()) changed.set(cells.subarray(2 * i, 2 * i + 2), 2 * place);
  return { base, bytes, at: Int32Array.from(at), cells: changed };
};

export const packMemory = (memory: SharedNodeMemory, image: Uint32Array): PackedMemory => {
  const { base, bytes, arena, directory, text } = memory;
  const at: number[] = [];
  let used = 0;
  for (let i = 0; i < directory.length; i++) {
    if (directory[i] === 0) continue;
    at.push(i);
    used = Math.max(used, directory[i]!);
  }
  return {
    base,
    bytes,
    arenaWords: arena.length,
    arena: arena.slice(0, used * FRAME_WORDS),
    directoryLength: directory.length,
    at: Int32Array.from(at),
    frames: Int32Array.from(at, (i) => directory[i]!),
    text: text === null ? null : packText(text, image),
  };
};

export const unpackMemory = (packed: PackedMemory, image: Uint32Array): SharedNodeMemory => {
  const { base, bytes, text } = packed;
  // Address space again: what is not written is not committed.
  const arena = new Uint32Array(new SharedArrayBuffer(4 * packed.arenaWords));
  arena.set(packed.arena);
  const directory = new Int32Array(new SharedArrayBuffer(4 * packed.directoryLength));
  for (const [place, i] of packed.at.entries()) directory[i] = packed.frames[place]!;
  if (text === null) return { base, bytes, arena, directory, text, changes: null };
  const cells = new Uint32Array(new SharedArrayBuffer(8 * image.length));
  for (let i = 0; i < image.length; i++) cells[2 * i] = image[i]!;
  for (const [place, i] of text.at.entries()) cells.set(text.cells.subarray(2 * place, 2 * place + 2), 2 * i);
  return { base, bytes, arena, directory, text: { base: text.base, bytes: text.bytes, cells }, changes: null };
};

export const packReport = (spec: MachineSpec, report: ThreadReport): PackedReport => {
  const image = imageWords(spec, layOut(spec));
  const nodes = report.nodes.map((node) => ({ ...node, memory: packMemory(node.memory, image) }));
  return { ...report, nodes };
};

/** What {@link packReport} packed; `spec` is the same. */
export const unpackReport = (spec: MachineSpec, packed: PackedReport): ThreadReport => {
  const image = imageWords(spec, layOut(spec));
  const nodes = packed.nodes.map((node) => ({ ...node, memory: unpackMemory(node.memory, image) }));
  return { ...packed, nodes };
};
