/** Lines of 64 bytes. */
export const LINE_BYTES = 64;

/** 2^46 lines of 64 bytes cover 52 bits of address; above them a tag holds the epoch in which it was written. */
const EPOCH_STRIDE = 2 ** 46;
const EPOCHS = 64;

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
  private epoch = 0;

  /** `bytes` is rounded down to a power of two of sets. */
  constructor(bytes: number, ways: number) {
    let sets = 1;
    while (sets * 2 * ways * LINE_BYTES <= bytes) sets *= 2;
    this.ways = ways;
    this.lines = sets * ways;
    this.setMask = sets - 1;
    this.tags = new Float64Array(this.lines).fill(-1);
    this.next = new Uint8Array(sets);
  }

  /** Whether the line at `pa` is present; brings it in if it was not. */
  access(pa: number): boolean {
    const line = Math.floor(pa / LINE_BYTES);
    const tag = line + this.epoch * EPOCH_STRIDE;
    const set = (line & this.setMask) >>> 0;
    const start = set * this.ways;
    for (let i = start; i < start + this.ways; i++) if (this.tags[i] === tag) return true;
    const way = this.next[set]!;
    this.tags[start + way] = tag;
    this.next[set] = way + 1 === this.ways ? 0 : way + 1;
    return false;
  }

  /** Whether the line at `pa` is present. */
  has(pa: number): boolean {
    const line = Math.floor(pa / LINE_BYTES);
    const tag = line + this.epoch * EPOCH_STRIDE;
    const start = ((line & this.setMask) >>> 0) * this.ways;
    for (let i = start; i < start + this.ways; i++) if (this.tags[i] === tag) return true;
    return false;
  }

  /** Removes the line at `pa`. */
  invalidate(pa: number): void {
    const line = Math.floor(pa / LINE_BYTES);
    const tag = line + this.epoch * EPOCH_STRIDE;
    const start = ((line & this.setMask) >>> 0) * this.ways;
    for (let i = start; i < start + this.ways; i++) if (this.tags[i] === tag) this.tags[i] = -1;
  }

  /** Empties the cache in constant time, all but every 64th time. */
  reset(): void {
    this.epoch++;
    if (this.epoch === EPOCHS) {
      this.epoch = 0;
      this.tags.fill(-1);
    }
    // The replacement pointers must not remember the run before, or a reset machine would differ from a new one.
    this.next.fill(0);
  }
}
