import type { WordMemory } from '../memory/word-memory.ts';

/** A memory for tests: words in a map, present everywhere below 2^52 but where `isPresent` says otherwise. */
export class TestMemory implements WordMemory {
  readonly words: Map<number, number> = new Map();
  private readonly isPresent: (pa: number) => boolean;

  constructor(isPresent: (pa: number) => boolean = () => true) {
    this.isPresent = isPresent;
  }

  load32(pa: number): number {
    return this.words.get(pa) ?? 0;
  }

  store32(pa: number, value: number): void {
    this.words.set(pa, value >>> 0);
  }

  contains(pa: number): boolean {
    return this.isPresent(pa);
  }

  /** Stores a descriptor. */
  storeDescriptor(pa: number, lo: number, hi: number): void {
    this.store32(pa, lo);
    this.store32(pa + 4, hi);
  }

  /** The descriptor at `pa` as one number. */
  descriptor(pa: number): bigint {
    return (BigInt(this.load32(pa + 4)) << 32n) | BigInt(this.load32(pa));
  }
}
