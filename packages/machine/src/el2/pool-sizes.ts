/**
 * How many pages pKVM sets aside at boot, by its own arithmetic (Linux arch/arm64/include/asm/kvm_pkvm.h and
 * arch/arm64/kvm/pkvm.c). Three ages are told apart because the figures differ:
 *
 * - `v6.1`: the page array (vmemmap) backs the pool alone, found as a fixed point; neither VM table nor FF-A pages exist.
 *   This is what the boot logs of Debian's 6.1 show (14 MiB for 2 GiB of RAM, 22 MiB for 4 GiB).
 * - `v6.4` (6.2 to 6.4): the page array backs all memory, 4 bytes a page; a VM table.
 * - `new`: five levels are counted, 8 bytes a page, and FF-A proxy pages.
 *
 * In all three the sum is rounded up to PMD_SIZE, because the memory could be had with that alignment.
 */
import { alignDown, alignUp } from '@numalab/base';
import { GRANULES, type Granule, type GranuleName, levelBytes } from '../arm/granule.ts';

/** A range of host memory, in bytes. */
export interface MemoryRegion {
  readonly base: number;
  readonly bytes: number;
}

export type PkvmAge = 'v6.1' | 'v6.4' | 'new';

export interface PoolSizeInput {
  readonly granule: GranuleName;
  readonly regions: readonly MemoryRegion[];
  /** Levels that the estimate counts: 4 (KVM_PGTABLE_MAX_LEVELS), or 5 since level -1 exists. */
  readonly levels: 4 | 5;
}

const GIB = 2 ** 30;
/** Concatenated root tables allowed for. */
const ROOT_PAGES = 16;
/** KVM_MAX_PVMS, each with a pointer in the VM table. */
const MAX_PVMS = 255;
/** One page each for the receive and the send mailbox. */
const FFA_MAILBOX_PAGES = 2;
/** A memory region descriptor with its attributes and 2048 constituents of 16 bytes. */
const FFA_DESCRIPTOR_BYTES = 48 + 16 + 16 + 2048 * 16;

/** Table pages that map `pages` pages one by one, counted over `levels` levels. */
export const maxTablePages = (granule: Granule, pages: number, levels: number): number => {
  let total = 0;
  let count = pages;
  for (let level = 0; level < levels; level++) {
    count = Math.ceil(count / granule.entries);
    total += count;
  }
  return total;
};

const totalPages = ({ granule, regions, levels }: PoolSizeInput): number => {
  const { bytes } = GRANULES[granule];
  let total = 0;
  for (const region of regions) total += maxTablePages(GRANULES[granule], Math.floor(region.bytes / bytes), levels);
  return total;
};

const oneGibPages = ({ granule, levels }: PoolSizeInput): number =>
  maxTablePages(GRANULES[granule], GIB / GRANULES[granule].bytes, levels);

/** Pages of the host's stage-2 tables: all RAM page by page, 16 for the root, 1 GiB of MMIO. */
export const hostStage2PoolPages = (input: PoolSizeInput): number =>
  totalPages(input) + ROOT_PAGES + oneGibPages(input);

/** Pages of EL2's own stage-1 tables: all RAM page by page and 1 GiB of private addresses. */
export const hypStage1PoolPages = (input: PoolSizeInput): number => totalPages(input) + oneGibPages(input);

/** Pages of the array with one `entryBytes` long record per page of host memory. */
export const hypVmemmapPages = (granule: GranuleName, regions: readonly MemoryRegion[], entryBytes: number): number => {
  const page = GRANULES[granule].bytes;
  let bytes = 0;
  for (const region of regions) {
    const start = Math.floor(region.base / page) * entryBytes;
    const end = start + Math.floor(region.bytes / page) * entryBytes;
    bytes += alignUp(end, page) - alignDown(start, page);
  }
  return bytes / page;
};

/** Pages of the array that backs only a pool of `poolPages` and itself (6.1): the fixed point of its own size. */
export const hypPoolVmemmapPages = (granule: GranuleName, poolPages: number, entryBytes: number): number => {
  const { bytes } = GRANULES[granule];
  let pages = 0;
  for (;;) {
    let next = Math.ceil(((poolPages + pages) * entryBytes) / bytes);
    next += maxTablePages(GRANULES[granule], next, 4);
    if (next === pages) return pages;
    pages = next;
  }
};

/** Pages of the table of protected VMs. */
export const hypVmTablePages = (granule: GranuleName): number =>
  alignUp(MAX_PVMS * 8, GRANULES[granule].bytes) / GRANULES[granule].bytes;

/** Pages of the FF-A proxy. */
export const hypFfaProxyPages = (granule: GranuleName): number =>
  FFA_MAILBOX_PAGES + Math.ceil(FFA_DESCRIPTOR_BYTES / GRANULES[granule].bytes);

/** What pKVM reserves, part by part, in pages; `bytes` is the total rounded up as the kernel does. */
export interface ReservedMemory {
  readonly hypStage1: number;
  readonly hostStage2: number;
  readonly vmTable: number;
  readonly vmemmap: number;
  readonly ffa: number;
  readonly bytes: number;
}

/** The reservation that the kernel of this age prints as `Reserved N MiB` for these memory regions. */
export const reservedMemory = (
  granule: GranuleName,
  regions: readonly MemoryRegion[],
  age: PkvmAge,
): ReservedMemory => {
  const input: PoolSizeInput = { granule, regions, levels: age === 'new' ? 5 : 4 };
  const hypStage1 = hypStage1PoolPages(input);
  const hostStage2 = hostStage2PoolPages(input);
  const entryBytes = age === 'new' ? 8 : 4;
  const vmTable = age === 'v6.1' ? 0 : hypVmTablePages(granule);
  const ffa = age === 'new' ? hypFfaProxyPages(granule) : 0;
  const vmemmap =
    age === 'v6.1'
      ? hypPoolVmemmapPages(granule, hypStage1 + hostStage2, entryBytes)
      : hypVmemmapPages(granule, regions, entryBytes);
  const pages = hypStage1 + hostStage2 + vmTable + vmemmap + ffa;
  const bytes = alignUp(pages * GRANULES[granule].bytes, levelBytes(GRANULES[granule], 2));
  return { hypStage1, hostStage2, vmTable, vmemmap, ffa, bytes };
};

/** {@link reservedMemory}'s total in bytes. */
export const reservedBytes = (granule: GranuleName, regions: readonly MemoryRegion[], age: PkvmAge): number =>
  reservedMemory(granule, regions, age).bytes;
