import { alignDown } from '@numalab/base';
import { reciprocalOfShift, sizeOfShift } from '../arm/granule.ts';
import { FilledPlaces } from './filled-places.ts';

/** Permission bits of a cached translation. */
export const TLB_READ = 1;
export const TLB_WRITE = 2;
export const TLB_EXECUTE = 4;

/** A cached translation may be as small as 4 KiB and as large as 4 TiB: one class for every power of two between. */
const MIN_SHIFT = 12;
const CLASSES = 31;
/** Insertions that are remembered, beyond which emptying clears all. */
const REMEMBERED = 64;

/**
 * A TLB: translations of power-of-two sizes from one address to another, 4-way, one array for all sizes. Two uses: combined
 * VA to PA entries, whose size is the smaller of both stages' leaves ([A 7.1]), and stage-2 leaves (IPA to PA) in the walk
 * cache. The kernel's entries are global and the VMID is the core's, so neither is stored per entry: a core changes its VMID
 * never, and an invalidation for another VMID does not get as far as this class.
 */
export class Tlb {
  /** Where the input address `from[i]`, of size `2^shift[i]`, leads. */
  readonly from: Float64Array;
  readonly to: Float64Array;
  readonly shift: Uint8Array;
  readonly permissions: Uint8Array;
  private readonly next: Uint8Array;
  private readonly setMask: number;
  /** Entries per size class, so that a lookup only tries sizes that occur. */
  private readonly perClass = new Int32Array(CLASSES);
  private classMask = 0;
  private count = 0;

  /** Entries that it holds. */
  get size(): number {
    return this.count;
  }

  private readonly filled = new FilledPlaces(REMEMBERED);

  constructor(entries: number) {
    let sets = 1;
    while (sets * 2 * 4 <= entries) sets *= 2;
    this.setMask = sets - 1;
    this.from = new Float64Array(sets * 4).fill(-1);
    this.to = new Float64Array(sets * 4);
    this.shift = new Uint8Array(sets * 4);
    this.permissions = new Uint8Array(sets * 4);
    this.next = new Uint8Array(sets);
  }

  private static set(page: number, mask: number): number {
    const low = page | 0;
    return ((low ^ (low >>> 7)) & mask) >>> 0;
  }

  /** Index of the entry that translates `address`, or -1. The smallest size wins if several match. */
  lookup(address: number): number {
    let classes = this.classMask;
    while (classes !== 0) {
      const bit = 31 - Math.clz32(classes & -classes);
      classes &= classes - 1;
      const page = Math.floor(address * reciprocalOfShift(bit + MIN_SHIFT));
      const start = page * sizeOfShift(bit + MIN_SHIFT);
      const set = Tlb.set(page, this.setMask) * 4;
      for (let i = set; i < set + 4; i++) if (this.from[i] === start && this.shift[i] === bit + MIN_SHIFT) return i;
    }
    return -1;
  }

  /** Adds a translation of `2^shift` bytes; both addresses are rounded down to it. */
  insert(from: number, to: number, shift: number, permissions: number): void {
    this.insertValue(from, alignDown(to, sizeOfShift(shift)), shift, permissions);
  }

  /** Like {@link insert}, for anything that belongs to an address range: `value` is kept as it is. */
  insertValue(from: number, value: number, shift: number, permissions = 0): void {
    const size = sizeOfShift(shift);
    const page = Math.floor(from * reciprocalOfShift(shift));
    const set = Tlb.set(page, this.setMask);
    const way = this.next[set]!;
    this.next[set] = (way + 1) & 3;
    const index = set * 4 + way;
    this.filled.note(index);
    if (this.from[index]! >= 0) this.drop(index);
    this.from[index] = page * size;
    this.to[index] = value;
    this.shift[index] = shift;
    this.permissions[index] = permissions;
    this.count++;
    if (this.perClass[shift - MIN_SHIFT]!++ === 0) this.classMask |= 1 << (shift - MIN_SHIFT);
  }

  private drop(index: number): void {
    this.from[index] = -1;
    this.count--;
    const cls = this.shift[index]! - MIN_SHIFT;
    if (--this.perClass[cls]! === 0) this.classMask &= ~(1 << cls);
  }

  /** Removes every entry that translates `address`. */
  invalidate(address: number): void {
    for (let index = this.lookup(address); index >= 0; index = this.lookup(address)) this.drop(index);
  }

  /** Removes all entries. */
  invalidateAll(): void {
    if (this.count === 0) return;
    this.filled.restore(this.from, -1);
    for (let cls = 0; cls < CLASSES; cls++) this.perClass[cls] = 0;
    this.classMask = 0;
    this.count = 0;
  }

  /** As at power-on. */
  reset(): void {
    this.invalidateAll();
    this.filled.restore(this.next, 0, 4);
    this.filled.forget();
  }
}
