import { assert } from '@numalab/base';
import type { WordMemory } from './word-memory.ts';

/** Bytes of a frame of the arena: the unit in which memory is committed. */
const FRAME_BYTES = 64 * 1024;
const FRAME_SHIFT = 16;
const FRAME_WORDS = FRAME_BYTES / 4;

/**
 * A stretch of one node's memory that holds a copy of the kernel's text: every word has beside it the number of the write
 * that put it there (0: the image). Both lie in one cell, word first, so that a line of text is copied with its numbers.
 */
export interface TextRegion {
  readonly base: number;
  readonly bytes: number;
  /** Two entries a word: the word, the write's number. */
  readonly cells: Uint32Array;
}

/** A node's memory as plain data on shared buffers: for reading it elsewhere once its owner has stopped. */
export interface SharedNodeMemory {
  readonly base: number;
  readonly bytes: number;
  readonly arena: Uint32Array;
  readonly directory: Int32Array;
  readonly texts: readonly TextRegion[];
}

/**
 * One node's DRAM: the physical range [base, base + bytes). It is sparse: a directory maps 64 KiB frames to places in one
 * fixed SharedArrayBuffer, which the operating system commits as it is touched. Copies of the kernel's text are kept apart,
 * as cells. Only the owner touches it.
 */
export class NodeMemory implements WordMemory {
  readonly base: number;
  readonly bytes: number;
  /** Number of the write that the next {@link store32} to a text region records. */
  writeNumber = 0;
  private readonly arena: Uint32Array;
  private readonly directory: Int32Array;
  private usedFrames = 0;
  private readonly texts: TextRegion[] = [];

  /** `arenaBytes` bounds what can be committed outside text regions; it is address space, not memory. */
  constructor(base: number, bytes: number, arenaBytes: number, shared?: SharedNodeMemory) {
    this.base = base;
    this.bytes = bytes;
    this.arena =
      shared?.arena ?? new Uint32Array(new SharedArrayBuffer(Math.ceil(arenaBytes / FRAME_BYTES) * FRAME_BYTES));
    this.directory = shared?.directory ?? new Int32Array(new SharedArrayBuffer(4 * Math.ceil(bytes / FRAME_BYTES)));
    if (shared !== undefined) this.texts.push(...shared.texts);
  }

  /** This memory as plain data; see {@link attach}. */
  share(): SharedNodeMemory {
    const { base, bytes, arena, directory, texts } = this;
    return { base, bytes, arena, directory, texts };
  }

  /** The memory that {@link share} described, for reading. */
  static attach(shared: SharedNodeMemory): NodeMemory {
    return new NodeMemory(shared.base, shared.bytes, 0, shared);
  }

  /** Makes [base, base + bytes) a text region whose words are all numbered 0. `words` are its initial contents. */
  addText(base: number, words: Uint32Array): TextRegion {
    assert(this.contains(base) && base % 64 === 0, 'a text region must lie in its node, line-aligned');
    const cells = new Uint32Array(new SharedArrayBuffer(words.length * 8));
    const region = { base, bytes: words.length * 4, cells };
    this.fillText(region, words);
    this.texts.push(region);
    return region;
  }

  /** Sets a region back to `words`, numbered 0. */
  fillText(region: TextRegion, words: Uint32Array): void {
    const { cells } = region;
    for (let i = 0, j = 0; i < words.length; i++, j += 2) {
      cells[j] = words[i]!;
      cells[j + 1] = 0;
    }
  }

  /** Forgets all contents but the text regions', and gives the frames back. */
  reset(): void {
    this.arena.fill(0, 0, this.usedFrames * FRAME_WORDS);
    this.directory.fill(0);
    this.usedFrames = 0;
  }

  contains(pa: number): boolean {
    return pa >= this.base && pa < this.base + this.bytes;
  }

  /** The text region around `pa`, or null. */
  textAt(pa: number): TextRegion | null {
    for (const region of this.texts) if (pa >= region.base && pa < region.base + region.bytes) return region;
    return null;
  }

  load32(pa: number): number {
    const region = this.textAt(pa);
    if (region !== null) return region.cells[((pa - region.base) >>> 2) * 2]!;
    const frame = this.directory[Math.floor((pa - this.base) / FRAME_BYTES)];
    return frame ? this.arena[((frame - 1) << (FRAME_SHIFT - 2)) + ((pa % FRAME_BYTES) >>> 2)]! : 0;
  }

  /** The number of the write that put the word at `pa` there; 0 outside text regions. */
  numberAt(pa: number): number {
    const region = this.textAt(pa);
    return region === null ? 0 : region.cells[((pa - region.base) >>> 2) * 2 + 1]!;
  }

  store32(pa: number, value: number): void {
    const region = this.textAt(pa);
    if (region !== null) {
      const cell = ((pa - region.base) >>> 2) * 2;
      region.cells[cell] = value;
      region.cells[cell + 1] = this.writeNumber;
      return;
    }
    this.arena[this.place(pa)] = value;
  }

  /** Index into the arena of the word at `pa`; commits its frame. */
  private place(pa: number): number {
    assert(this.contains(pa), 'a store outside its node');
    const index = Math.floor((pa - this.base) / FRAME_BYTES);
    let frame = this.directory[index]!;
    if (frame === 0) {
      assert((this.usedFrames + 1) * FRAME_WORDS <= this.arena.length, 'the arena of a node is too small');
      frame = ++this.usedFrames;
      this.directory[index] = frame;
    }
    return ((frame - 1) << (FRAME_SHIFT - 2)) + ((pa % FRAME_BYTES) >>> 2);
  }

  /** Copies the line (64 bytes) at `pa` as 16 words and 16 numbers into `out`, in pairs. */
  readLine(pa: number, out: Uint32Array, at: number): void {
    const region = this.textAt(pa);
    if (region !== null) {
      const cell = ((pa - region.base) >>> 2) * 2;
      const { cells } = region;
      for (let i = 0; i < 32; i++) out[at + i] = cells[cell + i]!;
      return;
    }
    for (let i = 0; i < 16; i++) {
      out[at + 2 * i] = this.load32(pa + 4 * i);
      out[at + 2 * i + 1] = 0;
    }
  }

  /** Bytes committed outside text regions. */
  committedBytes(): number {
    return this.usedFrames * FRAME_BYTES;
  }
}
