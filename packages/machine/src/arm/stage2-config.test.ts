import { describe, expect, it } from 'vitest';
import { decodeStage2Config, makeStage2Config, PA_SIZES, rootAlignment, type Stage2Options } from './index.ts';

const GRANULE_NAMES = ['4K', '16K', '64K'] as const;

describe('VTCR_EL2', () => {
  it('of a 4K host with 48 bits, 16-bit VMIDs and hardware AF is 0x802D3590', () => {
    const config = makeStage2Config({ granule: '4K', ipaBits: 48, rootPa: 0x4000_0000, ha: true });
    expect(config.vtcr).toBe(0x802d3590n);
    expect(config.vttbr).toBe(0x4000_0000n);
    const decoded = decodeStage2Config(0x802d3590n, 0x0007_0000_4000_0001n, 48);
    expect(decoded).toMatchObject({ ipaBits: 48, startLevel: 0, oaBits: 48, ha: true, hd: false, vmid: 7, cnp: true });
  });

  it.each([
    ['4K', 32, 2, 4, 0x4000],
    ['4K', 36, 1, 1, 0x200],
    ['4K', 40, 1, 2, 0x2000],
    ['4K', 42, 1, 8, 0x8000],
    ['4K', 44, 0, 1, 0x100],
    ['4K', 48, 0, 1, 0x1000],
    ['4K', 52, 0, 16, 0x10000],
    ['16K', 32, 2, 1, 0x400],
    ['16K', 36, 2, 1, 0x4000],
    ['16K', 40, 2, 16, 0x40000],
    ['16K', 42, 1, 1, 0x200],
    ['16K', 44, 1, 1, 0x800],
    ['16K', 48, 1, 2, 0x8000],
    ['16K', 52, 0, 1, 0x100],
    ['64K', 32, 2, 1, 0x40],
    ['64K', 42, 2, 1, 0x10000],
    ['64K', 44, 2, 4, 0x40000],
    ['64K', 48, 1, 1, 0x200],
    ['64K', 52, 1, 1, 0x2000],
  ] as const)('%s, %i bits: Linux starts at level %i with %i tables', (granule, ipaBits, level, tables, bytes) => {
    // 44 bits of output address or more: a start at level 0 (4K) or 1 (64K) needs a PE that big.
    const config = makeStage2Config({ granule, ipaBits, rootPa: 0x8000_0000 });
    expect([config.startLevel, config.rootTables, config.rootBytes]).toEqual([level, tables, bytes]);
    expect(rootAlignment(config)).toBe(ipaBits === 52 ? Math.max(64, bytes) : bytes);
  });

  it('and VTTBR_EL2 decode to the configuration they were made from', () => {
    let made = 0;
    for (const granule of GRANULE_NAMES)
      for (let ipaBits = 16; ipaBits <= 52; ipaBits++)
        for (const startLevel of [-1, 0, 1, 2, 3])
          for (const lpa2 of [false, true])
            for (const oaBits of PA_SIZES) {
              let config: ReturnType<typeof makeStage2Config>;
              const options: Stage2Options = {
                granule,
                ipaBits,
                startLevel,
                lpa2,
                oaBits,
                rootPa: 0xc000_0000,
                vmid: 0x1234,
              };
              try {
                config = makeStage2Config({ ...options, ha: ipaBits % 2 === 0, cnp: ipaBits % 3 === 0 });
              } catch (error) {
                expect(error).toBeInstanceOf(RangeError);
                continue;
              }
              made++;
              expect(config.valid).toBe(true);
              expect(config).toMatchObject({ ipaBits, startLevel, oaBits, vmid: 0x1234, rootPa: 0xc000_0000 });
              expect(config.ds).toBe(lpa2);
              expect(config.oaBits).toBeGreaterThanOrEqual(ipaBits);
              expect(config.rootTables).toBeLessThanOrEqual(16);
              expect(decodeStage2Config(config.vtcr, config.vttbr, config.paMax)).toEqual(config);
            }
    expect(made).toBeGreaterThan(500);
  });

  it('holds a 52-bit root', () => {
    for (const granule of GRANULE_NAMES) {
      const rootPa = 0xb_1234_5670_0000;
      const config = makeStage2Config({ granule, ipaBits: 52, rootPa: rootPa - (rootPa % 0x10_0000) });
      expect(config.rootPa).toBe(0xb_1234_5670_0000);
      expect((config.vttbr >> 2n) & 0xfn).toBe(0xbn);
    }
  });

  it('aligns a root silently down to the size of its concatenated tables', () => {
    const config = makeStage2Config({ granule: '4K', ipaBits: 42, rootPa: 0x4000_0000 });
    expect(decodeStage2Config(config.vtcr, 0x4000_7ffen, 48).rootPa).toBe(0x4000_0000);
    expect(decodeStage2Config(config.vtcr, 0x4000_8000n, 48).rootPa).toBe(0x4000_8000);
  });

  it('aligns a 52-bit root to 64 bytes even if it is smaller', () => {
    const config = makeStage2Config({
      granule: '4K',
      ipaBits: 49,
      startLevel: -1,
      oaBits: 52,
      rootPa: 0x3_0000_4000_0000,
    });
    expect([config.rootBytes, rootAlignment(config), config.rootPa]).toEqual([16, 64, 0x3_0000_4000_0000]);
    expect(() => makeStage2Config({ granule: '4K', ipaBits: 49, startLevel: -1, rootPa: 0x4000_0010 })).toThrow(/root/);
  });

  it('cuts the VMID to 8 bits when VS is 0', () => {
    const { vtcr } = makeStage2Config({ granule: '4K', ipaBits: 40, rootPa: 0x8000_0000 });
    expect(decodeStage2Config(vtcr, 0xabcdn << 48n, 48).vmid).toBe(0xabcd);
    expect(decodeStage2Config(vtcr & ~(1n << 19n), 0xabcdn << 48n, 48).vmid).toBe(0xcd);
  });

  it('is refused with the reason when nothing legal expresses it', () => {
    const make = (options: Partial<Stage2Options>) => () =>
      makeStage2Config({ granule: '4K', ipaBits: 48, rootPa: 0, ...options });
    expect(make({ ipaBits: 53 })).toThrow(/ipaBits/);
    expect(make({ ipaBits: 40.5 })).toThrow(/ipaBits/);
    expect(make({ oaBits: 40 })).toThrow(/oaBits/);
    expect(make({ oaBits: 53 })).toThrow(/oaBits/);
    expect(make({ granule: '64K', lpa2: true })).toThrow(/lpa2/);
    expect(make({ oaBits: 52, lpa2: false })).toThrow(/lpa2/);
    expect(make({ startLevel: 2 })).toThrow(/start level 2/);
    expect(make({ startLevel: -1 })).toThrow(/start level -1/);
    expect(make({ granule: '64K', startLevel: 0 })).toThrow(/start level 0/);
    expect(make({ rootPa: 0x800 })).toThrow(/aligned/);
    expect(make({ rootPa: 2 ** 48 })).toThrow(/root/);
  });
});
