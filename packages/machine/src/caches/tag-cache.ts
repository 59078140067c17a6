import { FilledPlaces } from './filled-places.ts';

/** Lines of 64 bytes. */
export const LINE_BYTES = 64;

/** Fills that are remembered, beyond which a reset clears all. */
const REMEMBERED = 4096;

/**
 * A set-associative cache known by its tags alone: it decides how long an access takes, never what it returns. Replacement is
 * round robin within the set.
 */
export class TagCache {
  readonly lines: number;
  private readonly ways: number;
  private readonly setMask: number;
  private readonly tags: Float64Array;
  private readonly next: Uint8Array;
  private readonly filled: FilledPlaces;

  /** `bytes` is rounded down to a power of two of sets. */
  constructor(bytes: number, ways: number) {
    let sets = 1;
    while (sets * 2 * ways * LINE_BYTES <= bytes) sets *= 2;
    this.ways = ways;
    this.lines = sets * ways;
    this.setMask = sets - 1;
    this.tags = new Float64Array(this.lines).fill(-1);
    this.next = new Uint8Array(sets);
    this.filled = new FilledPlaces(Math.min(this.lines, REMEMBERED));
  }

  /** Whether the line at `pa` is present; brings it in if it was not. */
  access(pa: number): boolean {
    const tag = Math.floor(pa / LINE_BYTES);
    const set = (tag & this.setMask) >>> 0;
    const start = set * this.ways;
    for (let i = start; i < start + this.ways; i++) if (this.tags[i] === tag) return true;
    const way = this.next[set]!;
    this.filled.note(start + way);
    this.tags[start + way] = tag;
    this.next[set] = way + 1 === this.ways ? 0 : way + 1;
    return false;
  }

  /** Whether the line at `pa` is present. */
  has(pa: number): boolean {
    const tag = Math.floor(pa / LINE_BYTES);
    const start = ((tag & this.setMask) >>> 0) * this.ways;
    for (let i = start; i < start + this.ways; i++) if (this.tags[i] === tag) return true;
    return false;
  }

  /** Removes the line at `pa`. */
  invalidate(pa: number): void {
    const tag = Math.floor(pa / LINE_BYTES);
    const start = ((tag & this.setMask) >>> 0) * this.ways;
    for (let i = start; i < start + this.ways; i++) if (this.tags[i] === tag) this.tags[i] = -1;
  }

  /** Empties the cache as at power-on. The replacement pointers, too, must not remember what was. */
  reset(): void {
    this.filled.restore(this.tags, -1);
    this.filled.restore(this.next, 0, this.ways);
    this.filled.forget();
  }
}
