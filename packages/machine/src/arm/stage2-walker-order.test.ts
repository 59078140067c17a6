/** The order of checks of a stage-2 walk, one case for each pair whose order can be seen. */
import { describe, expect, it } from 'vitest';
import {
  ACCESS_ATOMIC,
  ACCESS_EXECUTE,
  ACCESS_READ,
  ACCESS_WRITE,
  decodeStage2Config,
  type Execute,
  FSC_ACCESS_FLAG_L,
  FSC_ADDRESS_SIZE_L,
  FSC_EXTERNAL_WALK_L,
  FSC_PERMISSION_L,
  FSC_TRANSLATION_L,
  leafHi,
  leafLo,
  MEMATTR_NORMAL,
  makeStage2Config,
  type Stage2Config,
  type Stage2Options,
  Stage2Walker,
  stage2Attributes,
  tableHi,
  tableLo,
} from './index.ts';
import { TestMemory } from './test-memory.ts';

const ROOT = 0x8000_0000;
const TABLE = 0x8010_0000;
const LAST = 0x8020_0000;
const ABSENT = 0xf0_0000_0000;
const IPA = 0x12_3456_7abc;

const make = (options: Partial<Stage2Options> = {}): Stage2Config =>
  makeStage2Config({ granule: '4K', ipaBits: 40, oaBits: 40, rootPa: ROOT, ...options });

interface Leaf {
  pa?: number;
  read?: boolean;
  write?: boolean;
  execute?: Execute;
  af?: boolean;
  dbm?: boolean;
  contiguous?: boolean;
}

/** A three-level 4K tree (start level 1) whose only page maps IPA; entries can be replaced afterwards. */
const build = (config: Stage2Config, leaf: Leaf = {}) => {
  const memory = new TestMemory((pa) => pa < ABSENT);
  const entries = [
    ROOT + Math.floor(IPA / 2 ** 30) * 8,
    TABLE + (Math.floor(IPA / 2 ** 21) % 512) * 8,
    LAST + (Math.floor(IPA / 2 ** 12) % 512) * 8,
  ] as const;
  const { pa = 0x40_0000_0000, read = true, write = false, execute = 'el1', af = true, dbm, contiguous } = leaf;
  const attrs = stage2Attributes({
    ...{ read, write, execute, af, memAttr: MEMATTR_NORMAL, dbm: dbm ?? false, contiguous: contiguous ?? false },
  });
  memory.storeDescriptor(entries[0], tableLo(config, TABLE), tableHi(config, TABLE));
  memory.storeDescriptor(entries[1], tableLo(config, LAST), tableHi(config, LAST));
  memory.storeDescriptor(entries[2], leafLo(config, pa, 3, attrs), leafHi(config, pa, 3, attrs));
  return { memory, entries, walker: new Stage2Walker(memory, config) };
};

describe('before any fetch', () => {
  it('an illegal VTCR_EL2 wins over everything: translation fault, level 0', () => {
    const config = make();
    const illegal = decodeStage2Config(config.vtcr | 0xc0n, BigInt(ABSENT), 40);
    const { walker } = build(illegal);
    expect(walker.walk(IPA, ACCESS_READ)).toBe(FSC_TRANSLATION_L(0));
    expect([walker.level, walker.reads]).toEqual([0, 0]);
  });

  it('an IPA beyond the IPA size wins over a root beyond the output size', () => {
    const config = make();
    const small = decodeStage2Config(config.vtcr & ~(7n << 16n), 0x20_0000_0000n, 40);
    const { walker } = build(small);
    expect(walker.walk(2 ** 40, ACCESS_READ)).toBe(FSC_TRANSLATION_L(0));
    expect(walker.walk(IPA, ACCESS_READ)).toBe(FSC_ADDRESS_SIZE_L(0));
    expect(walker.reads).toBe(0);
  });

  it('a root beyond the output size wins over its absence', () => {
    const config = make();
    const gone = decodeStage2Config(config.vtcr, BigInt(ABSENT), 40);
    expect(build(gone).walker.walk(IPA, ACCESS_READ)).toBe(FSC_EXTERNAL_WALK_L(1));
    const both = decodeStage2Config(config.vtcr & ~(7n << 16n), BigInt(ABSENT), 40);
    expect(build(both).walker.walk(IPA, ACCESS_READ)).toBe(FSC_ADDRESS_SIZE_L(0));
  });
});

describe('on the way down', () => {
  it('an external abort reports the level of the table it could not read', () => {
    const config = make();
    const { memory, entries, walker } = build(config);
    memory.storeDescriptor(entries[0], tableLo(config, ABSENT), tableHi(config, ABSENT));
    expect(walker.walk(IPA, ACCESS_READ)).toBe(FSC_EXTERNAL_WALK_L(2));
    expect([walker.level, walker.reads]).toEqual([2, 2]);
  });

  it('a table address beyond the output size faults at the level of its descriptor, before the fetch', () => {
    const config = make();
    const { memory, entries, walker } = build(config);
    memory.storeDescriptor(entries[0], tableLo(config, 2 ** 40), tableHi(config, 2 ** 40));
    expect(walker.walk(IPA, ACCESS_READ)).toBe(FSC_ADDRESS_SIZE_L(1));
    expect([walker.level, walker.reads]).toEqual([1, 1]);
  });

  it('a 4K level-0 table address beyond the output size is an address size fault that is not success', () => {
    const config = make({ ipaBits: 44, oaBits: 44 });
    const { memory, walker } = build(config);
    memory.storeDescriptor(ROOT, tableLo(config, 2 ** 45), tableHi(config, 2 ** 45));
    const fault = walker.walk(IPA, ACCESS_READ);
    expect(fault).toBe(FSC_ADDRESS_SIZE_L(0));
    expect(fault).not.toBe(0);
  });

  it('a reserved type is a translation fault whatever its address', () => {
    const { memory, entries, walker } = build(make());
    memory.storeDescriptor(entries[2], 0xffff_f7fd, 0xffff);
    expect(walker.walk(IPA, ACCESS_READ)).toBe(FSC_TRANSLATION_L(3));
  });

  it('an invalid descriptor faults at its level, and its other bits are software', () => {
    const { memory, entries, walker } = build(make());
    memory.storeDescriptor(entries[1], 0xffff_fffe, 0xffff_ffff);
    expect(walker.walk(IPA, ACCESS_READ)).toBe(FSC_TRANSLATION_L(2));
    expect([walker.lo, walker.hi, walker.pa]).toEqual([0xffff_fffe, 0xffff_ffff, -1]);
  });
});

describe('at the leaf', () => {
  it('an output address beyond the output size wins over AF = 0', () => {
    const { walker } = build(make(), { pa: 2 ** 41, af: false });
    expect(walker.walk(IPA, ACCESS_READ)).toBe(FSC_ADDRESS_SIZE_L(3));
  });

  it('AF = 0 wins over a missing permission', () => {
    const { walker } = build(make(), { af: false, write: false });
    expect(walker.walk(IPA, ACCESS_WRITE)).toBe(FSC_ACCESS_FLAG_L(3));
    expect(walker.wnr).toBe(true);
    const young = build(make(), { af: true, write: false });
    expect(young.walker.walk(IPA, ACCESS_WRITE)).toBe(FSC_PERMISSION_L(3));
  });

  it('hardware AF is set by an access that succeeds and by no other', () => {
    const { memory, entries, walker } = build(make({ ha: true }), { af: false, write: false });
    expect(walker.walk(IPA, ACCESS_WRITE)).toBe(FSC_PERMISSION_L(3));
    expect(memory.load32(entries[2]) & 0x400).toBe(0);
    expect(walker.walk(IPA, ACCESS_READ)).toBe(0);
    expect(walker.updated).toBe(true);
    expect(memory.load32(entries[2]) & 0x400).toBe(0x400);
    expect(walker.walk(IPA, ACCESS_READ)).toBe(0);
    expect(walker.updated).toBe(false);
  });

  it('DBM lets writes pass only with HA and HD, and a write makes the leaf dirty', () => {
    for (const [ha, hd] of [
      [false, false],
      [true, false],
      [false, true],
    ] as const)
      expect(build(make({ ha, hd }), { dbm: true }).walker.walk(IPA, ACCESS_WRITE)).toBe(FSC_PERMISSION_L(3));
    const { memory, entries, walker } = build(make({ ha: true, hd: true }), { dbm: true });
    expect(walker.walk(IPA, ACCESS_READ)).toBe(0);
    expect([walker.writable, walker.updated]).toEqual([false, false]);
    expect(walker.walk(IPA, ACCESS_WRITE)).toBe(0);
    expect([walker.writable, walker.updated]).toEqual([true, true]);
    expect(memory.load32(entries[2]) & 0x80).toBe(0x80);
  });

  it('an atomic is refused for the read first, and its WnR says which', () => {
    const readOnly = build(make(), { read: true, write: false }).walker;
    expect([readOnly.walk(IPA, ACCESS_ATOMIC), readOnly.wnr]).toEqual([FSC_PERMISSION_L(3), true]);
    const writeOnly = build(make(), { read: false, write: true }).walker;
    expect([writeOnly.walk(IPA, ACCESS_ATOMIC), writeOnly.wnr]).toEqual([FSC_PERMISSION_L(3), false]);
    const neither = build(make(), { read: false, write: false }).walker;
    expect([neither.walk(IPA, ACCESS_ATOMIC), neither.wnr]).toEqual([FSC_PERMISSION_L(3), false]);
  });

  it('a fetch needs execute permission for EL1 and no read permission', () => {
    const fetch = (execute: Execute): number =>
      build(make(), { execute, read: false }).walker.walk(IPA, ACCESS_EXECUTE);
    expect([fetch('all'), fetch('el1')]).toEqual([0, 0]);
    expect([fetch('el0'), fetch('none')]).toEqual([FSC_PERMISSION_L(3), FSC_PERMISSION_L(3)]);
  });

  it('a contiguous leaf takes its address from the aligned group, so a misaligned group translates wrongly', () => {
    const good = build(make(), { pa: 0x40_0000_0000 + ((IPA - (IPA % 0x1000)) % 0x1_0000), contiguous: true }).walker;
    expect(good.walk(IPA, ACCESS_READ)).toBe(0);
    expect([good.pa, good.leafBytes]).toEqual([0x40_0000_0000 + (IPA % 0x1_0000), 0x1_0000]);
    const bad = build(make(), { pa: 0x40_0000_3000, contiguous: true }).walker;
    expect(bad.walk(IPA, ACCESS_READ)).toBe(0);
    expect(bad.pa).toBe(0x40_0000_0000 + (IPA % 0x1_0000));
    const single = build(make(), { pa: 0x40_0000_3000 }).walker;
    single.walk(IPA, ACCESS_READ);
    expect([single.pa, single.leafBytes]).toEqual([0x40_0000_3000 + (IPA % 0x1000), 0x1000]);
  });
});

describe('a walk that starts from a cached table', () => {
  it('ends like the full walk with fewer reads', () => {
    const { walker } = build(make());
    expect(walker.walk(IPA, ACCESS_READ)).toBe(0);
    const [pa, readPa] = [walker.pa, Array.from(walker.readPa.subarray(0, 3))];
    expect(walker.walkFrom(IPA, ACCESS_READ, 3, LAST)).toBe(0);
    expect([walker.pa, walker.reads, walker.readPa[0]]).toEqual([pa, 1, readPa[2]]);
  });
});
