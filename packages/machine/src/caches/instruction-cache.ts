import { FilledPlaces } from './filled-places.ts';
import { LINE_BYTES } from './tag-cache.ts';

/** Words of contents a line takes: 16 words, each followed by the number of the write it came from. */
export const LINE_CELLS = 32;

/**
 * The L1 instruction cache of one core, with contents, tagged by physical address. Nothing but maintenance and replacement
 * ever changes a line: that is what makes a forgotten IC IVAU visible as a stale fetch.
 */
export class InstructionCache {
  /** Contents of all lines, {@link LINE_CELLS} entries each. */
  readonly cells: Uint32Array;
  private readonly ways: number;
  private readonly setMask: number;
  private readonly tags: Float64Array;
  private readonly next: Uint8Array;
  private readonly filled: FilledPlaces;

  constructor(bytes: number, ways: number) {
    let sets = 1;
    while (sets * 2 * ways * LINE_BYTES <= bytes) sets *= 2;
    this.ways = ways;
    this.setMask = sets - 1;
    this.tags = new Float64Array(sets * ways).fill(-1);
    this.next = new Uint8Array(sets);
    this.filled = new FilledPlaces(sets * ways);
    this.cells = new Uint32Array(sets * ways * LINE_CELLS);
  }

  /** Index of the line of `pa`, or -1. */
  lookup(pa: number): number {
    const tag = Math.floor(pa / LINE_BYTES);
    const start = ((tag & this.setMask) >>> 0) * this.ways;
    for (let i = start; i < start + this.ways; i++) if (this.tags[i] === tag) return i;
    return -1;
  }

  /** Takes a line for `pa`, evicting another, and returns its index; the caller fills `cells` from index × LINE_CELLS on. */
  allocate(pa: number): number {
    const tag = Math.floor(pa / LINE_BYTES);
    const set = (tag & this.setMask) >>> 0;
    const way = this.next[set]!;
    const index = set * this.ways + way;
    this.filled.note(index);
    this.tags[index] = tag;
    this.next[set] = way + 1 === this.ways ? 0 : way + 1;
    return index;
  }

  /** IC IVAU that reached this PA: drops the line if it is here. */
  invalidate(pa: number): void {
    const index = this.lookup(pa);
    if (index >= 0) this.tags[index] = -1;
  }

  /** IC IALLU. */
  invalidateAll(): void {
    this.filled.restore(this.tags, -1);
  }

  /** PA of line `index`, or -1 if it is empty. */
  linePa(index: number): number {
    const tag = this.tags[index]!;
    return tag < 0 ? -1 : tag * LINE_BYTES;
  }

  /** Number of lines. */
  get lineCount(): number {
    return this.tags.length;
  }

  /** Empties the cache as at power-on. */
  reset(): void {
    this.invalidateAll();
    this.filled.restore(this.next, 0, this.ways);
    this.filled.forget();
  }
}
