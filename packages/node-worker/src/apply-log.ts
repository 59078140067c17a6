/** What can happen to a page of a node's copy of the text, or to the copy as a whole. */
export const APPLY_STORE = 0;
export const APPLY_UNMAP = 1;
export const APPLY_MAP = 2;
/** The page is mapped onto the primary from now on: what the node's own copy holds concerns nobody. */
export const APPLY_PRIMARY = 3;
/** The page was copied from the primary. */
export const APPLY_COPY = 4;
/** The whole copy was brought up to a write. */
export const APPLY_RESYNC = 5;

/** Entries of an {@link ApplyLog}, in columns of equal length. Plain data. */
export interface ApplyEntries {
  /** `APPLY_…` */
  readonly kinds: readonly number[];
  /** Number of the write, or the page. */
  readonly subjects: readonly number[];
  /** Of APPLY_COPY: the highest number of a word in the page; else 0. */
  readonly numbers: readonly number[];
  readonly times: readonly number[];
}

/**
 * What was done to a node's copy of the text in the order in which it was done, for the judge of `ordered` and R2. Taken down
 * where memory and tables change, not where a protocol says so.
 */
export class ApplyLog implements ApplyEntries {
  readonly kinds: number[] = [];
  readonly subjects: number[] = [];
  readonly numbers: number[] = [];
  readonly times: number[] = [];
  /** Told of every entry. */
  listener: ((kind: number, subject: number, number: number, at: number) => void) | null = null;

  private add(kind: number, subject: number, number: number, at: number): void {
    this.kinds.push(kind);
    this.subjects.push(subject);
    this.numbers.push(number);
    this.times.push(at);
    this.listener?.(kind, subject, number, at);
  }

  /** The first words of a write were stored. */
  stored(number: number, at: number): void {
    this.add(APPLY_STORE, number, 0, at);
  }

  unmapped(page: number, at: number): void {
    this.add(APPLY_UNMAP, page, 0, at);
  }

  mapped(page: number, toPrimary: boolean, at: number): void {
    this.add(toPrimary ? APPLY_PRIMARY : APPLY_MAP, page, 0, at);
  }

  /** The page was copied; `number` is the highest beside any of its words. */
  copied(page: number, number: number, at: number): void {
    this.add(APPLY_COPY, page, number, at);
  }

  /** The copy has every write up to `number`. */
  resynced(number: number, at: number): void {
    this.add(APPLY_RESYNC, number, 0, at);
  }
}
