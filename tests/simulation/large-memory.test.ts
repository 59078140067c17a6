/** 64 nodes of 512 GiB, all of it mapped on every node: what only works if memory is sparse and blocks are large. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Measured } from './build-large-memory.ts';

const SCRIPT = fileURLToPath(new URL('./build-large-memory.ts', import.meta.url));
const GIB = 2 ** 30;
const NODES = 64;
const BASE = GIB;

let measured: Measured;
beforeAll(() => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [SCRIPT, 'large-memory'], { encoding: 'utf8' });
  expect([status, stderr]).toEqual([0, '']);
  measured = JSON.parse(stdout) as Measured;
});

describe('64 nodes of 512 GiB with all memory mapped', () => {
  it('are built in under 5 s', () => {
    expect(measured.buildMs).toBeLessThan(5000);
  });

  it('stay below the replicas and 1 GiB resident', () => {
    expect(measured.replicaBytes).toBeGreaterThan(200 * 2 ** 20);
    expect(measured.maxRssBytes).toBeLessThan(measured.replicaBytes + GIB);
  });

  it('have tables of their own each, of which few are used and many reserved', () => {
    expect(measured.tablePages.length).toBe(NODES);
    for (const pages of measured.tablePages) {
      expect(pages).toBeGreaterThan(2 * NODES);
      expect(pages).toBeLessThan(1000);
    }
    // Page by page all of it would take 64 GiB of tables, and that is what EL2 must set aside.
    expect(measured.reservedPages * 4096).toBeGreaterThan(64 * GIB);
  });

  it('are mapped by the largest blocks, but around pools and replicas', () => {
    for (const leaves of measured.leaves) {
      const { unmapped = 0, ...mapped } = leaves;
      const total = Object.values(mapped).reduce((sum, bytes) => sum + bytes, 0);
      expect(total + unmapped).toBe(BASE + NODES * 512 * GIB);
      // Contiguous groups of 16 blocks of 1 GiB, and single ones.
      const large = (mapped[String(16 * GIB)] ?? 0) + (mapped[String(GIB)] ?? 0);
      expect(large / total).toBeGreaterThan(0.99);
      // Less than 2 MiB at either end of each replica and pool is left to pages.
      expect((mapped['4096'] ?? 0) + (mapped['65536'] ?? 0)).toBeLessThan(NODES * 4 * 2 * 2 ** 20);
      const owned = measured.poolBytes * NODES + measured.replicaBytes;
      expect(unmapped).toBeGreaterThanOrEqual(owned);
      expect(unmapped).toBeLessThan(owned + 2 ** 20);
    }
  });
});
