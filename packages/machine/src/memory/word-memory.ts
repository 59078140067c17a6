/**
 * Physical memory as the walkers and the table editor see it: aligned 32-bit words by physical address. A descriptor is the
 * word at `pa` (bits 31:0) and the word at `pa + 4` (bits 63:32).
 */
export interface WordMemory {
  /** The aligned word at `pa`; 0 where nothing was ever stored. */
  load32(pa: number): number;
  /** Stores an aligned word. */
  store32(pa: number, value: number): void;
  /** [pa, pa + bytes) as it lies in memory; null if that is not in one piece. `pa` and `bytes` are multiples of 4. */
  view?(pa: number, bytes: number): Uint32Array | null;
  /** Whether this memory is present at `pa`. A walk that reads elsewhere takes an external abort. */
  contains(pa: number): boolean;
}
