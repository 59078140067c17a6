import { alignUp, assert } from '@numalab/base';

/** A symbol of the generated kernel. */
export interface BuiltSymbol {
  readonly offset: number;
  readonly type: string;
  readonly name: string;
}

/** Bytes of a kernel under construction, written front to back, with its symbols. Offsets are from `_text`. */
export class ImageBuilder {
  readonly bytes: Uint8Array;
  readonly words: Uint32Array;
  readonly symbols: BuiltSymbol[] = [];
  /** Where the next word goes. */
  at = 0;

  constructor(sizeBytes: number) {
    this.words = new Uint32Array(sizeBytes / 4);
    this.bytes = new Uint8Array(this.words.buffer);
  }

  /** Appends words. */
  emit(...words: number[]): void {
    for (const word of words) {
      this.words[this.at / 4] = word;
      this.at += 4;
    }
  }

  /** Appends bytes; the place may then be unaligned. */
  emitBytes(bytes: ArrayLike<number>): void {
    this.bytes.set(bytes, this.at);
    this.at += bytes.length;
  }

  /** Appends a NUL-terminated ASCII string. */
  emitString(text: string): void {
    this.emitBytes(Array.from(`${text}\0`, (char) => char.charCodeAt(0)));
  }

  /** Moves on to a multiple of `bytes`, filling with `word` (zero leaves the bytes as they are). */
  align(bytes: number, word = 0): void {
    this.moveTo(alignUp(this.at, bytes), word);
  }

  /** Moves on to `offset`, filling with `word`. Asserts that this is no step back: a part has outgrown its place. */
  moveTo(offset: number, word = 0): void {
    assert(offset >= this.at, `builtin kernel: a part ends at ${this.at}, behind its place ${offset}`);
    if (word !== 0) this.words.fill(word, this.at / 4, offset / 4);
    this.at = offset;
  }

  /** Names the current place, or `offset`. */
  symbol(name: string, type: string, offset: number = this.at): void {
    this.symbols.push({ offset, type, name });
  }

  /** Stores one word somewhere else. */
  patch(offset: number, word: number): void {
    this.words[offset / 4] = word;
  }
}
