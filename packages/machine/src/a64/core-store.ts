import type { CpuRegisters } from './registers.ts';

/**
 * The core's side of a store: which bytes at which VA an instruction word stores, and what the syndrome of its stage-2 data
 * abort says. Decoded the way the manual's encoding index does (Arm ARM DDI 0487, C4.1.92, loads and stores; C5.3, DC ZVA), group by
 * group. EL2's decoder (el2-store.ts) shares nothing with this one, so that a disagreement is found by executing both.
 *
 * A word whose result the manual calls constrained unpredictable (write-back into a data register, a status register
 * that is also data or base) is no store for either side. FEAT_LSE2, MTE, MOPS, LSE128 and LS64 are absent.
 */

/** Registers to contiguous bytes. */
export const STORE_PLAIN = 0;
/** STXR, STLXR, STXP, STLXP. */
export const STORE_EXCLUSIVE = 1;
/** CAS and CASP. */
export const STORE_COMPARE = 2;
/** LD<op>, ST<op> and SWP. */
export const STORE_ATOMIC = 3;
/** DC ZVA. */
export const STORE_ZERO = 4;

/** The access translates. */
export const STORE_OK = 0;
/** Data abort, alignment fault: stage 1 raises it, so stage 2 never sees the access. */
export const STORE_MISALIGNED = 1;
/** SP alignment fault: the base is SP and no multiple of 16. */
export const STORE_SP_MISALIGNED = 2;
/** The VA is not one that TTBR1 translates: bits 63:52 are not all ones. */
export const STORE_NOT_KERNEL = 3;

/** Bytes that DC ZVA zeroes: DCZID_EL0.BS = 4. */
export const ZERO_BLOCK_BYTES = 64;

/** What {@link decodeStore} found. One object serves many calls. */
export class StoreAccess {
  /** A STORE_ kind. */
  kind: number = STORE_PLAIN;
  /** First byte stored, as a Va (bits 51:0); valid unless `fault` is STORE_NOT_KERNEL. */
  va = 0;
  /** Bytes accessed, 1 to 64. */
  bytes = 0;
  /** Bytes of one data register. */
  unit = 0;
  /** STORE_OK or why the access does not reach stage 2. */
  fault: number = STORE_OK;
  /** The data abort's ISS fields (ESR_ELx, [A 4.1]): isv is 0 for all but plain single-register stores, then all are 0. */
  isv = 0;
  sas = 0;
  srt = 0;
  sf = 0;
  ar = 0;
  /** Data are vector registers. */
  vector = false;
  /** The base register is written back. */
  writeback = false;
  /** STTR: the permissions of EL0 apply at stage 1. */
  unprivileged = false;
  /** Number of data registers; for a vector store with more than two they follow each other. */
  registers = 1;
  base = 0;
  rt = 0;
  rt2 = 0;
  /** Status register, compare register or operand, by kind. */
  rs = 0;
  /** Of STORE_ATOMIC: opc, 8 for SWP. */
  operation = 0;
  /** The base register's value after write-back. */
  baseLo = 0;
  baseHi = 0;

  /** Whether memory is read and written as one access: the abort of such a store says write even if the compare fails. */
  get atomic(): boolean {
    return this.kind === STORE_COMPARE || this.kind === STORE_ATOMIC;
  }
}

const size = (word: number): number => word >>> 30;
const imm9 = (word: number): number => (word << 11) >> 23;

/** Start: base register plus a signed 32-bit offset; write-back leaves base plus `step`. */
const address = (out: StoreAccess, regs: CpuRegisters, word: number, offset: number, step: number): void => {
  const n = (word >>> 5) & 31;
  out.base = n;
  const lo = regs.lo[n]! + (offset >>> 0);
  const hi = (regs.hi[n]! + (offset < 0 ? 0xffff_ffff : 0) + (lo >= 0x1_0000_0000 ? 1 : 0)) >>> 0;
  finishAddress(out, lo >>> 0, hi);
  if (!out.writeback) return;
  const stepped = regs.lo[n]! + (step >>> 0);
  out.baseLo = stepped >>> 0;
  out.baseHi = (regs.hi[n]! + (step < 0 ? 0xffff_ffff : 0) + (stepped >= 0x1_0000_0000 ? 1 : 0)) >>> 0;
};

const finishAddress = (out: StoreAccess, lo: number, hi: number): void => {
  out.va = (hi & 0xf_ffff) * 0x1_0000_0000 + lo;
  if (hi >>> 20 !== 0xfff || out.va + out.bytes > 2 ** 52) out.fault = STORE_NOT_KERNEL;
};

/** Checked after the address is known, before translation; SP first, as the base is read first. */
const checkAlignment = (out: StoreAccess, regs: CpuRegisters, aligned: boolean): boolean => {
  if (out.base === 31 && (regs.lo[31]! & 15) !== 0) out.fault = STORE_SP_MISALIGNED;
  else if (out.fault === STORE_OK && aligned && (out.va & (out.bytes - 1)) !== 0) out.fault = STORE_MISALIGNED;
  return true;
};

const begin = (out: StoreAccess, kind: number, unit: number, registers: number, word: number): void => {
  out.kind = kind;
  out.unit = unit;
  out.registers = registers;
  out.bytes = unit * registers;
  out.fault = STORE_OK;
  out.isv = out.sas = out.srt = out.sf = out.ar = 0;
  out.vector = out.writeback = out.unprivileged = false;
  out.rt = word & 31;
  out.rt2 = (word >>> 10) & 31;
  out.rs = (word >>> 16) & 31;
};

const syndrome = (out: StoreAccess, word: number, ar: number): void => {
  out.isv = 1;
  out.sas = size(word);
  out.srt = word & 31;
  out.sf = size(word) === 3 ? 1 : 0;
  out.ar = ar;
};

// size 001000 o2(23) L(22) o1(21) Rs o0(15) Rt2 Rn Rt
const exclusives = (word: number, regs: CpuRegisters, out: StoreAccess): boolean => {
  const rs = (word >>> 16) & 31;
  const rt = word & 31;
  const rt2 = (word >>> 10) & 31;
  const rn = (word >>> 5) & 31;
  const bytes = 1 << size(word);
  const load = (word >>> 22) & 1;
  switch (((word >>> 22) & 2) | ((word >>> 21) & 1)) {
    case 0: // STXR, STLXR
      if (load || rt2 !== 31 || rs === rt || (rs === rn && rn !== 31)) return false;
      begin(out, STORE_EXCLUSIVE, bytes, 1, word);
      break;
    case 1: // CASP (size 0x), STXP (1x)
      if (size(word) >= 2) {
        if (load || rs === rt || rs === rt2 || (rs === rn && rn !== 31)) return false;
        begin(out, STORE_EXCLUSIVE, bytes, 2, word);
      } else {
        if (rt2 !== 31 || (rs | rt) & 1) return false;
        begin(out, STORE_COMPARE, bytes * 4, 2, word);
        out.rt2 = rt + 1;
      }
      break;
    case 2: // STLLR, STLR
      if (load || rs !== 31 || rt2 !== 31) return false;
      begin(out, STORE_PLAIN, bytes, 1, word);
      syndrome(out, word, 1);
      break;
    default: // CAS
      if (rt2 !== 31) return false;
      begin(out, STORE_COMPARE, bytes, 1, word);
  }
  address(out, regs, word, 0, 0);
  return checkAlignment(out, regs, true);
};

// 0 Q 001100 post(23) L(22) 0 Rm opcode(15:12) size(11:10) Rn Rt
const structures = (word: number, regs: CpuRegisters, out: StoreAccess): boolean => {
  if ((word & 0x8160_0000) !== 0) return false;
  const rm = (word >>> 16) & 31;
  const post = (word & 0x0080_0000) !== 0;
  if (!post && rm !== 0) return false;
  const registers = [0, 0, 4, 0, 0, 0, 3, 1, 0, 0, 2, 0, 0, 0, 0, 0][(word >>> 12) & 15]!;
  if (registers === 0) return false;
  begin(out, STORE_PLAIN, word & 0x4000_0000 ? 16 : 8, registers, word);
  out.vector = true;
  out.rt2 = (out.rt + 1) & 31;
  out.writeback = post;
  address(out, regs, word, 0, out.bytes);
  if (post && rm !== 31) {
    const lo = regs.lo[out.base]! + regs.lo[rm]!;
    out.baseLo = lo >>> 0;
    out.baseHi = (regs.hi[out.base]! + regs.hi[rm]! + (lo >= 0x1_0000_0000 ? 1 : 0)) >>> 0;
  }
  return checkAlignment(out, regs, false);
};

// opc 101 V mode(25:23) L(22) imm7 Rt2 Rn Rt
const pairs = (word: number, regs: CpuRegisters, out: StoreAccess): boolean => {
  const vector = (word & 0x0400_0000) !== 0;
  const opc = word >>> 30;
  if (word & 0x0040_0000 || opc === 3 || (opc === 1 && !vector)) return false;
  const mode = (word >>> 23) & 3;
  const writeback = mode === 1 || mode === 3;
  const rn = (word >>> 5) & 31;
  const hits = (word & 31) === rn || ((word >>> 10) & 31) === rn;
  if (writeback && !vector && hits && rn !== 31) return false;
  begin(out, STORE_PLAIN, vector ? 4 << opc : opc === 0 ? 4 : 8, 2, word);
  out.vector = vector;
  out.writeback = writeback;
  const offset = ((word << 10) >> 25) * out.unit;
  address(out, regs, word, mode === 1 ? 0 : offset, offset);
  return checkAlignment(out, regs, false);
};

/** Extends and shifts the offset register, and adds it to the base: all in 64 bits. */
const registerOffset = (word: number, regs: CpuRegisters, out: StoreAccess): boolean => {
  const option = (word >>> 13) & 7;
  if ((option & 2) === 0) return false;
  const rm = (word >>> 16) & 31;
  let lo = rm === 31 ? 0 : regs.lo[rm]!;
  let hi = rm === 31 ? 0 : regs.hi[rm]!;
  if (option === 2) hi = 0;
  else if (option === 6) hi = lo >> 31;
  const shift = word & 0x1000 ? 31 - Math.clz32(out.unit) : 0;
  if (shift > 0) {
    hi = (hi << shift) | (lo >>> (32 - shift));
    lo = (lo << shift) >>> 0;
  }
  const n = (word >>> 5) & 31;
  out.base = n;
  const sum = regs.lo[n]! + lo;
  finishAddress(out, sum >>> 0, (regs.hi[n]! + (hi >>> 0) + (sum >= 0x1_0000_0000 ? 1 : 0)) >>> 0);
  return checkAlignment(out, regs, false);
};

// size 111000 A R 1 Rs o3 opc 00 Rn Rt
const atomics = (word: number, regs: CpuRegisters, out: StoreAccess): boolean => {
  const operation = (word >>> 12) & 15;
  if (operation > 8) return false;
  begin(out, STORE_ATOMIC, 1 << size(word), 1, word);
  out.operation = operation;
  address(out, regs, word, 0, 0);
  return checkAlignment(out, regs, true);
};

// size 111 V 0 x(24) opc(23:22) …
const singles = (word: number, regs: CpuRegisters, out: StoreAccess): boolean => {
  const vector = (word & 0x0400_0000) !== 0;
  const opc = (word >>> 22) & 3;
  const mode = (word >>> 10) & 3;
  const scaled = (word & 0x0100_0000) !== 0;
  if (!scaled && word & 0x0020_0000) {
    if (mode === 0) return !vector && atomics(word, regs, out);
    if (mode !== 2) return false;
  }
  const quad = vector && opc === 2 && size(word) === 0;
  if (opc !== 0 && !quad) return false;
  const rn = (word >>> 5) & 31;
  const indexed = !scaled && (word & 0x0020_0000) === 0 && (mode & 1) === 1;
  if (indexed && !vector && (word & 31) === rn && rn !== 31) return false;
  begin(out, STORE_PLAIN, quad ? 16 : 1 << size(word), 1, word);
  out.vector = vector;
  if (!vector && !indexed) syndrome(out, word, 0);
  if (scaled) address(out, regs, word, ((word >>> 10) & 0xfff) * out.unit, 0);
  else if (word & 0x0020_0000) return registerOffset(word, regs, out);
  else {
    if (mode === 2 && vector) return false;
    out.unprivileged = mode === 2;
    out.writeback = indexed;
    address(out, regs, word, mode === 1 ? 0 : imm9(word), imm9(word));
  }
  return checkAlignment(out, regs, false);
};

const zeroBlock = (word: number, regs: CpuRegisters, out: StoreAccess): boolean => {
  begin(out, STORE_ZERO, ZERO_BLOCK_BYTES, 1, word);
  const rt = word & 31;
  out.base = rt;
  // Rt = 31 is XZR here, not SP: address 0, which is not the kernel's.
  const lo = rt === 31 ? 0 : regs.lo[rt]!;
  finishAddress(out, (lo & ~(ZERO_BLOCK_BYTES - 1)) >>> 0, rt === 31 ? 0 : regs.hi[rt]!);
  return true;
};

/**
 * Decodes a word as a store and computes its access from the registers, without performing it. Returns whether it is a
 * store; `out` is meaningless if not. If `out.fault` is not STORE_OK, the access ends at stage 1.
 */
export const decodeStore = (word: number, regs: CpuRegisters, out: StoreAccess): boolean => {
  if ((word & 0x0a00_0000) !== 0x0800_0000) {
    return (word & 0xffff_ffe0) >>> 0 === 0xd50b_7420 && zeroBlock(word, regs, out);
  }
  switch ((word >>> 28) & 3) {
    case 0:
      if ((word & 0x0500_0000) === 0) return exclusives(word, regs, out);
      return (word & 0x0500_0000) === 0x0400_0000 && structures(word, regs, out);
    case 1: // STLUR: size 011001 00 0 imm9 00 Rn Rt
      if ((word & 0x3fe0_0c00) !== 0x1900_0000) return false;
      begin(out, STORE_PLAIN, 1 << size(word), 1, word);
      syndrome(out, word, 1);
      address(out, regs, word, imm9(word), 0);
      return checkAlignment(out, regs, true);
    case 2:
      return pairs(word, regs, out);
    default:
      return singles(word, regs, out);
  }
};

/**
 * ISS of the stage-2 data abort that the access takes, with the fault status code `dfsc`: WnR = 1 always, also for an
 * atomic that would not have written [A 4.1, 4.4].
 */
export const storeIss = (access: StoreAccess, dfsc: number): number =>
  (access.isv << 24) |
  (access.sas << 22) |
  (access.srt << 16) |
  (access.sf << 15) |
  (access.ar << 14) |
  (1 << 6) |
  dfsc;
