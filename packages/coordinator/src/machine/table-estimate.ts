import { alignUp, InputError } from '@numalab/base';
import { blockAllowed, GRANULES, hostStage2PoolPages, levelBytes } from '@numalab/machine';
import type { MachineSpec } from '@numalab/node-worker';
import type { Scenario } from '../scenario/scenario.ts';
import { formatSize } from '../scenario/units.ts';
import { fieldOf } from './place.ts';

type Shape = Pick<
  MachineSpec,
  'nodes' | 'memoryPerNode' | 'base' | 'granule' | 'ipaBits' | 'lpa2' | 'population' | 'strategy' | 'kernel'
>;

const DESCRIPTOR_BYTES = 8;
/** The kernel's own tables, and slack for what is mapped page by page around holes. */
const SLACK_BYTES = 8 * 2 ** 20;

/** Bytes of the largest block that stage 2 allows. */
const largestBlock = ({ granule, lpa2, ipaBits }: Shape): number => {
  const { [granule]: format } = GRANULES;
  const options = { ds: lpa2 && granule !== '64K', lpa: granule === '64K' && ipaBits > 48 };
  for (let level = 0; level < 3; level++) if (blockAllowed(format, level, options)) return levelBytes(format, level);
  return format.bytes;
};

/** Table pages that map `bytes` by entries of `entryBytes`, roughly and not too few. */
const pagesFor = (shape: Shape, bytes: number): number => {
  const { [shape.granule]: format } = GRANULES;
  let pages = 0;
  for (let entries = Math.ceil(bytes / largestBlock(shape)) + 1; entries > 1; ) {
    entries = Math.ceil(entries / format.entries);
    pages += entries;
  }
  return pages;
};

/**
 * A bound on what one node commits outside copies of the text: tables by the largest blocks, with a few more of them around
 * each node's pool and replica. It is address space, of which only what is touched costs anything.
 */
export const arenaBytes = (shape: Shape): number => {
  const page = GRANULES[shape.granule].bytes;
  const { ranges } = shape.kernel;
  const span = ranges.at(-1)!.end - ranges[0]!.start;
  const blocks = pagesFor(shape, shape.base + shape.nodes * shape.memoryPerNode);
  const around = 64 + 8 * shape.nodes + Math.ceil((span / page) * (DESCRIPTOR_BYTES / page));
  return alignUp(2 * (blocks + around) * page + SLACK_BYTES, 2 ** 16);
};

/**
 * Throws InputError if eager population cannot end well: the pool is sized by pKVM's arithmetic, for all memory and 1 GiB of
 * MMIO, but all the MMIO below the memory is mapped.
 */
export const checkPool = (scenario: Scenario, shape: Shape): void => {
  if (shape.population !== 'eager' || shape.strategy !== 'stage2') return;
  const { granule, base, nodes, memoryPerNode } = shape;
  const regions = [{ base, bytes: nodes * memoryPerNode }];
  const pool = hostStage2PoolPages({ granule, regions, levels: 4 });
  const needed = pagesFor(shape, base) + pagesFor(shape, nodes * memoryPerNode) + 16;
  if (needed <= pool) return;
  throw new InputError(
    fieldOf(scenario, 'machine.base'),
    `eager population maps all ${formatSize(base)} below machine.base, which takes about ${needed} table pages of ${granule}; EL2's pool has ${pool}`,
  );
};
