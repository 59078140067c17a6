import { describe, expect, it } from 'vitest';
import { disassemble } from './disassemble.ts';
import * as a64 from './encode.ts';

/** Text and word as the GNU assembler and disassembler (binutils 2.40) have them, and what the encoder makes. */
const VECTORS: readonly (readonly [text: string, word: number, encoded: number])[] = [
  ['nop', 0xd503_201f, a64.NOP],
  ['bti c', 0xd503_245f, a64.BTI_C],
  ['bti j', 0xd503_249f, a64.BTI_J],
  ['paciasp', 0xd503_233f, a64.PACIASP],
  ['autiasp', 0xd503_23bf, a64.AUTIASP],
  ['isb', 0xd503_3fdf, a64.ISB],
  ['dsb ish', 0xd503_3b9f, a64.DSB_ISH],
  ['dsb ishst', 0xd503_3a9f, a64.DSB_ISHST],
  ['dmb ish', 0xd503_3bbf, a64.DMB_ISH],
  ['eret', 0xd69f_03e0, a64.ERET],
  ['mov x9, x30', 0xaa1e_03e9, a64.MOV_X9_X30],
  ['retaa', 0xd65f_0bff, a64.RETAA],
  ['retab', 0xd65f_0fff, a64.RETAB],
  ['bti c', 0xd503_245f, a64.hint(34)],
  ['csdb', 0xd503_229f, a64.hint(20)],
  ['dc zva, x7', 0xd50b_7427, a64.dcZva(7)],
  ['dc cvau, x3', 0xd50b_7b23, a64.dcCvau(3)],
  ['dc civac, x30', 0xd50b_7e3e, a64.dcCivac(30)],
  ['ic ivau, x0', 0xd50b_7520, a64.icIvau(0)],
  ['mrs x19, sp_el0', 0xd538_4113, a64.mrsSpEl0(19)],
  ['b .+0x40', 0x1400_0010, a64.b(0x40)],
  ['b .-0x4', 0x17ff_ffff, a64.b(-4)],
  ['b .-0x8000000', 0x1600_0000, a64.b(-0x800_0000)],
  ['b .+0x7fffffc', 0x15ff_ffff, a64.b(0x7ff_fffc)],
  ['bl .+0x1000', 0x9400_0400, a64.bl(0x1000)],
  ['bl .-0xe0000', 0x97fc_8000, a64.bl(-0xe_0000)],
  ['b.eq .+0x8', 0x5400_0040, a64.bCond(0, 8)],
  ['b.ne .-0x100000', 0x5480_0001, a64.bCond(1, -0x10_0000)],
  ['b.le .+0xffffc', 0x547f_ffed, a64.bCond(13, 0xf_fffc)],
  ['cbz x3, .+0x20', 0xb400_0103, a64.cbz(3, 0x20)],
  ['cbz wzr, .-0x8', 0x34ff_ffdf, a64.cbz(31, -8, false)],
  ['cbnz x30, .-0x20', 0xb5ff_ff1e, a64.cbnz(30, -0x20)],
  ['cbnz w4, .+0xffffc', 0x357f_ffe4, a64.cbnz(4, 0xf_fffc, false)],
  ['tbz w5, #0, .+0x7ffc', 0x3603_ffe5, a64.tbz(5, 0, 0x7ffc)],
  ['tbz x5, #63, .-0x4', 0xb6ff_ffe5, a64.tbz(5, 63, -4)],
  ['tbnz wzr, #31, .-0x8000', 0x37fc_001f, a64.tbnz(31, 31, -0x8000)],
  ['tbnz x2, #32, .+0x10', 0xb700_0082, a64.tbnz(2, 32, 16)],
  ['br x17', 0xd61f_0220, a64.br(17)],
  ['blr x8', 0xd63f_0100, a64.blr(8)],
  ['ret', 0xd65f_03c0, a64.ret()],
  ['ret x16', 0xd65f_0200, a64.ret(16)],
  ['braa x16, x17', 0xd71f_0a11, a64.braa(16, 17)],
  ['braa x1, sp', 0xd71f_083f, a64.braa(1, 31)],
  ['blraa x8, x9', 0xd73f_0909, a64.blraa(8, 9)],
  ['braaz x3', 0xd61f_087f, a64.braaz(3)],
  ['blraaz x4', 0xd63f_089f, a64.blraaz(4)],
  ['brk #0x4', 0xd420_0080, a64.brk(4)],
  ['brk #0x800', 0xd421_0000, a64.brk(0x800)],
  ['brk #0xffff', 0xd43f_ffe0, a64.brk(0xffff)],
  ['hlt #0x1', 0xd440_0020, a64.hlt(1)],
  ['svc #0x0', 0xd400_0001, a64.svc(0)],
  ['hvc #0x1234', 0xd402_4682, a64.hvc(0x1234)],
  ['smc #0x0', 0xd400_0003, a64.smc(0)],
  ['udf #57005', 0x0000_dead, a64.udf(0xdead)],
  ['mov x0, x29', 0xaa1d_03e0, a64.movReg(0, 29)],
  ['mov x0, #0xffff', 0xd29f_ffe0, a64.movz(0, 0xffff)],
  ['mov x3, #0x12000000000000', 0xd2e0_0243, a64.movz(3, 0x12, 48)],
  ['mov x4, #0xffffffffffcbffff', 0x92a0_0684, a64.movn(4, 0x34, 16)],
  ['movk x5, #0xabcd, lsl #32', 0xf2d5_79a5, a64.movk(5, 0xabcd, 32)],
  ['add x29, sp, #0x10', 0x9100_43fd, a64.addImm(29, 31, 16)],
  ['add w3, w4, #0xfff', 0x113f_fc83, a64.addImm(3, 4, 4095, false)],
  ['sub sp, sp, #0x40', 0xd101_03ff, a64.subImm(31, 31, 0x40)],
  ['sub w1, w2, #0x3', 0x5100_0c41, a64.subImm(1, 2, 3, false)],
  ['cmp x7, #0x0', 0xf100_00ff, a64.cmpImm(7, 0)],
  ['cmp w7, #0x9', 0x7100_24ff, a64.cmpImm(7, 9, false)],
  ['add x1, x2, x3', 0x8b03_0041, a64.addReg(1, 2, 3)],
  ['sub x4, x5, x6', 0xcb06_00a4, a64.subReg(4, 5, 6)],
  ['and x7, x8, x9', 0x8a09_0107, a64.andReg(7, 8, 9)],
  ['orr x10, x11, x12', 0xaa0c_016a, a64.orrReg(10, 11, 12)],
  ['eor x13, x14, x15', 0xca0f_01cd, a64.eorReg(13, 14, 15)],
  ['adr x3, .-0x1', 0x70ff_ffe3, a64.adr(3, -1)],
  ['adr x3, .+0xfffff', 0x707f_ffe3, a64.adr(3, 0xf_ffff)],
  ['adrp x16, .+0x1000', 0xb000_0010, a64.adrp(16, 0x1000)],
  ['adrp x0, .-0x100000000', 0x9080_0000, a64.adrp(0, -0x1_0000_0000)],
  ['adrp x1, .+0xfffff000', 0xf07f_ffe1, a64.adrp(1, 0xffff_f000)],
  ['ldr w5, .+0x8', 0x1800_0045, a64.ldrLiteral(2, 5, 8)],
  ['ldr x6, .-0x8', 0x58ff_ffc6, a64.ldrLiteral(3, 6, -8)],
  ['ldr xzr, .-0x100000', 0x5880_001f, a64.ldrLiteral(3, 31, -0x10_0000)],
  ['ldrsw x7, .+0xffffc', 0x987f_ffe7, a64.ldrswLiteral(7, 0xf_fffc)],
];

/** Instructions that the disassembler leaves to others. */
const UNSPOKEN = /^(csdb|dsb|dmb|dc [ci]|ic |mrs|add|sub|cmp|and|orr|eor|adr |movk? x\d+, #)/;

describe('encoders of branches, hints and data processing', () => {
  it.each(VECTORS)('%s', (text, word, encoded) => {
    expect(encoded.toString(16)).toBe(word.toString(16));
    const spoken = UNSPOKEN.test(text) ? `.inst 0x${word.toString(16)}` : text;
    expect(disassemble(word)).toBe(spoken);
  });

  it('agree with the words that the kernel patches in', () => {
    expect(a64.NOP).toBe(0xd503201f);
    expect(a64.MOV_X9_X30).toBe(0xaa1e03e9);
    expect(a64.brk(4)).toBe(0xd4200080);
    expect(a64.b(0x40)).toBe(0x14000010);
    expect(a64.b(-0x40)).toBe(0x17fffff0);
    expect(a64.bl(0x20000 - 0x100000)).toBe(0x97fc8000);
  });

  it('refuse operands that do not fit', () => {
    const bad: (() => number)[] = [
      () => a64.b(0x800_0000),
      () => a64.b(2),
      () => a64.bl(-0x800_0004),
      () => a64.bCond(16, 0),
      () => a64.bCond(0, 0x10_0000),
      () => a64.cbz(32, 0),
      () => a64.tbz(0, 64, 0),
      () => a64.tbnz(0, 0, 0x8000),
      () => a64.brk(0x1_0000),
      () => a64.movz(0, 0, 8),
      () => a64.movk(0, -1),
      () => a64.addImm(0, 0, 4096),
      () => a64.adrp(0, 4095),
      () => a64.adrp(0, 0x1_0000_0000),
      () => a64.ldrLiteral(1, 0, 0),
      () => a64.str(3, 0, 0, 4),
      () => a64.str(4, 0, 0),
      () => a64.str(2, 0, 0, -4),
      () => a64.stur(0, 0, 0, 256),
      () => a64.strV(5, 0, 0),
      () => a64.stp(3, 0, 0, 0, 512),
      () => a64.stp(1, 0, 0, 0),
      () => a64.stpV(1, 0, 0, 0),
      () => a64.stxp(1, 0, 0, 0, 0),
      () => a64.casp(3, 1, 2, 0),
      () => a64.st1(5, true, 0, 0, 0),
      () => a64.str(3, Number.NaN, 0),
    ];
    for (const encode of bad) expect(encode).toThrow(RangeError);
  });

  it('show branch targets as addresses where the address is known', () => {
    expect(disassemble(a64.b(-4), 0xf_8000_1000_0000)).toBe('b 0xffff80000ffffffc');
    expect(disassemble(a64.adrp(3, 0x2000), 0xf_8000_1000_0ffc)).toBe('adrp x3, 0xffff800010002000');
    expect(disassemble(0xffff_ffff)).toBe('.inst 0xffffffff');
  });
});
