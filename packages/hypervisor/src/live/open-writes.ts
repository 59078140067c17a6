/** A power of two, above what is under way at a time as a rule. */
const PLACES = 1024;

interface Stray {
  readonly core: number;
  readonly old: readonly number[] | null;
}

/**
 * Writes that are under way, by number. Numbers follow each other, so that each has a place of its own; one that is still
 * open when its place is needed again moves aside.
 */
export class OpenWrites {
  count = 0;
  /** Of the write taken last: the bytes that were there, if its store needs them. */
  old: readonly number[] | null = null;
  private readonly numbers = new Int32Array(PLACES);
  private readonly cores = new Int32Array(PLACES);
  private readonly olds: (readonly number[] | null)[] = new Array(PLACES).fill(null);
  private readonly strays = new Map<number, Stray>();

  /** Write `number`, of which there is none yet, is under way for core `core`. */
  put(number: number, core: number, old: readonly number[] | null): void {
    const at = number & (PLACES - 1);
    const before = this.numbers[at]!;
    if (before !== 0) this.strays.set(before, { core: this.cores[at]!, old: this.olds[at]! });
    this.numbers[at] = number;
    this.cores[at] = core;
    this.olds[at] = old;
    this.count++;
  }

  /** Ends write `number`. Its core, or -1 if it is not under way. */
  take(number: number): number {
    const at = number & (PLACES - 1);
    if (this.numbers[at] !== number) return this.takeStray(number);
    this.numbers[at] = 0;
    this.old = this.olds[at]!;
    this.olds[at] = null;
    this.count--;
    return this.cores[at]!;
  }

  private takeStray(number: number): number {
    const stray = this.strays.get(number);
    if (stray === undefined) return -1;
    this.strays.delete(number);
    this.old = stray.old;
    this.count--;
    return stray.core;
  }
}
