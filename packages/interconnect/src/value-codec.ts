import { assert } from '@numalab/base';
import { Packr } from 'msgpackr';

/**
 * Plain data as words of 64 bits: null, undefined, booleans, numbers, arrays, Uint32Array and objects with few keys have a
 * form of their own; whatever else there is (text, maps, big integers) is packed by msgpackr. Numbers keep every bit. An
 * object's keys are written once per stream, as a shape: so a writer's words are only understood by the one reader that
 * has read all words before them.
 */

const NULL = 0;
const UNDEFINED = 1;
const FALSE = 2;
const TRUE = 3;
const NUMBER = 4;
const NUMBERS = 5;
const WORDS = 6;
const ARRAY = 7;
const OBJECT = 8;
const SHAPE = 9;
const PACKED = 10;

/** Objects with more keys, more shapes than this, and what is nested deeper are packed. */
const MAX_KEYS = 32;
const MAX_SHAPES = 1024;
const MAX_DEPTH = 16;

const newPackr = (): Packr => new Packr({ structuredClone: true, useBigIntExtension: true });

const isPlain = (value: object): value is Record<string, unknown> => {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
};

const haveSameKeys = (x: readonly string[], y: readonly string[]): boolean => {
  if (x.length !== y.length) return false;
  for (let i = 0; i < x.length; i++) if (x[i] !== y[i]) return false;
  return true;
};

/** Words of one stream, in memory that grows. */
export class ValueWriter {
  /** What was written is the first {@link length} of these. Moves when it grows. */
  words: Float64Array;
  length = 0;
  private halves: Uint32Array;
  private bytes: Uint8Array;
  private readonly packr: Packr = newPackr();
  /** Shapes by first key: few objects share theirs. */
  private readonly shapes = new Map<string, { readonly keys: readonly string[]; readonly id: number }[]>();
  private shapeCount = 0;

  constructor(capacity = 1024) {
    this.words = new Float64Array(capacity);
    this.halves = new Uint32Array(this.words.buffer);
    this.bytes = new Uint8Array(this.words.buffer);
  }

  /** Forgets the words, not the shapes: the reader has both. */
  clear(): void {
    this.length = 0;
  }

  /** Makes room for `count` words more. */
  reserve(count: number): void {
    const needed = this.length + count;
    if (needed <= this.words.length) return;
    const old = this.words;
    this.words = new Float64Array(Math.max(needed, 2 * old.length));
    this.words.set(old.subarray(0, this.length));
    this.halves = new Uint32Array(this.words.buffer);
    this.bytes = new Uint8Array(this.words.buffer);
  }

  word(value: number): void {
    if (this.length === this.words.length) this.reserve(1);
    this.words[this.length++] = value;
  }

  /** Writes plain data: what a structured clone would carry over, and no more. */
  value(value: unknown, depth = 0): void {
    if (value === null) this.word(NULL);
    else if (typeof value === 'number') this.number(value);
    else if (value === undefined) this.word(UNDEFINED);
    else if (typeof value === 'boolean') this.word(value ? TRUE : FALSE);
    else if (typeof value !== 'object' || depth === MAX_DEPTH) this.packed(value);
    else if (Array.isArray(value)) this.array(value, depth);
    else if (value instanceof Uint32Array) this.halfWords(value);
    else if (!isPlain(value) || !this.object(value, depth)) this.packed(value);
  }

  private number(value: number): void {
    this.reserve(2);
    this.words[this.length++] = NUMBER;
    this.words[this.length++] = value;
  }

  private array(values: readonly unknown[], depth: number): void {
    const count = values.length;
    this.reserve(count + 2);
    const { words } = this;
    const start = this.length;
    let at = start + 2;
    for (let i = 0; i < count; i++) {
      const value = values[i];
      if (typeof value !== 'number') {
        this.mixedArray(values, depth);
        return;
      }
      words[at++] = value;
    }
    words[start] = NUMBERS;
    words[start + 1] = count;
    this.length = at;
  }

  private mixedArray(values: readonly unknown[], depth: number): void {
    this.word(ARRAY);
    this.word(values.length);
    for (const value of values) this.value(value, depth + 1);
  }

  private halfWords(values: Uint32Array): void {
    const count = values.length;
    this.reserve(2 + ((count + 1) >> 1));
    this.words[this.length++] = WORDS;
    this.words[this.length++] = count;
    this.halves.set(values, this.length * 2);
    this.length += (count + 1) >> 1;
  }

  /** False if the object must be packed. */
  private object(value: Record<string, unknown>, depth: number): boolean {
    const keys = Object.keys(value);
    if (keys.length > MAX_KEYS) return false;
    const shape = this.shapeOf(keys);
    if (shape < 0) return false;
    if (shape < this.shapeCount) {
      this.word(OBJECT);
      this.word(shape);
    } else {
      this.shapeCount++;
      this.word(SHAPE);
      this.packed(keys);
    }
    for (let i = 0; i < keys.length; i++) this.value(value[keys[i]!], depth + 1);
    return true;
  }

  /** Number of the shape with these keys; the next free number if it is new; -1 if there can be no such shape. */
  private shapeOf(keys: readonly string[]): number {
    const first = keys.length === 0 ? '' : keys[0]!;
    const candidates = this.shapes.get(first);
    if (candidates !== undefined) {
      for (const candidate of candidates) if (haveSameKeys(candidate.keys, keys)) return candidate.id;
    }
    if (this.shapeCount === MAX_SHAPES || keys.includes('__proto__')) return -1;
    const shape = { keys, id: this.shapeCount };
    if (candidates === undefined) this.shapes.set(first, [shape]);
    else candidates.push(shape);
    return shape.id;
  }

  private packed(value: unknown): void {
    const packed = this.packr.pack(value);
    const count = (packed.length + 7) >> 3;
    this.reserve(2 + count);
    this.words[this.length++] = PACKED;
    this.words[this.length++] = packed.length;
    this.bytes.set(packed, this.length * 8);
    this.length += count;
  }
}

/** Reads what one {@link ValueWriter} wrote, in order. The memory may be shared; what is read is copied out of it. */
export class ValueReader {
  private words: Float64Array = new Float64Array(0);
  private halves: Uint32Array = new Uint32Array(0);
  private bytes: Uint8Array = new Uint8Array(0);
  private at = 0;
  private end = 0;
  private readonly packr: Packr = newPackr();
  private readonly shapes: (readonly string[])[] = [];

  /** The words to read next: `count` of them from `start`. The ones before must have been read to their end. */
  open(words: Float64Array, start: number, count: number): void {
    if (words !== this.words) {
      const { buffer, byteOffset, byteLength } = words;
      this.words = words;
      this.halves = new Uint32Array(buffer, byteOffset, byteLength / 4);
      this.bytes = new Uint8Array(buffer, byteOffset, byteLength);
    }
    this.at = start;
    this.end = start + count;
  }

  get atEnd(): boolean {
    return this.at >= this.end;
  }

  word(): number {
    return this.words[this.at++]!;
  }

  value(): unknown {
    const tag = this.words[this.at++]!;
    switch (tag) {
      case NULL:
        return null;
      case UNDEFINED:
        return undefined;
      case FALSE:
        return false;
      case TRUE:
        return true;
      case NUMBER:
        return this.words[this.at++]!;
      case NUMBERS:
        return this.numbers();
      case WORDS:
        return this.halfWords();
      case ARRAY:
        return Array.from({ length: this.word() }, () => this.value());
      case OBJECT:
        return this.object(this.shapes[this.word()]!);
      case SHAPE: {
        const keys = this.value() as readonly string[];
        this.shapes.push(keys);
        return this.object(keys);
      }
      case PACKED:
        return this.packed();
      default:
        return assert(false, `no value begins with the word ${tag}`);
    }
  }

  private numbers(): number[] {
    const count = this.word();
    const values: number[] = [];
    const { words } = this;
    for (let i = 0; i < count; i++) values.push(words[this.at++]!);
    return values;
  }

  private halfWords(): Uint32Array {
    const count = this.word();
    const start = this.at * 2;
    this.at += (count + 1) >> 1;
    return this.halves.slice(start, start + count);
  }

  private object(keys: readonly string[]): Record<string, unknown> {
    const object: Record<string, unknown> = {};
    for (let i = 0; i < keys.length; i++) object[keys[i]!] = this.value();
    return object;
  }

  private packed(): unknown {
    const count = this.word();
    const start = this.at * 8;
    this.at += (count + 7) >> 3;
    return this.packr.unpack(this.bytes.slice(start, start + count));
  }
}
