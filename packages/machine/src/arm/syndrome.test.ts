import { describe, expect, it } from 'vitest';
import {
  dataAbort,
  decodeAbort,
  EC_DATA_ABORT,
  EC_DATA_ABORT_SAME,
  EC_INSTRUCTION_ABORT,
  EC_INSTRUCTION_ABORT_SAME,
  FSC_ACCESS_FLAG_L,
  FSC_ADDRESS_SIZE_L,
  FSC_EXTERNAL,
  FSC_EXTERNAL_WALK_L,
  FSC_PERMISSION_L,
  FSC_TLB_CONFLICT,
  FSC_TRANSLATION_L,
  farValid,
  fscLevel,
  fscName,
  fscType,
  hpfarOf,
  hpfarToIpa,
  hpfarValid,
  instructionAbort,
  parAddress,
  parFailed,
  parFault,
  parHi,
  parLo,
  parToHpfar,
} from './index.ts';

describe('ESR_EL2', () => {
  it.each([
    ['STR W3 to a read-only page', { isv: 1, sas: 2, srt: 3, wnr: 1, dfsc: FSC_PERMISSION_L(3) }, 0x9383004f],
    ['STR X3 to a read-only page', { isv: 1, sas: 3, srt: 3, sf: 1, wnr: 1, dfsc: FSC_PERMISSION_L(3) }, 0x93c3804f],
    ['STRB WZR to a read-only block', { isv: 1, sas: 0, srt: 31, wnr: 1, dfsc: FSC_PERMISSION_L(2) }, 0x931f004e],
    ['LDR W7, translation level 2', { isv: 1, sas: 2, srt: 7, wnr: 0, dfsc: FSC_TRANSLATION_L(2) }, 0x93870006],
    ['STP, STXR, CAS, DC ZVA', { wnr: 1, dfsc: FSC_PERMISSION_L(3) }, 0x9200004f],
    ['the update of AF by a stage-1 walk', { s1ptw: 1, wnr: 1, dfsc: FSC_PERMISSION_L(3) }, 0x920000cf],
  ] as const)('of %s', (_, abort, esr) => {
    expect(dataAbort(abort)).toBe(esr);
    expect(decodeAbort(esr)).toMatchObject({ il: 1, ec: EC_DATA_ABORT, fsc: abort.dfsc, wnr: abort.wnr });
  });

  it('of a fetch from an execute-never page', () => {
    expect(instructionAbort({ ifsc: FSC_PERMISSION_L(3) })).toBe(0x8200000f);
  });

  it('reports no register when ISV is 0', () => {
    expect(dataAbort({ isv: false, sas: 3, srt: 9, sf: 1, ar: 1, sse: 1, wnr: true, dfsc: 0xf })).toBe(0x9200004f);
  });

  it('has other classes for aborts into the same exception level', () => {
    expect(decodeAbort(dataAbort({ wnr: 0, dfsc: 4, same: 1 })).ec).toBe(EC_DATA_ABORT_SAME);
    expect(decodeAbort(instructionAbort({ ifsc: 4, same: 1 })).ec).toBe(EC_INSTRUCTION_ABORT_SAME);
    expect(decodeAbort(instructionAbort({ ifsc: 4 })).ec).toBe(EC_INSTRUCTION_ABORT);
  });
});

describe('fault status codes', () => {
  it('are those of the manual, level -1 included', () => {
    const row = (code: (level: number) => number, from: number): number[] =>
      [-1, 0, 1, 2, 3].filter((level) => level >= from).map((level) => code(level) & 0x3f);
    expect(row(FSC_ADDRESS_SIZE_L, -1)).toEqual([0x29, 0, 1, 2, 3]);
    expect(row(FSC_TRANSLATION_L, -1)).toEqual([0x2b, 4, 5, 6, 7]);
    expect(row(FSC_ACCESS_FLAG_L, 0)).toEqual([8, 9, 0xa, 0xb]);
    expect(row(FSC_PERMISSION_L, 0)).toEqual([0xc, 0xd, 0xe, 0xf]);
    expect(row(FSC_EXTERNAL_WALK_L, -1)).toEqual([0x13, 0x14, 0x15, 0x16, 0x17]);
  });

  it('are never the 0 of success, and registers drop what makes them so', () => {
    expect(FSC_ADDRESS_SIZE_L(0)).not.toBe(0);
    expect(dataAbort({ wnr: 0, dfsc: FSC_ADDRESS_SIZE_L(0) })).toBe(0x9200_0000);
    expect(fscName(FSC_ADDRESS_SIZE_L(0))).toBe('address size fault, level 0');
  });

  it('give back class and level', () => {
    for (const code of [FSC_ADDRESS_SIZE_L, FSC_TRANSLATION_L, FSC_EXTERNAL_WALK_L])
      for (const level of [-1, 0, 1, 2, 3]) {
        expect(fscType(code(level))).toBe(fscType(code(1)));
        expect(fscLevel(code(level))).toBe(level);
      }
    expect(fscName(0x13)).toBe('external abort on a table walk, level -1');
    expect(fscName(FSC_TLB_CONFLICT)).toBe('TLB conflict abort');
    expect(fscName(0x3f)).toBe('fault status 0x3f');
  });
});

describe('HPFAR_EL2', () => {
  it('holds the 4 KiB page of the IPA, for 52 bits too', () => {
    expect(hpfarOf(0x8_4021_3abc)).toBe(0x0840_2130);
    expect(hpfarToIpa(0x0840_2130)).toBe(0x8_4021_3000);
    expect(hpfarToIpa(hpfarOf(0xf_8765_4321_0abc))).toBe(0xf_8765_4321_0000);
  });

  it('is unknown for a permission fault on the access, but not on a stage-1 walk', () => {
    const esr = (dfsc: number, s1ptw = 0 as 0 | 1): number => dataAbort({ dfsc, s1ptw, wnr: 0 });
    expect(hpfarValid(esr(FSC_PERMISSION_L(3)))).toBe(false);
    expect(hpfarValid(esr(FSC_PERMISSION_L(3), 1))).toBe(true);
    for (const code of [FSC_TRANSLATION_L(-1), FSC_TRANSLATION_L(2), FSC_ACCESS_FLAG_L(3), FSC_ADDRESS_SIZE_L(0)])
      expect(hpfarValid(esr(code))).toBe(true);
    expect(hpfarValid(esr(FSC_EXTERNAL))).toBe(false);
    expect(hpfarValid(esr(FSC_EXTERNAL_WALK_L(-1), 1))).toBe(false);
  });
});

describe('FAR_EL2', () => {
  it('is invalid only for an external abort that says so', () => {
    expect(farValid(dataAbort({ dfsc: FSC_EXTERNAL, fnv: 1, wnr: 0 }))).toBe(false);
    expect(farValid(dataAbort({ dfsc: FSC_EXTERNAL, wnr: 0 }))).toBe(true);
    expect(farValid(dataAbort({ dfsc: FSC_PERMISSION_L(3), wnr: 1 }))).toBe(true);
  });
});

describe('PAR_EL1', () => {
  it('gives HPFAR_EL2 after a translation that succeeded', () => {
    const ipa = 0xf_8765_4321_0abc;
    const [lo, hi] = [parLo(ipa, 3), parHi(ipa, 0xff)];
    expect(parFailed(lo)).toBe(false);
    expect(parAddress(lo, hi)).toBe(0xf_8765_4321_0000);
    expect(parToHpfar(lo, hi)).toBe(hpfarOf(ipa));
    expect(hi >>> 24).toBe(0xff);
    expect((lo >>> 7) & 3).toBe(3);
  });

  it('reports a failure with its status', () => {
    const lo = parFault(FSC_TRANSLATION_L(3), true, 1);
    expect(parFailed(lo)).toBe(true);
    expect(lo).toBe(1 | (7 << 1) | (1 << 8) | (1 << 9) | (1 << 11));
  });
});
