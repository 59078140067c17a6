import { IC_ALL, TLBI, TLBI_ALL, TLBI_STAGE2, TLBI_VA } from './shared-words.ts';

/** Slots over which lines are spread; two lines of one slot only cost each other a refill. */
const SLOTS = 4096;
/** TLBIs by VA that are remembered; a core that missed more empties its TLB. */
const VAS = 32;
const VAS_BYTES = VAS * 8;

/** Bytes of shared memory for {@link MaintenanceWords}. */
export const MAINTENANCE_BYTES: number = VAS_BYTES + SLOTS * 4;

/**
 * Broadcast maintenance without answers. IC IVAU adds one to its line's word, and a line of an instruction cache is only used
 * while the word is what it was before the line was filled; a TLBI adds one to a word that every fetch reads before it
 * translates and once more after it has sampled, and a fetch that finds it changed is thrown away and begins again.
 *
 * Proved so: once the operation has returned, no fetch whose translation or line is older can still sample, whichever
 * thread is descheduled where, because what such a thread samples it does not use. So a DSB has nothing to wait for.
 */
export class MaintenanceWords {
  protected readonly words: Int32Array;
  private readonly slots: Int32Array;
  private readonly vasOf: Float64Array;

  constructor(words: Int32Array, memory: SharedArrayBuffer) {
    this.words = words;
    this.vasOf = new Float64Array(memory, 0, VAS);
    this.slots = new Int32Array(memory, VAS_BYTES, SLOTS);
  }

  private static slot(pa: number): number {
    const line = pa / 64;
    return (line ^ (line / SLOTS)) & (SLOTS - 1);
  }

  /** IC IVAU of the line at `pa`. */
  invalidateLine(pa: number): void {
    Atomics.add(this.slots, MaintenanceWords.slot(pa), 1);
  }

  /** IC IALLUIS. */
  invalidateLines(): void {
    Atomics.add(this.words, IC_ALL, 1);
  }

  /** What the line at `pa` must be marked with if it is filled after this. */
  generation(pa: number): number {
    return (Atomics.load(this.slots, MaintenanceWords.slot(pa)) + Atomics.load(this.words, IC_ALL)) | 0;
  }

  /** TLBI VAAE1IS. */
  tlbiVa(va: number): void {
    const { words, vasOf } = this;
    // Every thread that issues one holds patch_lock, so the places are written one after the other.
    vasOf[Atomics.load(words, TLBI_VA) & (VAS - 1)] = va;
    Atomics.add(words, TLBI_VA, 1);
    Atomics.add(words, TLBI, 1);
  }

  /** TLBI IPAS2E1IS: all that is cached of stage 2 alone goes, which the architecture allows. */
  tlbiStage2(): void {
    Atomics.add(this.words, TLBI_STAGE2, 1);
    Atomics.add(this.words, TLBI, 1);
  }

  /** TLBI VMALLE1IS, or VMALLS12E1IS with {@link tlbiStage2}. */
  tlbiAll(): void {
    Atomics.add(this.words, TLBI_ALL, 1);
    Atomics.add(this.words, TLBI, 1);
  }

  /** Everything above that this thread has issued is over everywhere. Here it was over when it returned. */
  complete(): void {}

  /** VAs of the TLBIs by VA after the `seen`-th up to the `now`-th; null if they are not remembered. */
  vas(seen: number, now: number): readonly number[] | null {
    if (now - seen > VAS / 2) return null;
    return Array.from({ length: now - seen }, (_, i) => this.vasOf[(seen + i) & (VAS - 1)]!);
  }
}
