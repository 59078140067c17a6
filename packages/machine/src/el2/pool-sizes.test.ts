import { describe, expect, it } from 'vitest';
import type { GranuleName } from '../arm/index.ts';
import { GRANULES } from '../arm/index.ts';
import {
  hostStage2PoolPages,
  hypFfaProxyPages,
  hypVmTablePages,
  maxTablePages,
  reservedBytes,
  reservedMemory,
} from './pool-sizes.ts';

const GIB = 2 ** 30;
const MIB = 2 ** 20;
const one = (bytes: number) => [{ base: 0x4000_0000, bytes }];

describe('pages of the host stage-2 pool', () => {
  it.each<[GranuleName, number, number, number]>([
    ['4K', 1, 1046, 1048],
    ['4K', 16, 8741, 8743],
    ['4K', 64, 33365, 33367],
    ['4K', 256, 131861, 131863],
    ['4K', 1024, 525846, 525848],
    ['4K', 2048, 1051160, 1051162],
    ['16K', 1, 86, 88],
    ['16K', 64, 2102, 2104],
    ['16K', 256, 8249, 8251],
    ['16K', 1024, 32837, 32839],
    ['64K', 1, 26, 28],
    ['64K', 64, 152, 154],
    ['64K', 256, 536, 538],
    ['64K', 1024, 2072, 2074],
  ])('%s, %i GiB: %i with four levels, %i with five', (granule, gib, four, five) => {
    const regions = one(gib * GIB);
    expect(hostStage2PoolPages({ granule, regions, levels: 4 })).toBe(four);
    expect(hostStage2PoolPages({ granule, regions, levels: 5 })).toBe(five);
  });

  it('count each memory region by itself', () => {
    const regions = [
      { base: 0x4000_0000, bytes: 2 * GIB },
      { base: 0x1_0000_0000, bytes: 62 * GIB },
    ];
    expect(hostStage2PoolPages({ granule: '4K', regions, levels: 4 })).toBe(33367);
  });

  it('allow for 1 GiB of MMIO', () => {
    const gib = (granule: GranuleName, levels: number) =>
      maxTablePages(GRANULES[granule], GIB / GRANULES[granule].bytes, levels);
    expect([gib('4K', 4), gib('4K', 5), gib('16K', 4), gib('16K', 5), gib('64K', 4), gib('64K', 5)]).toEqual([
      515, 516, 35, 36, 5, 6,
    ]);
  });
});

describe('what pKVM reserves', () => {
  it.each([
    [2048, 14],
    [4096, 22],
  ])('is for %i MiB of RAM the %i MiB that a 6.1 kernel printed', (ram, reserved) => {
    expect(reservedBytes('4K', one(ram * MIB), 'v6.1')).toBe(reserved * MIB);
  });

  it('grew in 6.2, when the page array came to back all memory', () => {
    const before = reservedMemory('4K', one(4 * GIB), 'v6.1');
    const after = reservedMemory('4K', one(4 * GIB), 'v6.4');
    expect(before.vmemmap).toBe(10);
    expect(after.vmemmap).toBe(1024);
    expect(after.hypStage1).toBe(before.hypStage1);
    expect(after.bytes).toBe(26 * MIB);
  });

  it('has one page for the VM table at 4K, and FF-A pages since the proxy exists', () => {
    expect(hypVmTablePages('4K')).toBe(1);
    expect(hypFfaProxyPages('4K')).toBe(11);
    expect(reservedMemory('4K', one(2 * GIB), 'new').ffa).toBe(11);
  });
});
