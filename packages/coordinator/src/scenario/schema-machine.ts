import { LATENCY_PROFILES, MAX_NODES } from '@numalab/machine';
import { z } from 'zod';
import type { MachineInput } from './scenario-input.ts';
import { flag, size, text, whole } from './schema-parts.ts';

const MIB = 2 ** 20;
const PROFILES = LATENCY_PROFILES.filter(({ name }) => name !== 'zero').map(({ name }) => name);

const cacheShape = {
  bytes: size({ min: 4096, max: 1024 * MIB, text: '4KiB to 1GiB' })
    .optional()
    .describe('Size; default: the profile’s'),
  ways: whole(1, 32).optional().describe('Associativity; default: the profile’s'),
};

const caches = z
  .strictObject({
    l1i: z.strictObject(cacheShape).prefault({}).describe('L1 instruction cache of a core'),
    l2: z.strictObject(cacheShape).prefault({}).describe('L2 cache of a core'),
    llc: z
      .strictObject({ ...cacheShape, sharedBy: z.enum(['node', 'socket']).optional().describe('Who shares one') })
      .prefault({})
      .describe('Last-level cache'),
    tlbEntries: whole(16, 65_536).optional().describe('Entries of a core’s TLB; default: the profile’s'),
    walkCacheEntries: whole(4, 65_536).optional().describe('Entries of a core’s walk cache; default: the profile’s'),
    nested: flag().default(false).describe('The TLB holds the two stages apart instead of combined entries'),
    fetchAhead: z
      .union([z.literal(0), z.literal(4)], { error: 'must be 0 or 4' })
      .default(4)
      .describe('Words that a core fetches ahead of execution: a group of four, or none'),
  })
  .prefault({})
  .describe('Caches and TLBs; what is left out comes from the profile');

const stage2 = z
  .strictObject({
    granule: z.enum(['4K', '16K', '64K']).default('4K').describe('Translation granule of stage 2'),
    ipaBits: whole(32, 52).optional().describe('Size of the IPA space; default: 40, or what the last PA needs if more'),
    lpa2: flag().default(false).describe('52-bit descriptors for 4K and 16K (FEAT_LPA2)'),
    population: z
      .enum(['lazy', 'eager'])
      .default('lazy')
      .describe('lazy: only the replicated range is mapped at boot; eager: all RAM, and MMIO below the base'),
  })
  .prefault({})
  .describe('Stage-2 tables of every node');

const distances = z
  .union([text(), z.array(z.array(z.number()))], { error: 'must be the name of a machine, a file or a matrix' })
  .default('kunpeng920')
  .describe('Built-in machine, file (numactl --hardware, SLIT, matrix), or a matrix of integers from 10 to 254');

/** Schema of `machine`. */
export const machine: z.ZodType<MachineInput> = z
  .strictObject({
    nodes: whole(1, MAX_NODES)
      .optional()
      .describe('NUMA nodes; default: as many as `distances` has, which is 4 for kunpeng920'),
    coresPerNode: whole(1, 64).default(4).describe('Cores, and so vCPUs, per node'),
    memoryPerNode: size({ min: 64 * MIB, max: 2 ** 48, text: '64MiB to 256TiB' })
      .prefault('2GiB')
      .describe('Memory of each node; a multiple of 2MiB'),
    base: size({ min: 0, max: 2 ** 52 - 1, text: 'below 2^52' })
      .prefault('0x40000000')
      .describe('Physical address of node 0’s memory; a multiple of 2MiB'),
    distances,
    profile: z
      .enum(PROFILES)
      .optional()
      .describe('Core times and caches; default: the one of the machine that `distances` names, else generic'),
    stage2,
    caches,
    ctr: z
      .strictObject({
        idc: flag().default(false).describe('CTR_EL0.IDC: stores reach the point of unification without DC CVAU'),
        dic: flag().default(false).describe('CTR_EL0.DIC: no IC IVAU is needed'),
      })
      .prefault({})
      .describe('What CTR_EL0 promises of the caches'),
    ecc: z.enum(['secded', 'none']).default('secded').describe('Error correction of memory'),
  })
  .prefault({})
  .describe('The emulated machine');
