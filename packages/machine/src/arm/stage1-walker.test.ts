import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  ACCESS_EXECUTE,
  ACCESS_READ,
  ACCESS_WRITE,
  AP_ALL_RO,
  AP_ALL_RW,
  AP_EL1_RO,
  AP_EL1_RW,
  checkStage1,
  decodeStage1Config,
  FSC_ACCESS_FLAG_L,
  FSC_ADDRESS_SIZE_L,
  FSC_PERMISSION_L,
  FSC_TRANSLATION_L,
  levelBytes,
  levelShift,
  makeStage1Config,
  type Stage1Attributes,
  type Stage1Config,
  type Stage1Options,
  type Stage1TableLimits,
  Stage1Walk,
  stage1Attributes,
  stage1LeafHi,
  stage1LeafLo,
  stage1TableHi,
  stage1TableLo,
  WALK_CONTINUE,
} from './index.ts';
import { TestMemory } from './test-memory.ts';

const TEXT: Stage1Attributes = { ap: AP_EL1_RO, pxn: false, uxn: true };
const DATA: Stage1Attributes = { ap: AP_EL1_RW, pxn: true, uxn: true };
const ROOT = 0x8000_0000;

const make = (options: Partial<Stage1Options> = {}): Stage1Config =>
  makeStage1Config({ granule: '4K', vaBits: 48, rootPa: ROOT, ...options });
/** The VA `offset` bytes above the bottom of the range. */
const vaOf = (config: Stage1Config, offset: number): number => 2 ** 52 - 2 ** config.vaBits + offset;

/** Runs a walk against descriptors in memory; 0 or the fault. */
const run = (walk: Stage1Walk, memory: TestMemory, config: Stage1Config, va: number): number => {
  let code = walk.begin(config, va);
  while (code === WALK_CONTINUE)
    code = walk.feed(memory.load32(walk.descriptorIpa), memory.load32(walk.descriptorIpa + 4));
  return code;
};

interface Tree {
  leafLevel?: number;
  limits?: readonly Stage1TableLimits[];
}

/** Maps one leaf at `va` through tables 16 MiB apart; gives the memory. */
const mapOne = (config: Stage1Config, va: number, ipa: number, leaf: Stage1Attributes, tree: Tree = {}): TestMemory => {
  const { leafLevel = 3, limits = [] } = tree;
  const memory = new TestMemory();
  let base = config.rootPa;
  for (let level = config.startLevel; level <= leafLevel; level++) {
    const entries = level === config.startLevel ? config.rootBytes / 8 : config.granule.entries;
    const at = base + (Math.floor(va / 2 ** levelShift(config.granule, level)) % entries) * 8;
    const next = base + 2 ** 24;
    if (level === leafLevel) {
      const attrs = stage1Attributes(leaf);
      memory.storeDescriptor(at, stage1LeafLo(config, ipa, level, attrs), stage1LeafHi(config, ipa, level, attrs));
    } else {
      const limit = limits[level - config.startLevel] ?? {};
      memory.storeDescriptor(at, stage1TableLo(config, next), stage1TableHi(config, next, limit));
    }
    base = next;
  }
  return memory;
};

describe('TCR_EL1', () => {
  it.each([
    ['4K', 48, 0],
    ['4K', 39, 1],
    ['4K', 52, -1],
    ['16K', 48, 0],
    ['16K', 47, 1],
    ['16K', 52, 0],
    ['64K', 48, 1],
    ['64K', 42, 2],
    ['64K', 52, 1],
  ] as const)('%s with %i VA bits starts at level %i', (granule, vaBits, level) => {
    const config = make({ granule, vaBits });
    expect([config.valid, config.startLevel, config.rootBytes <= config.granule.bytes]).toEqual([true, level, true]);
    expect(decodeStage1Config(config.tcr, config.ttbr1, config.paMax)).toEqual(config);
  });

  it('is illegal without a granule, with walks disabled, or with more bits than the format expresses', () => {
    const { tcr, ttbr1 } = make();
    expect(decodeStage1Config(tcr & ~(3n << 30n), ttbr1, 48).valid).toBe(false);
    expect(decodeStage1Config(tcr | (1n << 23n), ttbr1, 48).valid).toBe(false);
    expect(decodeStage1Config(tcr & ~(0x3fn << 16n), ttbr1, 48).valid).toBe(false);
    expect(decodeStage1Config(tcr | (0x3fn << 16n), ttbr1, 48).valid).toBe(false);
    expect(() => make({ vaBits: 52, lpa2: false })).toThrow(RangeError);
    expect(() => make({ rootPa: 0x800 })).toThrow(/root/);
    const walk = new Stage1Walk();
    const off = decodeStage1Config(tcr | (1n << 23n), ttbr1, 48);
    expect(walk.begin(off, vaOf(off, 0))).toBe(FSC_TRANSLATION_L(0));
  });
});

describe('a stage-1 walk', () => {
  it('gives the IPA, the leaf size and the permissions of kernel text', () => {
    const config = make();
    const va = vaOf(config, 0x8000_1023_4567);
    const walk = new Stage1Walk();
    expect(run(walk, mapOne(config, va, 0x40_0020_0000, TEXT, { leafLevel: 2 }), config, va)).toBe(0);
    expect([walk.ipa, walk.leafBytes, walk.level, walk.reads]).toEqual([0x40_0020_0000 + 0x3_4567, 2 ** 21, 2, 3]);
    expect([walk.writable, walk.executable, walk.nonGlobal]).toEqual([false, true, false]);
    const checks = [ACCESS_READ, ACCESS_EXECUTE, ACCESS_WRITE].map((access) => checkStage1(walk, access));
    expect(checks).toEqual([0, 0, FSC_PERMISSION_L(2)]);
  });

  it('refuses a VA below the range of TTBR1 and reads nothing', () => {
    const config = make({ vaBits: 39 });
    const walk = new Stage1Walk();
    expect(walk.begin(config, vaOf(config, 0) - 1)).toBe(FSC_TRANSLATION_L(0));
    expect(walk.begin(config, vaOf(config, 0))).toBe(WALK_CONTINUE);
    expect(walk.descriptorIpa).toBe(ROOT);
  });

  it('takes the address of a contiguous leaf from the group', () => {
    const config = make();
    const va = vaOf(config, 0x1_2345_6789);
    const memory = mapOne(config, va, 0x40_0000_3000, { ...TEXT, contiguous: true });
    const walk = new Stage1Walk();
    expect(run(walk, memory, config, va)).toBe(0);
    expect([walk.ipa, walk.leafBytes]).toEqual([0x40_0000_0000 + 0x6789, 0x1_0000]);
  });

  it('accumulates the limits of the tables it passes', () => {
    const va = 2 ** 52 - 2 ** 40;
    const outcome = (leaf: Stage1Attributes, limits: Stage1TableLimits[], hpd = false): boolean[] => {
      const config = make({ hpd });
      const walk = new Stage1Walk();
      expect(run(walk, mapOne(config, va, 0, leaf, { limits }), config, va)).toBe(0);
      return [walk.writable, walk.executable];
    };
    const code = { ap: AP_EL1_RW, pxn: false, uxn: true };
    expect(outcome(code, [])).toEqual([true, true]);
    expect(outcome(code, [{ apTable: 2 }])).toEqual([false, true]);
    expect(outcome(code, [{ apTable: 1 }])).toEqual([true, true]);
    expect(outcome(code, [{ pxnTable: true }, {}, {}])).toEqual([true, false]);
    expect(outcome(code, [{}, { apTable: 2 }, { pxnTable: true }])).toEqual([false, false]);
    expect(outcome(code, [{ pxnTable: true }, { apTable: 3 }], true)).toEqual([true, true]);
    expect(outcome(code, [{ uxnTable: true }])).toEqual([true, true]);
  });

  it('never lets EL1 execute what EL0 may write', () => {
    const config = make({ ha: true, hd: true });
    const va = vaOf(config, 0);
    const executable = (ap: number, dbm = false, limits: Stage1TableLimits[] = []): boolean => {
      const walk = new Stage1Walk();
      run(walk, mapOne(config, va, 0, { ap, dbm, pxn: false, uxn: false }, { limits }), config, va);
      return walk.executable;
    };
    expect([AP_EL1_RW, AP_ALL_RW, AP_EL1_RO, AP_ALL_RO].map((ap) => executable(ap))).toEqual([true, false, true, true]);
    expect(executable(AP_ALL_RO, true)).toBe(false);
    expect(executable(AP_ALL_RW, false, [{ apTable: 1 }])).toBe(true);
    expect(executable(AP_ALL_RW, false, [{ apTable: 2 }])).toBe(true);
  });

  it('faults on AF = 0 before permissions, or asks for the update when hardware manages AF', () => {
    const leaf = { ...TEXT, af: false };
    const manual = make();
    const va = vaOf(manual, 0x1000);
    const walk = new Stage1Walk();
    expect(run(walk, mapOne(manual, va, 0, leaf), manual, va)).toBe(FSC_ACCESS_FLAG_L(3));
    const managed = make({ ha: true });
    expect(run(walk, mapOne(managed, va, 0, leaf), managed, va)).toBe(0);
    expect(walk.updatedLo).toBe(walk.lo | 0x400);
  });

  it('asks for the dirty state update only when a write needs it', () => {
    const config = make({ ha: true, hd: true });
    const va = vaOf(config, 0);
    const walk = new Stage1Walk();
    run(walk, mapOne(config, va, 0, { ...DATA, ap: AP_EL1_RO, dbm: true }), config, va);
    expect([walk.writable, walk.writeAllowed]).toEqual([false, true]);
    expect([checkStage1(walk, ACCESS_READ), walk.updatedLo]).toEqual([0, walk.lo]);
    expect([checkStage1(walk, ACCESS_WRITE), walk.updatedLo]).toEqual([0, (walk.lo & ~0x80) >>> 0]);
    run(walk, mapOne(config, va, 0, { ...DATA, ap: AP_EL1_RO, dbm: true }, { limits: [{ apTable: 2 }] }), config, va);
    expect(checkStage1(walk, ACCESS_WRITE)).toBe(FSC_PERMISSION_L(3));
  });

  it('reports addresses beyond the output size: root at level 0, tables and leaves at theirs', () => {
    const config = make({ oaBits: 40 });
    const va = vaOf(config, 0);
    const walk = new Stage1Walk();
    expect(run(walk, mapOne(config, va, 2 ** 40, TEXT), config, va)).toBe(FSC_ADDRESS_SIZE_L(3));
    expect(run(walk, mapOne(config, va, 2 ** 41, TEXT, { leafLevel: 1 }), config, va)).toBe(FSC_ADDRESS_SIZE_L(1));
    const high = decodeStage1Config(config.tcr, 2n ** 41n, 40);
    expect(walk.begin(high, va)).toBe(FSC_ADDRESS_SIZE_L(0));
    const memory = mapOne(config, va, 0, TEXT);
    memory.storeDescriptor(ROOT, stage1TableLo(config, 2 ** 44), stage1TableHi(config, 2 ** 44));
    expect(run(walk, memory, config, va)).toBe(FSC_ADDRESS_SIZE_L(0));
    expect([walk.level, walk.reads]).toEqual([0, 1]);
  });

  it('finds whatever is mapped, with every granule, size of the range, format and leaf level', () => {
    const shape = fc.constantFrom(
      ...(['4K', '16K', '64K'] as const).flatMap((granule) =>
        [17, 25, 32, 36, 39, 42, 47, 48, 49, 52].flatMap((vaBits) =>
          [false, true]
            .filter((lpa2) => (granule !== '64K' && (lpa2 || vaBits <= 48)) || (granule === '64K' && !lpa2))
            .map((lpa2) => make({ granule, vaBits, lpa2 })),
        ),
      ),
    );
    const walk = new Stage1Walk();
    const property = fc.property(shape, fc.maxSafeNat(), fc.maxSafeNat(), fc.nat(3), (config, low, address, choice) => {
      const va = vaOf(config, low % 2 ** config.vaBits);
      const { granule } = config;
      const least = Math.max(config.startLevel, granule.firstBlockLevel - (config.ds || config.lpa ? 1 : 0));
      const leafLevel = Math.max(least, choice);
      const bytes = levelBytes(granule, leafLevel);
      const ipa = address % 2 ** config.oaBits;
      const base = ipa - (ipa % bytes);
      expect(run(walk, mapOne(config, va, base, TEXT, { leafLevel }), config, va)).toBe(0);
      // The bits of a VA that a large block passes on are those of the full 64-bit address, ones above the range.
      const passed = Number(BigInt(va) % BigInt(bytes));
      expect([walk.ipa, walk.leafBytes, walk.level]).toEqual([base + passed, bytes, leafLevel]);
      expect(walk.reads).toBe(leafLevel - config.startLevel + 1);
    });
    fc.assert(property, { numRuns: 1000, seed: 20_230_623 });
  });

  it('faults at the level of an invalid or reserved descriptor', () => {
    const config = make();
    const walk = new Stage1Walk();
    for (let level = 0; level <= 3; level++) {
      for (const lo of [0, 0xffff_fffe, level === 3 || level === 0 ? 0x1 : 0x2]) {
        walk.begin(config, vaOf(config, 0));
        for (let above = 0; above < level; above++) expect(walk.feed(ROOT | 3, 0)).toBe(WALK_CONTINUE);
        expect(walk.feed(lo, 0)).toBe(FSC_TRANSLATION_L(level));
      }
    }
  });
});
