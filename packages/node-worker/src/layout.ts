import { alignDown, alignUp } from '@numalab/base';
import { GRANULES, type GranuleName, hostStage2PoolPages } from '@numalab/machine';
import type { MachineSpec } from './spec.ts';

const TWO_MIB = 2 ** 21;
/** The fixmap slot of text pokes (FIX_TEXT_POKE0) and the linear map, VA bits 51:0. */
export const FIXMAP_TEXT_POKE = 0xf_fdff_fe00_0000;
const LINEAR_MAP = 0xf_0000_0000_0000;

/** Where everything lies in physical memory. It follows from the spec alone, so every process computes it for itself. */
export interface MachineLayout {
  /** IPA, and on node 0 PA, of `_text`. */
  readonly imageIpa: number;
  /** The replicated span: offsets from `_text` of its first byte and of the byte after its last. */
  readonly spanStart: number;
  readonly spanEnd: number;
  /** PA of the span's copy on each node; node 0's is the primary, where IPA = PA. */
  readonly copyPa: readonly number[];
  /** The pages from which EL2 takes a node's stage-2 tables: PA on each node. */
  readonly poolPa: readonly number[];
  readonly poolPages: number;
  /** What EL2 takes from the host for a pool: rounded up to 2 MiB, so that blocks around it stay whole. */
  readonly poolBytes: number;
  /** The kernel's stage-1 tables that each node uses: node 0's, behind the image, or its own below its copy. */
  readonly stage1Pa: readonly number[];
  readonly stage1Bytes: number;
  /** On each node the PA behind the memory that is left to the kernel. */
  readonly ramEnd: readonly number[];
}

/** First PA of a node's DRAM. */
export const nodeBase = (spec: MachineSpec, node: number): number => spec.base + node * spec.memoryPerNode;

/** VA of `pa` in the kernel's linear map. */
export const linearVa = (spec: MachineSpec, pa: number): number => LINEAR_MAP + (pa - spec.base);

/** Node whose DRAM holds `pa`, or -1. */
export const homeOf = (spec: MachineSpec, pa: number): number => {
  const node = Math.floor((pa - spec.base) / spec.memoryPerNode);
  return node >= 0 && node < spec.nodes ? node : -1;
};

const poolPagesOf = (spec: MachineSpec, granule: GranuleName): number =>
  spec.strategy === 'stage2'
    ? hostStage2PoolPages({
        granule,
        regions: [{ base: spec.base, bytes: spec.nodes * spec.memoryPerNode }],
        levels: 4,
      })
    : 0;

/**
 * Lays a machine out. EL2's pools lie at the top of each node's DRAM, 2 MiB aligned as pKVM prefers; below them each replica,
 * congruent to the text's IPA modulo 2 MiB, so that blocks or contiguous groups can map it ([arm64 reference 2.5]). Where the
 * kernel replicates itself there are no pools, and its tables lie below its copies.
 */
export const layOut = (spec: MachineSpec): MachineLayout => {
  const { kernel } = spec;
  const granule = GRANULES[spec.granule];
  const imageIpa = spec.base + TWO_MIB;
  const spanStart = kernel.ranges[0]!.start;
  const spanEnd = kernel.ranges.at(-1)!.end;
  const poolPages = poolPagesOf(spec, spec.granule);
  const poolBytes = alignUp(poolPages * granule.bytes, TWO_MIB);
  const stage1Bytes = TWO_MIB;
  const primaryStage1 = alignUp(imageIpa + kernel.imageBytes, TWO_MIB);
  const copyPa: number[] = [];
  const poolPa: number[] = [];
  const stage1Pa: number[] = [];
  const ramEnd: number[] = [];
  for (let node = 0; node < spec.nodes; node++) {
    const top = alignDown(nodeBase(spec, node) + spec.memoryPerNode, TWO_MIB);
    poolPa.push(top - poolBytes);
    const congruent = (imageIpa + spanStart) % TWO_MIB;
    const below = alignDown(top - poolBytes - alignUp(congruent + spanEnd - spanStart, TWO_MIB), TWO_MIB);
    copyPa.push(node === 0 ? imageIpa + spanStart : below + congruent);
    const ownTables = node > 0 && spec.strategy === 'stage1';
    stage1Pa.push(ownTables ? below - stage1Bytes : primaryStage1);
    if (spec.strategy === 'none') ramEnd.push(nodeBase(spec, node + 1));
    else if (ownTables) ramEnd.push(stage1Pa[node]!);
    else ramEnd.push(node === 0 ? poolPa[0]! : copyPa[node]!);
  }
  return { imageIpa, spanStart, spanEnd, copyPa, poolPa, poolPages, poolBytes, stage1Pa, stage1Bytes, ramEnd };
};
