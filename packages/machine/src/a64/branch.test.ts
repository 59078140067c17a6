import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  adrpOffset,
  branchOffset,
  CLASS_ADRP,
  CLASS_B,
  CLASS_BARRIER,
  CLASS_BL,
  CLASS_CONDITIONAL,
  CLASS_EXCEPTION,
  CLASS_INDIRECT_CALL,
  CLASS_INDIRECT_JUMP,
  CLASS_LITERAL_LOAD,
  CLASS_NAMES,
  CLASS_OTHER,
  CLASS_RET,
  hotpatchSafe,
  instructionClass,
  literalBytes,
  literalOffset,
} from './branch.ts';
import * as a64 from './encode.ts';

/** Words of each class, checked with binutils 2.40; hexadecimal ones have no encoder. */
const CLASSES: readonly (readonly [kind: number, words: readonly number[]])[] = [
  [CLASS_B, [a64.b(4), a64.b(-4), a64.b(0x7ff_fffc), a64.b(-0x800_0000)]],
  [CLASS_BL, [a64.bl(4), a64.bl(-4), a64.bl(0x7ff_fffc), a64.bl(-0x800_0000)]],
  [
    CLASS_CONDITIONAL,
    [
      a64.bCond(0, 8),
      a64.bCond(14, -8),
      0x5450e8ff /* bc.nv */,
      a64.cbz(1, 8),
      a64.cbz(1, 8, false),
      a64.cbnz(1, -8),
      a64.cbnz(1, -8, false),
      a64.tbz(1, 3, 8),
      a64.tbz(1, 33, 8),
      a64.tbnz(1, 3, -8),
      a64.tbnz(1, 33, -8),
    ],
  ],
  [CLASS_RET, [a64.ret(), a64.ret(0), a64.RETAA, a64.RETAB]],
  [CLASS_INDIRECT_JUMP, [a64.br(16), a64.braa(1, 31), a64.braaz(3), 0xd71f0ecd /* brab */, 0xd61f0fff /* brabz */]],
  [CLASS_INDIRECT_CALL, [a64.blr(8), a64.blraa(1, 2), a64.blraaz(3), 0xd73f0c1f /* blrab */, 0xd63f0d3f /* blrabz */]],
  [
    CLASS_LITERAL_LOAD,
    [a64.ldrLiteral(2, 1, 8), a64.ldrLiteral(3, 1, -8), a64.ldrswLiteral(1, 8), 0x1c000000, 0x5c000000, 0x9c000000],
  ],
  [CLASS_ADRP, [a64.adrp(1, 0), a64.adrp(1, 0x1000), a64.adrp(1, 0x2000), a64.adrp(1, 0x3000)]],
  [
    CLASS_EXCEPTION,
    [
      a64.brk(0x800),
      a64.hlt(0),
      a64.svc(0),
      a64.hvc(0),
      a64.smc(0),
      a64.udf(0),
      a64.udf(0xffff),
      a64.ERET,
      0xd4bd6741 /* dcps1 */,
      0xd69f0bff /* eretaa */,
      0xd6bf03e0 /* drps */,
      0xd65f0bc0 /* unallocated */,
      0xd61f1000 /* unallocated */,
      0xd61e0000 /* unallocated */,
    ],
  ],
  [CLASS_BARRIER, [a64.ISB, 0xd50336df /* isb #6 */]],
  [
    CLASS_OTHER,
    [
      a64.NOP,
      a64.BTI_C,
      a64.PACIASP,
      a64.DSB_ISH,
      a64.DMB_ISH,
      a64.MOV_X9_X30,
      a64.adr(1, 4),
      0xd8000040 /* prfm literal */,
      a64.ldr(3, 1, 2),
      a64.dcZva(1),
      a64.mrsSpEl0(0),
      0xffffffff,
    ],
  ],
];

const offsets = (bits: number, scale: number): fc.Arbitrary<number> =>
  fc.integer({ min: -(2 ** (bits - 1)), max: 2 ** (bits - 1) - 1 }).map((n) => n * scale);

describe('instruction classes', () => {
  it.each(CLASSES.map(([kind, words]) => [CLASS_NAMES[kind], kind, words] as const))('%s', (_name, kind, words) => {
    for (const word of words) {
      expect([word.toString(16), instructionClass(word)]).toEqual([word.toString(16), kind]);
      // Words come from Uint32Array and Int32Array alike.
      expect(instructionClass(word | 0)).toBe(kind);
    }
  });
});

describe('offsets', () => {
  it('of branches are what was encoded', () => {
    fc.assert(
      fc.property(
        offsets(26, 4),
        offsets(19, 4),
        offsets(14, 4),
        fc.integer({ min: 0, max: 31 }),
        (far, mid, near, r) => {
          for (const word of [a64.b(far), a64.bl(far)]) expect(branchOffset(word)).toBe(far);
          for (const word of [a64.bCond(r & 15, mid), a64.cbz(r, mid), a64.cbnz(r, mid, false)]) {
            expect(branchOffset(word)).toBe(mid);
          }
          for (const word of [a64.tbz(r, r * 2, near), a64.tbnz(r, r, near)]) expect(branchOffset(word)).toBe(near);
        },
      ),
    );
  });

  it('of literals and pages are what was encoded', () => {
    fc.assert(
      fc.property(offsets(19, 4), offsets(21, 4096), fc.integer({ min: 0, max: 31 }), (literal, page, r) => {
        for (const word of [a64.ldrLiteral(2, r, literal), a64.ldrswLiteral(r, literal)]) {
          expect(literalOffset(word)).toBe(literal);
        }
        expect(adrpOffset(a64.adrp(r, page))).toBe(page);
      }),
    );
    const bytes = [
      a64.ldrLiteral(2, 0, 0),
      a64.ldrLiteral(3, 0, 0),
      a64.ldrswLiteral(0, 0),
      0x1c000000,
      0x5c000000,
      0x9c000000,
    ];
    expect(bytes.map(literalBytes)).toEqual([4, 8, 4, 4, 8, 16]);
  });
});

describe('words that may be patched under running cores', () => {
  it('are those of the architecture’s list', () => {
    const safe = [
      a64.b(4),
      a64.bCond(3, 4),
      a64.bl(4),
      a64.brk(4),
      a64.cbnz(0, 4),
      a64.cbz(0, 4),
      a64.hvc(1),
      a64.ISB,
      a64.NOP,
      a64.smc(0),
      a64.svc(0),
      a64.tbnz(0, 40, 4),
      a64.tbz(0, 0, 4),
    ];
    for (const word of safe) expect(hotpatchSafe(word)).toBe(true);
  });

  it('are no others', () => {
    const unsafe = [a64.MOV_X9_X30, a64.ret(), a64.br(0), a64.blr(0), a64.hlt(0), a64.udf(0), a64.ERET, a64.BTI_C];
    unsafe.push(a64.adrp(0, 0), a64.ldrLiteral(3, 0, 0), a64.str(2, 0, 0), 0x5450e8ff, a64.hint(5), a64.DSB_ISH);
    for (const word of unsafe) expect(hotpatchSafe(word)).toBe(false);
  });
});
