import { describe, expect, it } from 'vitest';
import { ACCESS_EXECUTE, ACCESS_WRITE, type GranuleName, makeStage2Config, Stage2Walker } from '../arm/index.ts';
import { NodeMemory } from '../memory/index.ts';
import { EAGAIN, EEXIST, ENOMEM, EPERM, ERANGE } from './errno.ts';
import { HostStage2, type HostStage2Options } from './host-stage2.ts';
import { OWNER_HYP } from './invalid-entry.ts';
import { PagePool } from './page-pool.ts';
import { allocRoot, Stage2Editor } from './stage2-editor.ts';
import { drain } from './table-ops.ts';

const MIB = 2 ** 20;
const GIB = 2 ** 30;
const POOL = 0x1_0000_0000;
const RAM = GIB;

const setup = (
  options: Partial<HostStage2Options> = {},
  { granule = '4K', ipaBits = 40, pages = 64 }: { granule?: GranuleName; ipaBits?: number; pages?: number } = {},
) => {
  const shape = makeStage2Config({ granule, ipaBits, rootPa: 0 });
  const bytes = pages * shape.granule.bytes;
  const memory = new NodeMemory(POOL, bytes, bytes);
  const pool = new PagePool(shape.granule.bytes, POOL, pages);
  const config = makeStage2Config({ granule, ipaBits, rootPa: allocRoot(pool, shape) });
  const editor = new Stage2Editor(memory, config, pool);
  const host = new HostStage2(editor, { regions: [{ base: RAM, bytes: 4 * GIB }], ...options });
  const fault = (ipa: number): number => drain(host.handleTranslationFault(ipa));
  const levelAt = (ipa: number): number => {
    const level = editor.getLeaf(ipa);
    return (editor.leafLo & 1) === 0 ? -level - 10 : level;
  };
  return { host, editor, pool, fault, levelAt, walker: new Stage2Walker(memory, config) };
};

describe('a translation fault of the host', () => {
  it.each<[GranuleName, number, number]>([
    ['4K', 1, GIB],
    ['16K', 2, 32 * MIB],
    ['64K', 2, 512 * MIB],
  ])('in an empty table of %s maps a block of level %i, one to one and executable', (granule, level, bytes) => {
    const { fault, levelAt, walker } = setup({}, { granule });
    const ipa = RAM + 2 * GIB + 12345 * 4;
    expect(fault(ipa)).toBe(0);
    expect(levelAt(ipa)).toBe(level);
    expect(walker.walk(ipa, ACCESS_EXECUTE)).toBe(0);
    expect(walker.walk(ipa, ACCESS_WRITE)).toBe(0);
    expect(walker.pa).toBe(ipa);
    expect(walker.leafBytes).toBe(bytes);
  });

  it('outside memory maps a block that is not executable', () => {
    const { fault, walker, host } = setup();
    expect(fault(0x0900_0000)).toBe(0);
    expect(host.isMemory(0x0900_0000)).toBe(false);
    expect(walker.walk(0x0900_0000, ACCESS_WRITE)).toBe(0);
    expect(walker.walk(0x0900_0000, ACCESS_EXECUTE)).not.toBe(0);
  });

  it('maps the largest block that lies wholly in the region or the gap', () => {
    const regions = [
      { base: RAM + 2 * GIB, bytes: GIB + 2 * MIB },
      { base: RAM + 2 * MIB, bytes: GIB },
    ];
    const { fault, levelAt } = setup({ regions });
    for (const [ipa, level] of [
      [RAM + 2 * MIB, 2],
      [RAM + GIB, 2],
      [RAM + GIB + 4 * MIB, 2],
      [RAM + 2 * GIB, 1],
      [RAM + 3 * GIB, 2],
      [RAM + 3 * GIB + 2 * MIB, 2],
      [RAM + 4 * GIB, 1],
      [0, 1],
    ] as const) {
      expect(fault(ipa)).toBe(0);
      expect(levelAt(ipa)).toBe(level);
    }
  });

  it('does not go above the level of the hole', () => {
    const { fault, levelAt, editor } = setup();
    drain(editor.annotate(RAM + 2 * MIB + 4096, 4096, OWNER_HYP));
    expect(fault(RAM)).toBe(0);
    expect(levelAt(RAM)).toBe(2);
    expect(fault(RAM + 2 * MIB)).toBe(0);
    expect(levelAt(RAM + 2 * MIB)).toBe(3);
  });

  it('is told apart: mapped already, owned by another, protected, out of reach', () => {
    const { fault, editor } = setup({ protectedRanges: [{ start: RAM + GIB, end: RAM + GIB + 4096 }] });
    expect(fault(RAM)).toBe(0);
    expect(fault(RAM + 4096)).toBe(-EEXIST);
    drain(editor.annotate(RAM + 2 * GIB, 4096, OWNER_HYP));
    expect(fault(RAM + 2 * GIB)).toBe(-EPERM);
    expect(fault(RAM + GIB + 8)).toBe(-EAGAIN);
    expect(fault(2 ** 40)).toBe(-ERANGE);
  });

  it('never covers a protected range, even if nothing is mapped there', () => {
    const { fault, levelAt } = setup({
      protectedRanges: [
        { start: RAM + 6 * MIB, end: RAM + 6 * MIB + 4096 },
        { start: RAM + 2 * MIB, end: RAM + 4 * MIB },
      ],
    });
    expect(fault(RAM)).toBe(0);
    expect(levelAt(RAM)).toBe(2);
    expect(levelAt(RAM + 2 * MIB)).toBe(-12);
    expect(fault(RAM + 4 * MIB)).toBe(0);
    expect(levelAt(RAM + 4 * MIB)).toBe(2);
    expect(fault(RAM + 6 * MIB + 4096)).toBe(0);
    expect(levelAt(RAM + 6 * MIB + 4096)).toBe(3);
    expect(fault(RAM + 8 * MIB)).toBe(0);
    expect(levelAt(RAM + 8 * MIB)).toBe(2);
  });
});

describe('an exhausted pool', () => {
  it('costs the MMIO mappings, once, and then the fault succeeds', () => {
    const { host, fault, levelAt, editor, pool } = setup(
      { regions: [{ base: RAM, bytes: 2 * MIB + 4096 }] },
      { pages: 6 },
    );
    expect(fault(RAM - 4096)).toBe(0);
    expect(fault(RAM - GIB)).toBe(-EEXIST);
    expect(fault(RAM + 2 * MIB + 4096)).toBe(0);
    expect(pool.used).toBe(4);
    expect(fault(RAM + 2 * GIB)).toBe(0);
    drain(editor.annotate(RAM + 4 * GIB, 4096, OWNER_HYP));
    expect(pool.available).toBe(0);
    drain(editor.unmap(RAM + 4 * GIB, 4096));
    pool.failAfter(0);
    drain(editor.unmap(RAM, 4 * MIB));
    expect(fault(RAM)).toBe(0);
    expect(host.recycled).toBe(1);
    expect(levelAt(RAM)).toBe(2);
    expect(levelAt(RAM - 4096)).toBeLessThan(0);
    expect(levelAt(RAM + 2 * GIB)).toBeLessThan(0);
    expect(pool.failures).toBe(1);
  });

  it('is reported when recycling did not help', () => {
    const { host, fault, pool } = setup({ regions: [{ base: RAM, bytes: 4096 }] }, { pages: 3 });
    expect(fault(0)).toBe(0);
    expect(fault(RAM)).toBe(-ENOMEM);
    expect(host.recycled).toBe(1);
    expect(pool.used).toBe(2);
    expect(fault(0)).toBe(0);
  });
});

describe('eager population', () => {
  it('maps memory and the MMIO below it by the largest blocks, around what is protected or owned', () => {
    const { host, editor, levelAt, walker } = setup({
      protectedRanges: [{ start: RAM + 2 * MIB, end: RAM + 4 * MIB }],
    });
    drain(editor.annotate(RAM + 2 * GIB, 2 * MIB, OWNER_HYP));
    expect(drain(host.populate())).toBe(0);
    expect(levelAt(0)).toBe(1);
    expect(levelAt(RAM)).toBe(2);
    expect(levelAt(RAM + 2 * MIB)).toBe(-12);
    expect(levelAt(RAM + 4 * MIB)).toBe(2);
    expect(levelAt(RAM + GIB)).toBe(1);
    expect(levelAt(RAM + 2 * GIB)).toBe(-12);
    expect(levelAt(RAM + 3 * GIB)).toBe(1);
    expect(levelAt(RAM + 4 * GIB)).toBe(-11);
    expect(walker.walk(RAM + 4 * GIB - 4, ACCESS_WRITE)).toBe(0);
    expect(walker.pa).toBe(RAM + 4 * GIB - 4);
  });

  it('says when the pool is too small, having changed nothing in that region', () => {
    const { host, pool } = setup({ regions: [{ base: RAM + 4096, bytes: GIB }] }, { pages: 3 });
    expect(drain(host.populate())).toBe(-ENOMEM);
    expect(pool.used).toBe(2);
  });
});

describe('memory regions', () => {
  it('that overlap, are misaligned or too many are refused', () => {
    const bad = (regions: HostStage2Options['regions']) => () => setup({ regions });
    expect(
      bad([
        { base: RAM, bytes: GIB },
        { base: RAM + GIB - 4096, bytes: GIB },
      ]),
    ).toThrow(/overlap/);
    expect(bad([{ base: RAM + 1, bytes: GIB }])).toThrow(/aligned/);
    expect(bad(Array.from({ length: 129 }, (_, i) => ({ base: RAM + i * GIB, bytes: MIB })))).toThrow(/128/);
  });
});
