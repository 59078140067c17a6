/** Worked examples: indices, descriptors and addresses computed by hand from the rules. */
import { describe, expect, it } from 'vitest';
import {
  ACCESS_READ,
  type DescriptorFormat,
  type Execute,
  leafHi,
  leafLo,
  levelBytes,
  makeStage1Config,
  makeStage2Config,
  Stage1Walk,
  type Stage2Options,
  Stage2Walker,
  stage1Attributes,
  stage2Attributes,
  tableHi,
  tableLo,
  WALK_CONTINUE,
} from './index.ts';
import { TestMemory } from './test-memory.ts';

/** Walks `ipa` through tables 16 MiB apart and gives the index used in each. */
const indicesOf = (options: Omit<Stage2Options, 'rootPa'>, ipa: number): { level: number; indices: number[] } => {
  const config = makeStage2Config({ ...options, rootPa: 2 ** 31 });
  const bases = [0, 1, 2, 3, 4].map((n) => 2 ** 31 + n * 2 ** 24);
  const attrs = stage2Attributes({ read: true, write: true, execute: 'all' });
  const memory = new (class extends TestMemory {
    override load32(pa: number): number {
      const depth = bases.findLastIndex((base) => pa >= base);
      const last = config.startLevel + depth === 3;
      const next = bases[depth + 1]!;
      if (pa % 8 === 0) return last ? leafLo(config, 0, 3, attrs) : tableLo(config, next);
      return last ? leafHi(config, 0, 3, attrs) : tableHi(config, next);
    }
  })();
  const walker = new Stage2Walker(memory, config);
  expect(walker.walk(ipa, ACCESS_READ)).toBe(0);
  expect(walker.pa).toBe(ipa % config.granule.bytes);
  const indices = Array.from(walker.readPa.subarray(0, walker.reads), (pa, depth) => (pa - bases[depth]!) / 8);
  return { level: config.startLevel, indices };
};

describe('indices of a stage-2 walk', () => {
  it.each([
    ['4K', 48, 0x0008_4021_3abc, 0, [0, 33, 1, 19], 0],
    ['4K', 40, 0xc0_4021_3abc, 1, [769, 1, 19], 1],
    ['4K', 42, 0x3c0_4021_3abc, 1, [3841, 1, 19], 7],
    ['4K', 52, 0xf_8765_4321_0abc, 0, [7950, 405, 25, 16], 15],
    ['16K', 48, 0x8a12_3456_789c, 1, [2209, 282, 345], 1],
    ['16K', 40, 0xfe_dcba_9876, 2, [32622, 746], 15],
    ['64K', 48, 0x1234_5678_9abc, 1, [4, 4514, 5752], 0],
    ['64K', 44, 0x098_7654_3210, 2, [1219, 5716], 0],
  ] as const)('%s with %i bits', (granule, ipaBits, ipa, level, indices, table) => {
    const walk = indicesOf({ granule, ipaBits }, ipa);
    expect(walk).toEqual({ level, indices: [...indices] });
    const entries = { '4K': 512, '16K': 2048, '64K': 8192 }[granule];
    expect(Math.floor(walk.indices[0]! / entries)).toBe(table);
  });
});

describe('read-only Normal page descriptors', () => {
  const encode = (options: Omit<Stage2Options, 'rootPa'>, pa: number, execute: Execute): bigint => {
    const config = makeStage2Config({ ...options, rootPa: 0 });
    const attrs = stage2Attributes({ read: true, write: false, execute });
    return (BigInt(leafHi(config, pa, 3, attrs)) << 32n) | BigInt(leafLo(config, pa, 3, attrs));
  };

  it.each([
    ['4K', { granule: '4K', ipaBits: 48 }, 0x8_4020_0000, 'el1', 0x0060_0008_4020_077fn],
    ['4K with DS=1', { granule: '4K', ipaBits: 52 }, 0xb_1234_5678_9000, 'all', 0x0003_1234_5678_967fn],
    ['64K with LPA', { granule: '64K', ipaBits: 52 }, 0xb_1234_5679_0000, 'all', 0x0000_1234_5679_b77fn],
  ] as const)('of %s', (_, options, pa, execute, descriptor) => {
    expect(encode(options, pa, execute)).toBe(descriptor);
  });
});

/** Identity stage-1 and stage-2 tables for one VA; counts the memory accesses of its translation. */
const accesses = (stage1Leaf: number, stage2Leaf: number | null): number => {
  const memory = new TestMemory();
  const va = 2 ** 52 - 2 ** 48 + 0x1234_5678;
  const stage1 = makeStage1Config({ granule: '4K', vaBits: 48, rootPa: 0x4000_0000 });
  const stage2 = makeStage2Config({ granule: '4K', ipaBits: 48, rootPa: 0x8000_0000 });
  const plant = (format: DescriptorFormat, root: number, address: number, leafLevel: number, attrs: number): void => {
    for (let level = 0; level <= leafLevel; level++) {
      const table = root + level * 0x1000;
      const at = table + (Math.floor(address / levelBytes(format.granule, level)) % 512) * 8;
      const target = address % 2 ** 47;
      const leaf = target - (target % levelBytes(format.granule, level));
      if (level < leafLevel) memory.storeDescriptor(at, tableLo(format, table + 0x1000), 0);
      else memory.storeDescriptor(at, leafLo(format, leaf, level, attrs), leafHi(format, leaf, level, 0));
    }
  };
  const rw = stage2Attributes({ read: true, write: true, execute: 'all' });
  plant(stage1, 0x4000_0000, va, stage1Leaf, stage1Attributes({ ap: 0, pxn: false, uxn: true }));
  const walker = new Stage2Walker(memory, stage2);
  const walk = new Stage1Walk();
  let count = 0;
  const translate = (ipa: number): number => {
    if (stage2Leaf === null) return ipa;
    // The tables of one address at a time, at the same place: they overlap for addresses that share nothing.
    plant(stage2, 0x8000_0000, ipa, stage2Leaf, rw);
    expect(walker.walk(ipa, ACCESS_READ)).toBe(0);
    count += walker.reads;
    return walker.pa;
  };
  let code = walk.begin(stage1, va);
  while (code === WALK_CONTINUE) {
    const pa = translate(walk.descriptorIpa);
    count++;
    code = walk.feed(memory.load32(pa), memory.load32(pa + 4));
  }
  expect(code).toBe(0);
  expect(translate(walk.ipa)).toBe(walk.ipa);
  return count;
};

describe('the accesses of a two-dimensional walk', () => {
  it.each([
    [4, 4, 24],
    [3, 4, 19],
    [3, 3, 15],
    [3, 2, 11],
    [4, 0, 4],
  ])('of %i stage-1 levels over %i stage-2 levels are %i', (levels1, levels2, count) => {
    expect(accesses(levels1 - 1, levels2 === 0 ? null : levels2 - 1)).toBe(count);
  });
});
