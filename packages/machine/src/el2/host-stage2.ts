/**
 * The host's stage-2 tables of one node and their lazy population, by the rules of pKVM (Linux kvm/hyp/nvhe/mem_protect.c):
 * memory is mapped RWX, everything else RW and never executable, one to one, at the first touch, by the largest block that
 * lies wholly in the memory region (or gap) and is not above the level of the hole. Leaves differ in nothing but XN, because
 * a Device type of stage 1 wins over stage 2's Normal. When the pool is exhausted, all that is not memory is unmapped, for
 * it can be faulted in again, and the mapping is tried once more.
 */
import { alignDown, assert, InputError } from '@numalab/base';
import { LAST_LEVEL, MEMATTR_NORMAL, stage2Attributes } from '../arm/index.ts';
import { EAGAIN, EEXIST, ENOMEM, EPERM } from './errno.ts';
import type { MemoryRegion } from './pool-sizes.ts';
import type { Stage2Editor } from './stage2-editor.ts';
import type { TableOp } from './table-ops.ts';

/** Memory regions that pKVM can register (HYP_MEMBLOCK_REGIONS). */
export const MAX_MEMORY_REGIONS = 128;

/** Input addresses [start, end). */
export interface IpaRange {
  readonly start: number;
  readonly end: number;
}

/** Attributes of memory that the host owns. */
export const HOST_MEMORY_ATTRS: number = stage2Attributes({
  read: true,
  write: true,
  execute: 'all',
  memAttr: MEMATTR_NORMAL,
});
/** Attributes of what is not memory. */
export const HOST_MMIO_ATTRS: number = stage2Attributes({
  read: true,
  write: true,
  execute: 'none',
  memAttr: MEMATTR_NORMAL,
});

export interface HostStage2Options {
  /** The machine's memory, in any order. */
  readonly regions: readonly MemoryRegion[];
  /** Ranges with mappings of their own (replicated text) or owners (pools, replicas): never mapped by a fault. */
  readonly protectedRanges?: readonly IpaRange[];
}

const sortRanges = (ranges: readonly IpaRange[], what: string, page: number): IpaRange[] => {
  const sorted = ranges.filter(({ start, end }) => end > start).sort((a, b) => a.start - b.start);
  sorted.forEach(({ start, end }, i) => {
    if (start % page !== 0 || end % page !== 0) throw new InputError(what, 'a range is not aligned to the granule');
    if (i > 0 && start < sorted[i - 1]!.end) throw new InputError(what, 'ranges overlap');
  });
  return sorted;
};

/** Index of the first range that ends after `ipa`: the one that holds it, or the next. */
const search = (ranges: readonly IpaRange[], ipa: number): number => {
  let low = 0;
  let high = ranges.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (ranges[middle]!.end > ipa) high = middle;
    else low = middle + 1;
  }
  return low;
};

export class HostStage2 {
  readonly editor: Stage2Editor;
  /** Times that all MMIO was unmapped because the pool was exhausted. */
  recycled = 0;
  private readonly memory: readonly IpaRange[];
  private readonly protectedRanges: readonly IpaRange[];
  private readonly ipaEnd: number;
  private rangeStart = 0;
  private rangeEnd = 0;
  private blockLevel = 0;

  /** Another host's options are taken with it. Throws {@link InputError} for regions that overlap, are misaligned or too many. */
  constructor(editor: Stage2Editor, options: HostStage2Options | HostStage2) {
    this.editor = editor;
    const page = editor.config.granule.bytes;
    this.ipaEnd = 2 ** editor.config.ipaBits;
    if (options instanceof HostStage2) {
      this.memory = options.memory;
      this.protectedRanges = options.protectedRanges;
      return;
    }
    const { regions, protectedRanges = [] } = options;
    if (regions.length > MAX_MEMORY_REGIONS) {
      throw new InputError('memory regions', `${regions.length} are more than the ${MAX_MEMORY_REGIONS} of pKVM`);
    }
    this.memory = sortRanges(
      regions.map(({ base, bytes }) => ({ start: base, end: base + bytes })),
      'memory regions',
      page,
    );
    this.protectedRanges = sortRanges(protectedRanges, 'protected ranges', page);
  }

  /** Whether `ipa` is memory. */
  isMemory(ipa: number): boolean {
    const region = this.memory[search(this.memory, ipa)];
    return region !== undefined && region.start <= ipa;
  }

  /**
   * A translation fault (or an abort that may be one) on `ipa`. 0: mapped, let the host try again. -EEXIST: it is mapped
   * already, by another CPU; try again. -EPERM: owned by somebody else; an abort is injected. -EAGAIN: it belongs to a
   * protected range that is not mapped at the moment; its protocol decides. -ENOMEM: the pool is exhausted even after
   * recycling. -ERANGE beyond the IPA size.
   */
  *handleTranslationFault(ipa: number): Generator<TableOp, number> {
    const { editor } = this;
    const adjusted = this.adjustRange(ipa);
    if (adjusted !== 0) return adjusted;
    const size = editor.levelBytes(this.blockLevel);
    const base = alignDown(ipa, size);
    const attrs = this.isMemory(ipa) ? HOST_MEMORY_ATTRS : HOST_MMIO_ATTRS;
    const result = yield* editor.map(base, size, base, attrs);
    if (result !== -ENOMEM) return result;
    // What is about to be mapped is still a hole, but recycling may have freed tables and so have moved the hole up.
    const unmapped = yield* this.unmapMmio();
    assert(unmapped === 0, 'unmapping whole regions takes no table pages');
    return yield* editor.map(base, size, base, attrs);
  }

  /** Unmaps all that is not memory: the gaps between the regions and above the last. What was there is faulted in again. */
  *unmapMmio(): Generator<TableOp, number> {
    this.recycled += 1;
    let from = 0;
    for (let i = 0; i <= this.memory.length; i++) {
      const to = this.memory[i]?.start ?? this.ipaEnd;
      if (to > from) {
        const result = yield* this.editor.unmap(from, to - from);
        if (result < 0) return result;
      }
      from = this.memory[i]?.end ?? to;
    }
    return 0;
  }

  /**
   * Eager population: maps all memory, and the MMIO below it, except protected ranges and what has an entry already. 0 or
   * -ENOMEM.
   */
  *populate(): Generator<TableOp, number> {
    const base = this.memory[0]?.start ?? 0;
    if (base > 0) {
      const result = yield* this.mapHoles({ start: 0, end: base }, HOST_MMIO_ATTRS);
      if (result < 0) return result;
    }
    for (const region of this.memory) {
      const result = yield* this.mapHoles(region, HOST_MEMORY_ATTRS);
      if (result < 0) return result;
    }
    return 0;
  }

  private *mapHoles({ start, end }: IpaRange, attrs: number): Generator<TableOp, number> {
    let from = start;
    for (let i = search(this.protectedRanges, start); from < end; i++) {
      const next = this.protectedRanges[i];
      const to = Math.min(next?.start ?? end, end);
      if (to > from) {
        const result = yield* this.editor.map(from, to - from, from, attrs, { onlyHoles: true });
        if (result < 0) return result;
      }
      from = Math.max(from, next?.end ?? end);
    }
    return 0;
  }

  /** pKVM's host_stage2_adjust_range: decides the level of the block to map, or why nothing is to be mapped. */
  private adjustRange(ipa: number): number {
    const { editor } = this;
    const level = editor.getLeaf(ipa);
    if (level < -1) return level;
    if ((editor.leafLo & 1) !== 0) return -EEXIST;
    if ((editor.leafLo | editor.leafHi) !== 0) return -EPERM;
    this.findRange(ipa);
    if (this.rangeEnd <= this.rangeStart) return -EAGAIN;
    for (this.blockLevel = level; this.blockLevel < LAST_LEVEL; this.blockLevel++) {
      const size = editor.levelBytes(this.blockLevel);
      const base = alignDown(ipa, size);
      if (editor.leafAllowed(this.blockLevel) && base >= this.rangeStart && base + size <= this.rangeEnd) break;
    }
    return 0;
  }

  /** The memory region or gap around `ipa` without the protected ranges in it; empty if `ipa` is protected. */
  private findRange(ipa: number): void {
    const index = search(this.memory, ipa);
    const region = this.memory[index];
    const inside = region !== undefined && region.start <= ipa;
    this.rangeStart = inside ? region.start : (this.memory[index - 1]?.end ?? 0);
    this.rangeEnd = inside ? region.end : (region?.start ?? this.ipaEnd);
    const next = search(this.protectedRanges, ipa);
    const before = this.protectedRanges[next - 1];
    const after = this.protectedRanges[next];
    if (before !== undefined) this.rangeStart = Math.max(this.rangeStart, before.end);
    if (after === undefined) return;
    if (after.start <= ipa) this.rangeEnd = this.rangeStart;
    else this.rangeEnd = Math.min(this.rangeEnd, after.start);
  }
}
