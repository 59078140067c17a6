import { describe, expect, it } from 'vitest';
import { PagePool } from './page-pool.ts';

const BASE = 0x8000_0000;

describe('a page pool', () => {
  it('gives every page once and then says that it is exhausted', () => {
    const pool = new PagePool(4096, BASE, 3);
    const pages = [pool.alloc(), pool.alloc(), pool.alloc()];
    expect(new Set(pages).size).toBe(3);
    expect(pages.every((pa) => pool.contains(pa))).toBe(true);
    expect(pool.alloc()).toBe(-1);
    expect(pool.failures).toBe(1);
    pool.free(pages[1]!);
    expect(pool.alloc()).toBe(pages[1]);
    expect([pool.used, pool.highWater, pool.available]).toEqual([3, 3, 0]);
  });

  it('keeps reserved pages for whoever reserved them', () => {
    const pool = new PagePool(4096, BASE, 4);
    expect(pool.reserve(3)).toBe(true);
    expect(pool.available).toBe(1);
    expect(pool.reserve(2)).toBe(false);
    pool.allocReserved();
    pool.unreserve(2);
    expect(pool.available).toBe(3);
  });

  it('aligns a root and still hands out the pages it skipped', () => {
    const pool = new PagePool(4096, BASE + 4096, 64);
    const root = pool.allocContiguous(16 * 4096, 16 * 4096);
    expect(root % (16 * 4096)).toBe(0);
    expect(pool.used).toBe(16);
    expect(pool.alloc()).toBe(BASE + 4096);
    expect(pool.allocContiguous(64 * 4096, 4096)).toBe(-1);
  });

  it('refuses to take a page back twice or with entries in use', () => {
    const pool = new PagePool(4096, BASE, 4);
    const pa = pool.alloc();
    pool.get(pa + 8);
    expect(() => pool.free(pa)).toThrow(/referenced/);
    pool.put(pa + 8);
    pool.free(pa);
    expect(() => pool.free(pa)).toThrow(/free/);
  });

  it('fails once at the allocation asked for', () => {
    const pool = new PagePool(4096, BASE, 100);
    pool.failAfter(2);
    expect([pool.alloc() >= 0, pool.alloc() >= 0, pool.alloc() >= 0, pool.alloc() >= 0]).toEqual([
      true,
      true,
      false,
      true,
    ]);
  });

  it('fails at each of several, and says which', () => {
    const pool = new PagePool(4096, BASE, 100);
    const failed: string[] = [];
    for (const [name, after] of [
      ['late', 3],
      ['early', 1],
      ['never', 50],
    ] as const) {
      pool.failAfter(after, () => failed.push(name));
    }
    expect(Array.from({ length: 6 }, () => pool.alloc() >= 0)).toEqual([true, false, true, false, true, true]);
    expect([failed, pool.failures]).toEqual([['early', 'late'], 2]);
  });
});
