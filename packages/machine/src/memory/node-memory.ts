import { assert } from '@numalab/base';
import type { WordMemory } from './word-memory.ts';

/** Bytes of a frame of the arena: the unit in which memory is committed. */
const FRAME_BYTES = 64 * 1024;
const FRAME_SHIFT = 16;
/** Of the low bits of an address, which `&` takes exactly whatever its size. Bases are multiples of a frame. */
const FRAME_MASK = FRAME_BYTES - 1;
const FRAME_WORDS = FRAME_BYTES / 4;

/** Images as cells, numbered 0: every node of a machine is filled from the same words. */
const templates = new WeakMap<Uint32Array, Uint32Array>();

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
  readonly text: TextRegion | null;
  /** What {@link NodeMemory.changes} says. */
  readonly changes: readonly number[] | null;
}

/** What a rollback needs. */
class UndoLog {
  readonly words: Uint32Array;
  readonly usedFrames: number;
  /** Places in the arena and what they held, in order. */
  readonly places: number[] = [];
  readonly olds: number[] = [];
  /** Entries of the directory that were made. */
  readonly frames: number[] = [];
  /** Cells of text that were stored to since the checkpoint. */
  readonly cells: number[] = [];
  /** Cells of text that are not among those may differ from `words`, too. */
  scrambled = false;

  constructor(words: Uint32Array, usedFrames: number) {
    this.words = words;
    this.usedFrames = usedFrames;
  }

  clear(): void {
    this.places.length = 0;
    this.olds.length = 0;
    this.frames.length = 0;
    this.cells.length = 0;
    this.scrambled = false;
  }
}

const ascending = (x: number, y: number): number => x - y;

/** Ascending indices of the words of text that were stored to. */
const wordsOf = ({ cells }: UndoLog): number[] => {
  const words: number[] = [];
  let last = -1;
  for (const cell of cells.slice().sort(ascending)) {
    if (cell >> 1 === last) continue;
    last = cell >> 1;
    words.push(last);
  }
  return words;
};

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
  private text: TextRegion | null = null;
  /** The text region that {@link loseText} has put aside, and the zeros that stand for it, with what was stored to them. */
  private lost: TextRegion | null = null;
  private dark: Uint32Array | null = null;
  /** What was overwritten since {@link checkpoint}; null: nobody wants it back. */
  private undo: UndoLog | null = null;

  /** `arenaBytes` bounds what can be committed outside text regions; it is address space, not memory. */
  constructor(base: number, bytes: number, arenaBytes: number, shared?: SharedNodeMemory) {
    this.base = base;
    this.bytes = bytes;
    this.arena =
      shared?.arena ?? new Uint32Array(new SharedArrayBuffer(Math.ceil(arenaBytes / FRAME_BYTES) * FRAME_BYTES));
    this.directory = shared?.directory ?? new Int32Array(new SharedArrayBuffer(4 * Math.ceil(bytes / FRAME_BYTES)));
    this.text = shared?.text ?? null;
  }

  /** This memory as plain data; see {@link attach}. */
  share(): SharedNodeMemory {
    const { base, bytes, arena, directory, text } = this;
    return { base, bytes, arena, directory, text, changes: this.changes() };
  }

  /** The memory that {@link share} described, for reading. */
  static attach(shared: SharedNodeMemory): NodeMemory {
    return new NodeMemory(shared.base, shared.bytes, 0, shared);
  }

  /** This, attached, is the owner's from now on, who is gone: what was committed stays, and pages [pa, pa + bytes) are zero. */
  takeOver(pa: number, bytes: number): void {
    for (const frame of this.directory) this.usedFrames = Math.max(this.usedFrames, frame);
    for (let at = pa; at < pa + bytes; at += FRAME_BYTES - (at % FRAME_BYTES)) {
      this.view(at, Math.min(FRAME_BYTES - (at % FRAME_BYTES), pa + bytes - at))?.fill(0);
    }
  }

  /**
   * Makes [base, base + 4 × words.length) the node's text region, its words all numbered 0. A node has one at most: the
   * primary or a replica. Not `filled`, it is address space for what is elsewhere.
   */
  addText(base: number, words: Uint32Array, filled = true): TextRegion {
    assert(this.text === null && this.contains(base) && base % 64 === 0, 'one text region, in its node, line-aligned');
    const cells = new Uint32Array(new SharedArrayBuffer(words.length * 8));
    const region = { base, bytes: words.length * 4, cells };
    if (filled) this.fillText(region, words);
    this.text = region;
    return region;
  }

  /** Sets a region back to `words`, numbered 0. */
  fillText(region: TextRegion, words: Uint32Array): void {
    let template = templates.get(words);
    if (template === undefined) {
      template = new Uint32Array(words.length * 2);
      for (let i = 0; i < words.length; i++) template[2 * i] = words[i]!;
      templates.set(words, template);
    }
    region.cells.set(template);
    if (this.undo !== null) this.undo.scrambled = words !== this.undo.words;
  }

  /** The text region is zero: its node was without power. */
  loseText(): void {
    const { text, undo } = this;
    if (text === null) return;
    if (undo === null) text.cells.fill(0);
    else if (this.lost !== null) for (const cell of undo.cells) text.cells.fill(0, cell, cell + 2);
    else {
      // Zeros that lie ready take its place: megabytes of them would cost as much as the whole rest of a short run.
      this.dark ??= new Uint32Array(new SharedArrayBuffer(text.cells.byteLength));
      this.lost = text;
      this.text = { ...text, cells: this.dark };
    }
    if (undo !== null) undo.scrambled = true;
  }

  /** The text region is the image again, after {@link loseText}. */
  reloadText(words: Uint32Array): void {
    const { text, lost, undo } = this;
    assert(text !== null, 'a text region to load the image into');
    if (lost === null || undo === null) {
      this.fillText(text, words);
      return;
    }
    assert(words === undo.words, 'the image that the region held at the checkpoint');
    for (const cell of undo.cells) {
      text.cells.fill(0, cell, cell + 2);
      lost.cells[cell] = words[cell >> 1]!;
      lost.cells[cell + 1] = 0;
    }
    this.text = lost;
    this.lost = null;
    undo.scrambled = false;
  }

  /** Flips one bit of the `index`-th word of the text region, and keeps the word's number. */
  flipTextBit(index: number, bit: number): void {
    const { text, undo } = this;
    assert(text !== null, 'a text region to flip a bit of');
    text.cells[2 * index] = (text.cells[2 * index]! ^ (1 << bit)) >>> 0;
    undo?.cells.push(2 * index);
  }

  /** From here on what stores overwrite is kept, for {@link rollback}. `words` is the image that the text region holds. */
  checkpoint(words: Uint32Array): void {
    assert(this.undo === null, 'one checkpoint');
    this.undo = new UndoLog(words, this.usedFrames);
  }

  /** Back to the checkpoint, at the cost of what was stored since. */
  rollback(): void {
    const { undo, text } = this;
    assert(undo !== null, 'a checkpoint to go back to');
    for (let i = undo.places.length - 1; i >= 0; i--) this.arena[undo.places[i]!] = undo.olds[i]!;
    for (const frame of undo.frames) this.directory[frame] = 0;
    this.usedFrames = undo.usedFrames;
    if (text !== null) {
      if (undo.scrambled) this.reloadText(undo.words);
      else {
        for (const cell of undo.cells) {
          text.cells[cell] = undo.words[cell >> 1]!;
          text.cells[cell + 1] = 0;
        }
      }
    }
    undo.clear();
    this.writeNumber = 0;
  }

  /**
   * What differs from the checkpoint outside the text region: numbers that are the same for the same memory. Null: there is no
   * checkpoint.
   */
  changes(): readonly number[] | null {
    const { undo, arena } = this;
    if (undo === null) return null;
    const before = new Map<number, number>();
    for (let i = undo.places.length - 1; i >= 0; i--) before.set(undo.places[i]!, undo.olds[i]!);
    const changes = [...undo.frames, -1];
    for (const place of [...before.keys()].sort(ascending)) {
      if (arena[place] !== before.get(place)) changes.push(place, arena[place]!);
    }
    return changes;
  }

  /**
   * Ascending indices of the words of the text region that may differ from the image since the checkpoint; null if all may,
   * or if there is no checkpoint.
   */
  changedText(): readonly number[] | null {
    if (this.undo === null || this.undo.scrambled) return null;
    return wordsOf(this.undo);
  }

  /**
   * Ascending indices of the words of the text region that a numbered write put there. Whatever fills the region numbers its
   * words 0, so that since a checkpoint only stores can have made any.
   */
  writtenText(): readonly number[] {
    const { text, undo } = this;
    if (text === null) return [];
    const { cells } = text;
    if (undo !== null) return wordsOf(undo).filter((i) => cells[2 * i + 1] !== 0);
    const written: number[] = [];
    for (let i = 0; 2 * i < cells.length; i++) if (cells[2 * i + 1] !== 0) written.push(i);
    return written;
  }

  contains(pa: number): boolean {
    return pa >= this.base && pa < this.base + this.bytes;
  }

  /** The text region around `pa`, or null. */
  textAt(pa: number): TextRegion | null {
    const { text } = this;
    return text !== null && pa >= text.base && pa < text.base + text.bytes ? text : null;
  }

  load32(pa: number): number {
    const region = this.textAt(pa);
    if (region !== null) return region.cells[((pa - region.base) >>> 2) * 2]!;
    const frame = this.directory[Math.floor((pa - this.base) / FRAME_BYTES)];
    return frame ? this.arena[((frame - 1) << (FRAME_SHIFT - 2)) + ((pa & FRAME_MASK) >>> 2)]! : 0;
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
      if (this.undo !== null) this.undo.cells.push(cell);
      return;
    }
    const place = this.place(pa);
    if (this.undo !== null) {
      this.undo.places.push(place);
      this.undo.olds.push(this.arena[place]!);
    }
    this.arena[place] = value;
  }

  view(pa: number, bytes: number): Uint32Array | null {
    if (!this.contains(pa) || (pa & FRAME_MASK) + bytes > FRAME_BYTES || this.textAt(pa) !== null) return null;
    const frame = this.directory[Math.floor((pa - this.base) / FRAME_BYTES)]!;
    if (frame === 0) return null;
    const start = ((frame - 1) << (FRAME_SHIFT - 2)) + ((pa & FRAME_MASK) >>> 2);
    return this.arena.subarray(start, start + (bytes >>> 2));
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
      this.undo?.frames.push(index);
    }
    return ((frame - 1) << (FRAME_SHIFT - 2)) + ((pa & FRAME_MASK) >>> 2);
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

  /** Stores a line of text, 16 words and 16 numbers in pairs. What stands there already is not stored again. */
  writeLine(pa: number, line: Uint32Array): void {
    const region = this.textAt(pa);
    assert(region !== null, 'a line of text');
    const { cells } = region;
    const first = ((pa - region.base) >>> 2) * 2;
    for (let i = 0; i < 32; i += 2) {
      const cell = first + i;
      if (cells[cell] === line[i] && cells[cell + 1] === line[i + 1]) continue;
      cells[cell] = line[i]!;
      cells[cell + 1] = line[i + 1]!;
      this.undo?.cells.push(cell);
    }
  }

  /** Bytes committed outside text regions. */
  committedBytes(): number {
    return this.usedFrames * FRAME_BYTES;
  }
}
