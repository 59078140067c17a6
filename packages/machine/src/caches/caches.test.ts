import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InstructionCache, TagCache, Tlb } from './index.ts';

describe('the TLB', () => {
  const entry = fc.record({
    page: fc.integer({ min: 0, max: 2 ** 20 }),
    shift: fc.constantFrom(12, 14, 16, 21, 30),
    to: fc.integer({ min: 0, max: 2 ** 20 }),
  });

  it('returns only translations that were inserted and not invalidated since', () => {
    fc.assert(
      fc.property(
        fc.array(entry, { maxLength: 200 }),
        fc.array(fc.integer({ min: 0, max: 2 ** 32 })),
        (entries, probes) => {
          const tlb = new Tlb(64);
          const model: { from: number; size: number; to: number }[] = [];
          for (const { page, shift, to } of entries) {
            const size = 2 ** shift;
            tlb.insert(page * 4096, to * size, shift, 7);
            model.push({ from: page * 4096 - ((page * 4096) % size), size, to: to * size });
            if (page % 5 === 0) {
              tlb.invalidate(page * 4096);
              for (let i = model.length - 1; i >= 0; i--) {
                const m = model[i]!;
                if (page * 4096 >= m.from && page * 4096 < m.from + m.size) model.splice(i, 1);
              }
            }
          }
          for (const address of [...probes, ...entries.map((e) => e.page * 4096)]) {
            const i = tlb.lookup(address);
            if (i < 0) continue;
            const hit = { from: tlb.from[i]!, size: 2 ** tlb.shift[i]!, to: tlb.to[i]! };
            expect(model.some((m) => m.from === hit.from && m.size === hit.size && m.to === hit.to)).toBe(true);
            expect(address >= hit.from && address < hit.from + hit.size).toBe(true);
          }
          tlb.invalidateAll();
          for (const e of entries) expect(tlb.lookup(e.page * 4096)).toBe(-1);
        },
      ),
    );
  });

  it('finds an entry it has just taken', () => {
    const tlb = new Tlb(64);
    tlb.insert(0x40_2000, 0x80_2000, 12, 1);
    const i = tlb.lookup(0x40_2abc);
    expect(i).toBeGreaterThanOrEqual(0);
    expect(tlb.to[i]).toBe(0x80_2000);
  });
});

describe('the instruction cache', () => {
  it('keeps a line until it is invalidated or replaced, and nothing after a reset', () => {
    const cache = new InstructionCache(1024, 2);
    const index = cache.allocate(0x1000);
    cache.cells[index * 32] = 7;
    expect(cache.lookup(0x103c)).toBe(index);
    expect(cache.lookup(0x1040)).toBe(-1);
    cache.invalidate(0x1010);
    expect(cache.lookup(0x1000)).toBe(-1);
    cache.allocate(0x1000);
    cache.allocate(0x1000 + 512);
    cache.allocate(0x1000 + 1024);
    expect(cache.lookup(0x1000)).toBe(-1);
    cache.reset();
    expect(cache.lookup(0x1000 + 1024)).toBe(-1);
  });
});

describe('a tag cache', () => {
  it('hits what it has seen, up to its ways, and nothing after any number of resets', () => {
    const cache = new TagCache(64 * 8, 2);
    expect(cache.access(0)).toBe(false);
    expect(cache.access(60)).toBe(true);
    for (let i = 0; i < 200; i++) {
      cache.reset();
      expect(cache.access(2 ** 51)).toBe(false);
      expect(cache.access(2 ** 51)).toBe(true);
    }
    cache.access(2 ** 51 + 256);
    cache.access(2 ** 51 + 512);
    expect(cache.access(2 ** 51)).toBe(false);
  });
});
