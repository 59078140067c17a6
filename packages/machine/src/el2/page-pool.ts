/**
 * The fixed memory from which a node's table pages come. It is taken from the host at boot and never grows; running out is
 * reported, never silent (invariant M1). Bookkeeping is proportional to the pages that were ever used, not to the size of
 * the pool, because pools are sized for the worst case and hardly used.
 */
import { alignUp, assert } from '@numalab/base';

/** The bookkeeping of a pool at one moment. */
export interface PagePoolState {
  readonly used: number;
  readonly highWater: number;
  readonly failures: number;
  readonly fresh: number;
  readonly freed: readonly number[];
  readonly references: Int32Array;
}

export class PagePool {
  readonly paBase: number;
  readonly pageBytes: number;
  /** Pages of the pool. */
  readonly capacity: number;
  /** The first address after the pool. */
  readonly paEnd: number;
  /** Pages in use, the root included. */
  used = 0;
  /** The most pages that were ever in use at once. */
  highWater = 0;
  /** Allocations that failed since boot. */
  failures = 0;

  /** Pages below this index were taken at least once. */
  private fresh = 0;
  /** Indices of pages given back, last in, first out. */
  private readonly freed: number[] = [];
  /** References per page below `fresh`: 0 if free, else 1 + entries in use. */
  private references = new Int32Array(64);
  private reserved = 0;
  /** Failures that are planned: pages until each, and who wants to know. */
  private readonly planned: { left: number; readonly onFailure: () => void }[] = [];

  /** The pool of `pages` pages of `pageBytes` from `paBase`, a multiple of the page size. */
  constructor(pageBytes: number, paBase: number, pages: number) {
    assert(paBase % pageBytes === 0 && pages > 0, 'a page pool is page-aligned and not empty');
    this.pageBytes = pageBytes;
    this.paBase = paBase;
    this.capacity = pages;
    this.paEnd = paBase + pages * pageBytes;
  }

  /** Pages that are neither used nor reserved. */
  get available(): number {
    return this.capacity - this.used - this.reserved;
  }

  /** Whether `pa` lies in the pool. */
  contains(pa: number): boolean {
    return pa >= this.paBase && pa < this.paEnd;
  }

  /**
   * Makes the pool fail once, at the first request after `allocations` more pages were granted: the fault "exhausted at the
   * n-th allocation". May be asked for several times; `onFailure` is told when it happens.
   */
  failAfter(allocations: number, onFailure: () => void = () => {}): void {
    this.planned.push({ left: allocations, onFailure });
  }

  /** Whether a failure that was planned is due, or several. */
  private failsAsPlanned(pages: number): boolean {
    const { planned } = this;
    for (const one of planned) one.left -= pages;
    const due = planned.filter(({ left }) => left < 0);
    if (due.length === 0) return false;
    planned.splice(0, planned.length, ...planned.filter(({ left }) => left >= 0));
    for (const { onFailure } of due) onFailure();
    return true;
  }

  /**
   * Sets `pages` aside for {@link allocReserved}; false if there are not so many. An operation reserves all it can need
   * before it changes anything, so that it never fails half-way.
   */
  reserve(pages: number): boolean {
    if (pages === 0) return true;
    const isPlanned = this.planned.length > 0 && this.failsAsPlanned(pages);
    if (isPlanned || pages > this.available) {
      this.failures += 1;
      return false;
    }
    this.reserved += pages;
    return true;
  }

  /** Gives up what remains of a reservation. */
  unreserve(pages: number): void {
    assert(pages <= this.reserved, 'more pages unreserved than reserved');
    this.reserved -= pages;
  }

  /** A zeroed page out of a reservation. */
  allocReserved(): number {
    assert(this.reserved > 0, 'no page is reserved');
    this.reserved -= 1;
    return this.take();
  }

  /** The PA of a zeroed page with one reference, or -1 if the pool is exhausted. */
  alloc(): number {
    return this.reserve(1) ? this.allocReserved() : -1;
  }

  /**
   * Contiguous pages that hold `bytes`, aligned to `alignment` (a multiple or a divisor of the page size), or -1. Skipped
   * pages stay available. For roots; call it early, it takes pages never used before.
   */
  allocContiguous(bytes: number, alignment: number): number {
    const pages = Math.ceil(bytes / this.pageBytes);
    const from = this.paBase + this.fresh * this.pageBytes;
    const first = (alignUp(from, Math.max(alignment, this.pageBytes)) - this.paBase) / this.pageBytes;
    if (first + pages > this.capacity || !this.reserve(pages)) return -1;
    this.unreserve(pages);
    this.grow(first + pages);
    for (let index = first - 1; index >= this.fresh; index--) this.freed.push(index);
    this.fresh = first + pages;
    for (let index = first; index < first + pages; index++) this.references[index] = 1;
    this.account(pages);
    return this.paBase + first * this.pageBytes;
  }

  /** Gives a page back. It must hold zeroes and have no reference but its own. */
  free(pa: number): void {
    const index = this.indexOf(pa);
    assert(this.references[index] === 1, 'a page is freed that is free or still referenced');
    this.references[index] = 0;
    this.freed.push(index);
    this.used -= 1;
  }

  /** One more entry of the table page that holds `pa` is in use. Pages outside the pool are not counted. */
  get(pa: number): void {
    if (this.contains(pa)) this.references[this.indexOf(pa)]! += 1;
  }

  /** One entry fewer of the table page that holds `pa` is in use. */
  put(pa: number): void {
    if (this.contains(pa)) this.references[this.indexOf(pa)]! -= 1;
  }

  /** References of the page that holds `pa`: 1 for a table without entries, 0 for a free page. */
  count(pa: number): number {
    const index = this.indexOf(pa);
    return index < this.fresh ? this.references[index]! : 0;
  }

  /** Whether the table page at `pa` has no entry in use. */
  isEmpty(pa: number): boolean {
    return this.contains(pa) && this.count(pa) === 1;
  }

  /** Drops all but the own reference of a page that was emptied wholesale. */
  clearReferences(pa: number): void {
    this.references[this.indexOf(pa)] = 1;
  }

  /** The bookkeeping as it is; no operation may be under way. */
  save(): PagePoolState {
    assert(this.reserved === 0, 'a pool is saved between operations');
    const { used, highWater, failures, fresh } = this;
    return { used, highWater, failures, fresh, freed: [...this.freed], references: this.references.slice(0, fresh) };
  }

  /** Back to what {@link save} gave. The pages' contents are the caller's business. */
  restore(state: PagePoolState): void {
    this.used = state.used;
    this.highWater = state.highWater;
    this.failures = state.failures;
    this.references.fill(0, state.fresh, this.fresh);
    this.fresh = state.fresh;
    this.freed.length = 0;
    for (const index of state.freed) this.freed.push(index);
    this.references.set(state.references);
    this.reserved = 0;
    this.planned.length = 0;
  }

  private indexOf(pa: number): number {
    return Math.floor((pa - this.paBase) / this.pageBytes);
  }

  private take(): number {
    let index = this.freed.pop();
    if (index === undefined) {
      index = this.fresh;
      this.grow(index + 1);
      this.fresh = index + 1;
    }
    this.references[index] = 1;
    this.account(1);
    return this.paBase + index * this.pageBytes;
  }

  private account(pages: number): void {
    this.used += pages;
    if (this.used > this.highWater) this.highWater = this.used;
  }

  private grow(length: number): void {
    if (length <= this.references.length) return;
    const larger = new Int32Array(Math.max(length, this.references.length * 2));
    larger.set(this.references);
    this.references = larger;
  }
}
