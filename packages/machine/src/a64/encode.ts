/**
 * A64 instruction words (Arm ARM DDI 0487, C4 and C6): one small function per instruction, number in, u32 word out.
 * Register 31 is XZR or SP, whichever the instruction takes. Offsets are in bytes. A `size` is the log2 of the bytes
 * accessed: 0 byte, 1 halfword, 2 word, 3 doubleword, and for vector registers also 4, a quadword. Every function
 * throws RangeError if an operand does not fit.
 */

/** Register number of XZR, WZR and SP. */
export const REGISTER_31 = 31;

/** Condition codes of B.cond, by number. */
export const CONDITIONS: readonly string[] = 'eq ne cs cc mi pl vs vc hi ls ge lt gt le al nv'.split(' ');

/** Log2 sizes of accesses. */
export const SIZE_BYTE = 0;
export const SIZE_HALF = 1;
export const SIZE_WORD = 2;
export const SIZE_DOUBLE = 3;
export const SIZE_QUAD = 4;

/** Ordering of an LSE atomic: none, acquire, release or both. */
export type Ordering = '' | 'a' | 'l' | 'al';

/** Extension of a register offset. */
export type Extend = 'uxtw' | 'lsl' | 'sxtw' | 'sxtx';

/** Operation of LD<op> and ST<op>; the index is the opc field. */
export const ATOMIC_OPERATIONS = ['add', 'clr', 'eor', 'set', 'smax', 'smin', 'umax', 'umin'] as const;
export type AtomicOperation = (typeof ATOMIC_OPERATIONS)[number];

const unsigned = (value: number, bits: number, lsb: number): number => {
  if (!(Number.isInteger(value) && value >= 0 && value < 2 ** bits)) {
    throw new RangeError(`A64 operand ${value} does not fit ${bits} unsigned bits`);
  }
  return value << lsb;
};

/** A signed byte offset, a multiple of `scale`, as a field of `bits` bits. */
const signed = (bytes: number, scale: number, bits: number, lsb: number): number => {
  const value = bytes / scale;
  if (!(Number.isInteger(value) && value >= -(2 ** (bits - 1)) && value < 2 ** (bits - 1))) {
    throw new RangeError(`A64 offset ${bytes} does not fit ${bits} signed bits of ${scale} bytes`);
  }
  return (value & (2 ** bits - 1)) << lsb;
};

const reg = (number: number, lsb: number): number => unsigned(number, 5, lsb);

// Hints, barriers, system.

export const NOP: number = 0xd503201f;
export const BTI_C: number = 0xd503245f;
export const BTI_J: number = 0xd503249f;
export const PACIASP: number = 0xd503233f;
export const AUTIASP: number = 0xd50323bf;
export const ISB: number = 0xd5033fdf;
export const DSB_ISH: number = 0xd5033b9f;
export const DSB_ISHST: number = 0xd5033a9f;
export const DMB_ISH: number = 0xd5033bbf;
export const ERET: number = 0xd69f03e0;
/** What ftrace writes over the first NOP of a function: MOV X9, X30. */
export const MOV_X9_X30: number = 0xaa1e03e9;

/** HINT #n; 0 is NOP. */
export const hint = (n: number): number => (0xd503201f | unsigned(n, 7, 5)) >>> 0;
/** DC ZVA, Xt. */
export const dcZva = (rt: number): number => (0xd50b7420 | reg(rt, 0)) >>> 0;
/** DC CVAU, Xt. */
export const dcCvau = (rt: number): number => (0xd50b7b20 | reg(rt, 0)) >>> 0;
/** DC CIVAC, Xt. */
export const dcCivac = (rt: number): number => (0xd50b7e20 | reg(rt, 0)) >>> 0;
/** IC IVAU, Xt. */
export const icIvau = (rt: number): number => (0xd50b7520 | reg(rt, 0)) >>> 0;
/** MRS Xt, SP_EL0: how the kernel reads `current`. */
export const mrsSpEl0 = (rt: number): number => (0xd5384100 | reg(rt, 0)) >>> 0;

// Branches and exceptions.

/** B: offset within ±128 MiB. */
export const b = (offset: number): number => (0x14000000 | signed(offset, 4, 26, 0)) >>> 0;
/** BL: offset within ±128 MiB. */
export const bl = (offset: number): number => (0x94000000 | signed(offset, 4, 26, 0)) >>> 0;
/** B.cond: condition number as in {@link CONDITIONS}, offset within ±1 MiB. */
export const bCond = (condition: number, offset: number): number =>
  (0x54000000 | signed(offset, 4, 19, 5) | unsigned(condition, 4, 0)) >>> 0;
/** CBZ Xt (Wt unless `wide`), offset within ±1 MiB. */
export const cbz = (rt: number, offset: number, wide = true): number =>
  ((wide ? 0xb4000000 : 0x34000000) | signed(offset, 4, 19, 5) | reg(rt, 0)) >>> 0;
/** CBNZ. */
export const cbnz = (rt: number, offset: number, wide = true): number =>
  ((wide ? 0xb5000000 : 0x35000000) | signed(offset, 4, 19, 5) | reg(rt, 0)) >>> 0;
const testBranch = (base: number, rt: number, bit: number, offset: number): number =>
  (base | ((unsigned(bit, 6, 0) >> 5) << 31) | ((bit & 31) << 19) | signed(offset, 4, 14, 5) | reg(rt, 0)) >>> 0;
/** TBZ Rt, #bit: offset within ±32 KiB. */
export const tbz = (rt: number, bit: number, offset: number): number => testBranch(0x36000000, rt, bit, offset);
/** TBNZ Rt, #bit. */
export const tbnz = (rt: number, bit: number, offset: number): number => testBranch(0x37000000, rt, bit, offset);
/** BR Xn. */
export const br = (rn: number): number => (0xd61f0000 | reg(rn, 5)) >>> 0;
/** BLR Xn. */
export const blr = (rn: number): number => (0xd63f0000 | reg(rn, 5)) >>> 0;
/** RET Xn. */
export const ret = (rn = 30): number => (0xd65f0000 | reg(rn, 5)) >>> 0;
/** RETAA. */
export const RETAA: number = 0xd65f0bff;
/** RETAB. */
export const RETAB: number = 0xd65f0fff;
/** BRAA Xn, Xm (Xm may be SP). */
export const braa = (rn: number, rm: number): number => (0xd71f0800 | reg(rn, 5) | reg(rm, 0)) >>> 0;
/** BLRAA Xn, Xm (Xm may be SP). */
export const blraa = (rn: number, rm: number): number => (0xd73f0800 | reg(rn, 5) | reg(rm, 0)) >>> 0;
/** BRAAZ Xn. */
export const braaz = (rn: number): number => (0xd61f081f | reg(rn, 5)) >>> 0;
/** BLRAAZ Xn. */
export const blraaz = (rn: number): number => (0xd63f081f | reg(rn, 5)) >>> 0;
/** BRK #imm: 4 kprobes, 0x400 KGDB, 0x800 BUG. */
export const brk = (imm: number): number => (0xd4200000 | unsigned(imm, 16, 5)) >>> 0;
/** HLT #imm. */
export const hlt = (imm: number): number => (0xd4400000 | unsigned(imm, 16, 5)) >>> 0;
/** SVC #imm. */
export const svc = (imm: number): number => (0xd4000001 | unsigned(imm, 16, 5)) >>> 0;
/** HVC #imm. */
export const hvc = (imm: number): number => (0xd4000002 | unsigned(imm, 16, 5)) >>> 0;
/** SMC #imm. */
export const smc = (imm: number): number => (0xd4000003 | unsigned(imm, 16, 5)) >>> 0;
/** UDF #imm: permanently undefined. */
export const udf = (imm: number): number => unsigned(imm, 16, 0);

// Data processing.

/** MOV Xd, Xm (ORR Xd, XZR, Xm). */
export const movReg = (rd: number, rm: number): number => (0xaa0003e0 | reg(rm, 16) | reg(rd, 0)) >>> 0;
const moveWide = (base: number, rd: number, imm: number, shift: number): number =>
  (base | unsigned(shift / 16, 2, 21) | unsigned(imm, 16, 5) | reg(rd, 0)) >>> 0;
/** MOVZ Xd, #imm, LSL #shift (0, 16, 32, 48). */
export const movz = (rd: number, imm: number, shift = 0): number => moveWide(0xd2800000, rd, imm, shift);
/** MOVN Xd, #imm, LSL #shift. */
export const movn = (rd: number, imm: number, shift = 0): number => moveWide(0x92800000, rd, imm, shift);
/** MOVK Xd, #imm, LSL #shift. */
export const movk = (rd: number, imm: number, shift = 0): number => moveWide(0xf2800000, rd, imm, shift);
const threeRegisters = (base: number, rd: number, rn: number, rm: number): number =>
  (base | reg(rm, 16) | reg(rn, 5) | reg(rd, 0)) >>> 0;
const immediate = (base: number, rd: number, rn: number, imm: number, wide: boolean): number =>
  (base | (wide ? 0x80000000 : 0) | unsigned(imm, 12, 10) | reg(rn, 5) | reg(rd, 0)) >>> 0;
/** ADD Xd, Xn, #imm (12 bits; 31 is SP). */
export const addImm = (rd: number, rn: number, imm: number, wide = true): number =>
  immediate(0x11000000, rd, rn, imm, wide);
/** SUB Xd, Xn, #imm (12 bits; 31 is SP). */
export const subImm = (rd: number, rn: number, imm: number, wide = true): number =>
  immediate(0x51000000, rd, rn, imm, wide);
/** CMP Xn, #imm. */
export const cmpImm = (rn: number, imm: number, wide = true): number => immediate(0x71000000, 31, rn, imm, wide);
/** ADD Xd, Xn, Xm. */
export const addReg = (rd: number, rn: number, rm: number): number => threeRegisters(0x8b000000, rd, rn, rm);
/** SUB Xd, Xn, Xm. */
export const subReg = (rd: number, rn: number, rm: number): number => threeRegisters(0xcb000000, rd, rn, rm);
/** AND Xd, Xn, Xm. */
export const andReg = (rd: number, rn: number, rm: number): number => threeRegisters(0x8a000000, rd, rn, rm);
/** ORR Xd, Xn, Xm. */
export const orrReg = (rd: number, rn: number, rm: number): number => threeRegisters(0xaa000000, rd, rn, rm);
/** EOR Xd, Xn, Xm. */
export const eorReg = (rd: number, rn: number, rm: number): number => threeRegisters(0xca000000, rd, rn, rm);
const pcRelative = (base: number, rd: number, offset: number, scale: number): number => {
  const imm = signed(offset, scale, 21, 0);
  return (base | ((imm & 3) << 29) | ((imm >> 2) << 5) | reg(rd, 0)) >>> 0;
};
/** ADR Xd: offset within ±1 MiB. */
export const adr = (rd: number, offset: number): number => pcRelative(0x10000000, rd, offset, 1);
/** ADRP Xd: offset between pages, a multiple of 4096 within ±4 GiB. */
export const adrp = (rd: number, offset: number): number => pcRelative(0x90000000, rd, offset, 4096);

// Loads and stores of one register.

/** LDR Wt or Xt (size 2 or 3) from a literal: offset within ±1 MiB. */
export const ldrLiteral = (size: number, rt: number, offset: number): number =>
  (0x18000000 | unsigned(size - 2, 1, 30) | signed(offset, 4, 19, 5) | reg(rt, 0)) >>> 0;
/** LDRSW Xt from a literal. */
export const ldrswLiteral = (rt: number, offset: number): number =>
  (0x98000000 | signed(offset, 4, 19, 5) | reg(rt, 0)) >>> 0;

// size 31:30, V 26, opc 23:22: a vector access of 16 bytes has size 0 and the upper bit of opc set.
const scalar = (size: number, opc: number): number => unsigned(size, 2, 30) | (opc << 22);
const vector = (size: number, opc: number): number => {
  if (!(Number.isInteger(size) && size >= 0 && size <= 4)) throw new RangeError(`A64 vector size ${size}`);
  return ((size & 3) << 30) | (1 << 26) | ((((size >> 2) << 1) | opc) << 22);
};
const scaledImm = (kind: number, size: number, rt: number, rn: number, offset: number): number =>
  (0x39000000 | kind | unsigned(offset / 2 ** size, 12, 10) | reg(rn, 5) | reg(rt, 0)) >>> 0;
const signedImm = (base: number, kind: number, rt: number, rn: number, offset: number): number =>
  (base | kind | signed(offset, 1, 9, 12) | reg(rn, 5) | reg(rt, 0)) >>> 0;
const OPTION: Readonly<Record<Extend, number>> = { uxtw: 2, lsl: 3, sxtw: 6, sxtx: 7 };
const registerOffset = (kind: number, rt: number, rn: number, rm: number, extend: Extend, shifted: boolean): number =>
  (0x38200800 | kind | reg(rm, 16) | (OPTION[extend] << 13) | (shifted ? 1 << 12 : 0) | reg(rn, 5) | reg(rt, 0)) >>> 0;

const UNSCALED = 0x38000000;
const POST = 0x38000400;
const UNPRIVILEGED = 0x38000800;
const PRE = 0x38000c00;

/** STRB, STRH, STR Wt, STR Xt, [Xn, #offset]: offset unsigned, scaled, 12 bits. */
export const str = (size: number, rt: number, rn: number, offset = 0): number =>
  scaledImm(scalar(size, 0), size, rt, rn, offset);
/** STURB, STURH, STUR: offset in [-256, 256). */
export const stur = (size: number, rt: number, rn: number, offset: number): number =>
  signedImm(UNSCALED, scalar(size, 0), rt, rn, offset);
/** STTRB, STTRH, STTR: with the permissions of EL0. */
export const sttr = (size: number, rt: number, rn: number, offset = 0): number =>
  signedImm(UNPRIVILEGED, scalar(size, 0), rt, rn, offset);
/** STR Rt, [Xn], #offset. */
export const strPost = (size: number, rt: number, rn: number, offset: number): number =>
  signedImm(POST, scalar(size, 0), rt, rn, offset);
/** STR Rt, [Xn, #offset]!. */
export const strPre = (size: number, rt: number, rn: number, offset: number): number =>
  signedImm(PRE, scalar(size, 0), rt, rn, offset);
/** STR Rt, [Xn, Rm, extend], Rm shifted by the size if `shifted`. */
export const strReg = (
  size: number,
  rt: number,
  rn: number,
  rm: number,
  extend: Extend = 'lsl',
  shifted = false,
): number => registerOffset(scalar(size, 0), rt, rn, rm, extend, shifted);
/** LDRB, LDRH, LDR Wt, LDR Xt, [Xn, #offset]. */
export const ldr = (size: number, rt: number, rn: number, offset = 0): number =>
  scaledImm(scalar(size, 1), size, rt, rn, offset);
/** LDUR. */
export const ldur = (size: number, rt: number, rn: number, offset: number): number =>
  signedImm(UNSCALED, scalar(size, 1), rt, rn, offset);
/** LDR Rt, [Xn], #offset. */
export const ldrPost = (size: number, rt: number, rn: number, offset: number): number =>
  signedImm(POST, scalar(size, 1), rt, rn, offset);
/** LDR Rt, [Xn, #offset]!. */
export const ldrPre = (size: number, rt: number, rn: number, offset: number): number =>
  signedImm(PRE, scalar(size, 1), rt, rn, offset);
/** LDR Rt, [Xn, Rm, extend]. */
export const ldrReg = (
  size: number,
  rt: number,
  rn: number,
  rm: number,
  extend: Extend = 'lsl',
  shifted = false,
): number => registerOffset(scalar(size, 1), rt, rn, rm, extend, shifted);
/** STR Bt, Ht, St, Dt or Qt, [Xn, #offset]. */
export const strV = (size: number, rt: number, rn: number, offset = 0): number =>
  scaledImm(vector(size, 0), size, rt, rn, offset);
/** STUR of a vector register. */
export const sturV = (size: number, rt: number, rn: number, offset: number): number =>
  signedImm(UNSCALED, vector(size, 0), rt, rn, offset);
/** STR of a vector register, post-indexed. */
export const strVPost = (size: number, rt: number, rn: number, offset: number): number =>
  signedImm(POST, vector(size, 0), rt, rn, offset);
/** STR of a vector register, pre-indexed. */
export const strVPre = (size: number, rt: number, rn: number, offset: number): number =>
  signedImm(PRE, vector(size, 0), rt, rn, offset);
/** STR of a vector register, register offset. */
export const strVReg = (
  size: number,
  rt: number,
  rn: number,
  rm: number,
  extend: Extend = 'lsl',
  shifted = false,
): number => registerOffset(vector(size, 0), rt, rn, rm, extend, shifted);
/** LDR of a vector register. */
export const ldrV = (size: number, rt: number, rn: number, offset = 0): number =>
  scaledImm(vector(size, 1), size, rt, rn, offset);
/** ST1 of 1 to 4 registers of 8 bytes (16 if `quad`) in elements of `element` (log2 bytes), [Xn]. */
export const st1 = (registers: number, quad: boolean, element: number, rt: number, rn: number): number => {
  const opcode = [7, 10, 6, 2][registers - 1];
  if (opcode === undefined) throw new RangeError(`ST1 of ${registers} registers`);
  const base = (quad ? 0x4c000000 : 0x0c000000) | (opcode << 12) | unsigned(element, 2, 10);
  return (base | reg(rn, 5) | reg(rt, 0)) >>> 0;
};
/** ST1 as {@link st1}, then Xn += Xm, or += the bytes stored if `rm` is 31. */
export const st1Post = (
  registers: number,
  quad: boolean,
  element: number,
  rt: number,
  rn: number,
  rm: number = REGISTER_31,
): number => (st1(registers, quad, element, rt, rn) | 0x00800000 | reg(rm, 16)) >>> 0;

// Pairs. opc 31:30, V 26, mode 25:23, L 22.

const NON_TEMPORAL = 0x28000000;
const PAIR_POST = 0x28800000;
const PAIR_OFFSET = 0x29000000;
const PAIR_PRE = 0x29800000;
const LOAD = 1 << 22;
const pair = (base: number, size: number, rt: number, rt2: number, rn: number, offset: number): number =>
  (base | unsigned(size - 2, 1, 31) | signed(offset, 2 ** size, 7, 15) | reg(rt2, 10) | reg(rn, 5) | reg(rt, 0)) >>> 0;
const pairV = (base: number, size: number, rt: number, rt2: number, rn: number, offset: number): number => {
  if (!(size >= 2 && size <= 4)) throw new RangeError(`A64 vector pair size ${size}`);
  const word = base | (1 << 26) | unsigned(size - 2, 2, 30) | signed(offset, 2 ** size, 7, 15);
  return (word | reg(rt2, 10) | reg(rn, 5) | reg(rt, 0)) >>> 0;
};
type Pair = (size: number, rt: number, rt2: number, rn: number, offset?: number) => number;
/** STP Rt, Rt2, [Xn, #offset] of two words (size 2) or doublewords (3): offset signed, scaled, 7 bits. */
export const stp: Pair = (size, rt, rt2, rn, offset = 0) => pair(PAIR_OFFSET, size, rt, rt2, rn, offset);
/** STP, post-indexed. */
export const stpPost: Pair = (size, rt, rt2, rn, offset = 0) => pair(PAIR_POST, size, rt, rt2, rn, offset);
/** STP, pre-indexed. */
export const stpPre: Pair = (size, rt, rt2, rn, offset = 0) => pair(PAIR_PRE, size, rt, rt2, rn, offset);
/** STNP: as STP, with a hint that the line will not be used again. */
export const stnp: Pair = (size, rt, rt2, rn, offset = 0) => pair(NON_TEMPORAL, size, rt, rt2, rn, offset);
/** LDP. */
export const ldp: Pair = (size, rt, rt2, rn, offset = 0) => pair(PAIR_OFFSET | LOAD, size, rt, rt2, rn, offset);
/** LDP, post-indexed. */
export const ldpPost: Pair = (size, rt, rt2, rn, offset = 0) => pair(PAIR_POST | LOAD, size, rt, rt2, rn, offset);
/** LDP, pre-indexed. */
export const ldpPre: Pair = (size, rt, rt2, rn, offset = 0) => pair(PAIR_PRE | LOAD, size, rt, rt2, rn, offset);
/** STP of two S, D or Q registers (size 2, 3, 4). */
export const stpV: Pair = (size, rt, rt2, rn, offset = 0) => pairV(PAIR_OFFSET, size, rt, rt2, rn, offset);
/** STP of vector registers, post-indexed. */
export const stpVPost: Pair = (size, rt, rt2, rn, offset = 0) => pairV(PAIR_POST, size, rt, rt2, rn, offset);
/** STP of vector registers, pre-indexed. */
export const stpVPre: Pair = (size, rt, rt2, rn, offset = 0) => pairV(PAIR_PRE, size, rt, rt2, rn, offset);
/** STNP of vector registers. */
export const stnpV: Pair = (size, rt, rt2, rn, offset = 0) => pairV(NON_TEMPORAL, size, rt, rt2, rn, offset);

// Exclusives, ordered accesses, atomics.

const exclusive = (base: number, size: number, rs: number, rt: number, rt2: number, rn: number): number =>
  (base | unsigned(size, 2, 30) | reg(rs, 16) | reg(rt2, 10) | reg(rn, 5) | reg(rt, 0)) >>> 0;
/** LDXR Rt, [Xn]. */
export const ldxr = (size: number, rt: number, rn: number): number => exclusive(0x08400000, size, 31, rt, 31, rn);
/** LDAXR Rt, [Xn]. */
export const ldaxr = (size: number, rt: number, rn: number): number => exclusive(0x08408000, size, 31, rt, 31, rn);
/** STXR Ws, Rt, [Xn]. */
export const stxr = (size: number, rs: number, rt: number, rn: number): number =>
  exclusive(0x08000000, size, rs, rt, 31, rn);
/** STLXR Ws, Rt, [Xn]. */
export const stlxr = (size: number, rs: number, rt: number, rn: number): number =>
  exclusive(0x08008000, size, rs, rt, 31, rn);
/** STXP Ws, Rt, Rt2, [Xn] (size of each: 2 or 3). */
export const stxp = (size: number, rs: number, rt: number, rt2: number, rn: number): number =>
  exclusive(0x08200000, 2 + (unsigned(size - 2, 1, 0) & 1), rs, rt, rt2, rn);
/** STLXP Ws, Rt, Rt2, [Xn]. */
export const stlxp = (size: number, rs: number, rt: number, rt2: number, rn: number): number =>
  (stxp(size, rs, rt, rt2, rn) | 0x8000) >>> 0;
/** LDAR Rt, [Xn]. */
export const ldar = (size: number, rt: number, rn: number): number => exclusive(0x08c08000, size, 31, rt, 31, rn);
/** STLR Rt, [Xn]. */
export const stlr = (size: number, rt: number, rn: number): number => exclusive(0x08808000, size, 31, rt, 31, rn);
/** STLLR Rt, [Xn]. */
export const stllr = (size: number, rt: number, rn: number): number => exclusive(0x08800000, size, 31, rt, 31, rn);
/** STLUR Rt, [Xn, #offset]: offset in [-256, 256). */
export const stlur = (size: number, rt: number, rn: number, offset = 0): number =>
  (0x19000000 | unsigned(size, 2, 30) | signed(offset, 1, 9, 12) | reg(rn, 5) | reg(rt, 0)) >>> 0;

const acquire = (ordering: Ordering): number => (ordering.includes('a') ? 1 : 0);
const release = (ordering: Ordering): number => (ordering.includes('l') ? 1 : 0);
/** CAS Rs, Rt, [Xn]: compares with Rs, stores Rt, gives the old value in Rs. */
export const cas = (size: number, rs: number, rt: number, rn: number, ordering: Ordering = ''): number =>
  exclusive(0x08a00000 | (acquire(ordering) << 22) | (release(ordering) << 15), size, rs, rt, 31, rn);
/** CASP Rs, Rs+1, Rt, Rt+1, [Xn] of two words (size 2) or doublewords (3); Rs and Rt even. */
export const casp = (size: number, rs: number, rt: number, rn: number, ordering: Ordering = ''): number => {
  if ((rs | rt) & 1) throw new RangeError('CASP takes even registers');
  const base = 0x08200000 | (acquire(ordering) << 22) | (release(ordering) << 15);
  return exclusive(base, unsigned(size - 2, 1, 0), rs, rt, 31, rn);
};
const atomic = (opcode: number, size: number, rs: number, rt: number, rn: number, ordering: Ordering): number =>
  (0x38200000 |
    unsigned(size, 2, 30) |
    (acquire(ordering) << 23) |
    (release(ordering) << 22) |
    (opcode << 12) |
    reg(rs, 16) |
    reg(rn, 5) |
    reg(rt, 0)) >>>
  0;
/** LD<op> Rs, Rt, [Xn]: memory op= Rs, the old value in Rt; with Rt = 31 it is ST<op>. */
export const ldOp = (
  operation: AtomicOperation,
  size: number,
  rs: number,
  rt: number,
  rn: number,
  ordering: Ordering = '',
): number => atomic(ATOMIC_OPERATIONS.indexOf(operation), size, rs, rt, rn, ordering);
/** LDADD. */
export const ldadd = (size: number, rs: number, rt: number, rn: number, ordering: Ordering = ''): number =>
  atomic(0, size, rs, rt, rn, ordering);
/** LDSET. */
export const ldset = (size: number, rs: number, rt: number, rn: number, ordering: Ordering = ''): number =>
  atomic(3, size, rs, rt, rn, ordering);
/** SWP Rs, Rt, [Xn]: stores Rs, gives the old value in Rt. */
export const swp = (size: number, rs: number, rt: number, rn: number, ordering: Ordering = ''): number =>
  atomic(8, size, rs, rt, rn, ordering);
