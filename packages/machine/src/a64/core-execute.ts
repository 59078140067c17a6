import { addOffset } from '@numalab/base';
import {
  decodeStore,
  STORE_ATOMIC,
  STORE_COMPARE,
  STORE_EXCLUSIVE,
  STORE_OK,
  STORE_ZERO,
  StoreAccess,
} from './core-store.ts';
import type { CpuRegisters, ExclusiveMonitor } from './registers.ts';

/** Memory as an executed store sees it, by VA (bits 51:0), already translated and permitted. */
export interface StoreMemory {
  /** Fills `into[0 .. bytes)` from `va`. */
  read(va: number, bytes: number, into: Uint8Array): void;
  /** Stores `from[0 .. bytes)` at `va`: one single-copy atomic access if aligned and at most 8 bytes. */
  write(va: number, bytes: number, from: Uint8Array): void;
}

const data = new Uint8Array(64);
const words = new Uint32Array(2);

const putWord = (at: number, bytes: number, word: number): void => {
  for (let i = 0; i < bytes; i++) data[at + i] = word >>> (8 * i);
};

const putRegister = (regs: CpuRegisters, register: number, at: number, bytes: number): void => {
  const zero = register === 31;
  putWord(at, Math.min(bytes, 4), zero ? 0 : regs.lo[register]!);
  if (bytes > 4) putWord(at + 4, 4, zero ? 0 : regs.hi[register]!);
};

const putVector = (regs: CpuRegisters, register: number, at: number, bytes: number): void => {
  for (let i = 0; i < bytes; i += 4) putWord(at + i, Math.min(4, bytes - i), regs.vectors[register * 4 + (i >> 2)]!);
};

const wordAt = (bytes: Uint8Array, at: number, count: number): number => {
  let word = 0;
  for (let i = 0; i < Math.min(count, 4); i++) word |= bytes[at + i]! << (8 * i);
  return word >>> 0;
};

/** Writes X or W `register` from memory bytes, zero-extended; register 31 is XZR and keeps nothing. */
const takeRegister = (regs: CpuRegisters, register: number, bytes: Uint8Array, at: number, count: number): void => {
  if (register !== 31) regs.set(register, wordAt(bytes, at, count), count > 4 ? wordAt(bytes, at + 4, 4) : 0);
};

const less = (alo: number, ahi: number, blo: number, bhi: number, signed: boolean): boolean => {
  if (ahi !== bhi) return signed ? (ahi | 0) < (bhi | 0) : ahi >>> 0 < bhi >>> 0;
  return alo >>> 0 < blo >>> 0;
};

/** Memory value `lo, hi` combined with the operand, both sign- or zero-extended to 64 bits; the result is in `words`. */
const combine = (operation: number, lo: number, hi: number, slo: number, shi: number): void => {
  const pick = (operand: boolean): void => {
    words[0] = operand ? slo : lo;
    words[1] = operand ? shi : hi;
  };
  switch (operation) {
    case 0:
      words[0] = lo + slo;
      words[1] = hi + shi + ((lo >>> 0) + (slo >>> 0) >= 0x1_0000_0000 ? 1 : 0);
      return;
    case 1:
      words[0] = lo & ~slo;
      words[1] = hi & ~shi;
      return;
    case 2:
      words[0] = lo ^ slo;
      words[1] = hi ^ shi;
      return;
    case 3:
      words[0] = lo | slo;
      words[1] = hi | shi;
      return;
    case 4:
      pick(less(lo, hi, slo, shi, true));
      return;
    case 5:
      pick(less(slo, shi, lo, hi, true));
      return;
    case 6:
      pick(less(lo, hi, slo, shi, false));
      return;
    case 7:
      pick(less(slo, shi, lo, hi, false));
      return;
    default:
      pick(true);
      return;
  }
};

const extendLow = (word: number, bytes: number, signed: boolean): number => {
  if (bytes >= 4) return word;
  const shift = 32 - 8 * bytes;
  return signed ? (word << shift) >> shift : (word << shift) >>> shift;
};

const old = new Uint8Array(16);

const performAtomic = (access: StoreAccess, regs: CpuRegisters, memory: StoreMemory): void => {
  const { unit, operation, rs } = access;
  const signed = operation === 4 || operation === 5;
  const high = (word: number, top: number): number => (unit === 8 ? top : signed ? word >> 31 : 0);
  memory.read(access.va, unit, old);
  const lo = extendLow(wordAt(old, 0, unit), unit, signed);
  const slo = extendLow(rs === 31 ? 0 : regs.lo[rs]!, unit, signed);
  combine(operation, lo, high(lo, wordAt(old, 4, 4)), slo, high(slo, rs === 31 ? 0 : regs.hi[rs]!));
  putWord(0, Math.min(unit, 4), words[0]!);
  if (unit > 4) putWord(4, 4, words[1]!);
  memory.write(access.va, unit, data);
  takeRegister(regs, access.rt, old, 0, unit);
};

const performCompare = (access: StoreAccess, regs: CpuRegisters, memory: StoreMemory): void => {
  const { unit, bytes, registers, rs, rt } = access;
  memory.read(access.va, bytes, old);
  for (let i = 0; i < registers; i++) putRegister(regs, registers === 1 ? rs : rs + i, i * unit, unit);
  let equal = true;
  for (let i = 0; i < bytes; i++) equal &&= data[i] === old[i];
  if (equal) {
    for (let i = 0; i < registers; i++) putRegister(regs, registers === 1 ? rt : rt + i, i * unit, unit);
    memory.write(access.va, bytes, data);
  }
  for (let i = 0; i < registers; i++) takeRegister(regs, registers === 1 ? rs : rs + i, old, i * unit, unit);
};

const performExclusive = (
  access: StoreAccess,
  regs: CpuRegisters,
  memory: StoreMemory,
  monitor: ExclusiveMonitor,
): void => {
  const passes = monitor.covers(access.va, access.bytes);
  monitor.clear();
  if (passes) {
    putRegister(regs, access.rt, 0, access.unit);
    if (access.registers === 2) putRegister(regs, access.rt2, access.unit, access.unit);
    memory.write(access.va, access.bytes, data);
  }
  if (access.rs !== 31) regs.set(access.rs, passes ? 0 : 1, 0);
};

const performPlain = (access: StoreAccess, regs: CpuRegisters, memory: StoreMemory): void => {
  const { unit, registers, rt, rt2, vector } = access;
  for (let i = 0; i < registers; i++) {
    const register = i === 0 ? rt : i === 1 ? rt2 : (rt + i) & 31;
    if (vector) putVector(regs, register, 0, unit);
    else putRegister(regs, register, 0, unit);
    memory.write(access.va + i * unit, unit, data);
  }
};

/**
 * What the core does with a decoded store whose access is permitted: stores one register after the other in address order,
 * writes results and the base back, moves the PC on by 4. `access` must come from {@link decodeStore} with these registers, with
 * `fault` STORE_OK.
 */
export const performStore = (
  access: StoreAccess,
  regs: CpuRegisters,
  memory: StoreMemory,
  monitor: ExclusiveMonitor,
): void => {
  switch (access.kind) {
    case STORE_EXCLUSIVE:
      performExclusive(access, regs, memory, monitor);
      break;
    case STORE_COMPARE:
      performCompare(access, regs, memory);
      break;
    case STORE_ATOMIC:
      performAtomic(access, regs, memory);
      break;
    case STORE_ZERO:
      data.fill(0);
      memory.write(access.va, access.bytes, data);
      break;
    default:
      performPlain(access, regs, memory);
  }
  if (access.writeback) regs.set(access.base, access.baseLo, access.baseHi);
  regs.pc = addOffset(regs.pc, 4);
};

const oracleAccess: StoreAccess = new StoreAccess();

/**
 * Executes one store as if nothing trapped: turns a pre-state into the post-state that must be found after EL2 emulated it
 * (invariant E1). Returns false, changing nothing, if the word is no store or faults before stage 2.
 */
export const oracleExecute = (
  word: number,
  regs: CpuRegisters,
  memory: StoreMemory,
  monitor: ExclusiveMonitor,
): boolean => {
  if (!decodeStore(word, regs, oracleAccess) || oracleAccess.fault !== STORE_OK) return false;
  performStore(oracleAccess, regs, memory, monitor);
  return true;
};
