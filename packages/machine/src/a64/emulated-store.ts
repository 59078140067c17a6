import { addOffset } from '@numalab/base';
import type { GeneralRegisters } from './registers.ts';

/** No refusal: the store can be emulated. */
export const REFUSE_NONE = 0;
/** ISV is 1 but does not say where the store starts: decode the instruction instead. */
export const REFUSE_AMBIGUOUS = 1;
/** The abort is no write, or is cache maintenance, or is of a stage-1 walk. */
export const REFUSE_NO_WRITE = 2;
/** ISV is 0: decode the instruction. */
export const REFUSE_NO_SYNDROME = 3;
/** FAR_EL2 lies outside the bytes that the instruction at ELR_EL2 stores: the text changed since the trap. */
export const REFUSE_OTHER_ADDRESS = 4;
export const REFUSE_NO_STORE = 5;
export const REFUSE_UNPREDICTABLE = 6;
export const REFUSE_STRUCTURES = 7;
export const REFUSE_TAGS = 8;
export const REFUSE_MEMORY_COPY = 9;
export const REFUSE_64_BYTES = 10;
export const REFUSE_LSE128 = 11;
/** Texts of refusals, by number. */
export const REFUSAL_TEXTS: readonly string[] = [
  '',
  'the syndrome does not tell where the store starts',
  'the abort is not of a store',
  'the syndrome holds no register',
  'the faulting address is not one that the instruction stores to',
  'the instruction is no store that EL2 knows',
  'the instruction has a constrained unpredictable result',
  'ST2, ST3, ST4 and stores of single lanes are not emulated',
  'stores of allocation tags are not emulated',
  'memory copy and set instructions are not emulated',
  '64-byte stores are not emulated',
  '128-bit atomics are not emulated',
];

/** The bytes are known at once. */
export const OPERATION_STORE = 0;
/** Stores `operand` where memory holds `expected`. */
export const OPERATION_COMPARE = 1;
/** Stores `operand`. */
export const OPERATION_SWAP = 2;
/** Memory op= operand. From here on the number is this plus opc of LD<op>: add, clr, eor, set, smax, smin, umax, umin. */
export const OPERATION_ADD = 3;

/**
 * What EL2 must do for one trapped store. One object serves many traps. Decoding fills everything that follows from
 * instruction and registers; an operation other than OPERATION_STORE then needs the old bytes, which only the holder of the
 * write order knows: {@link resolveOperation} completes it.
 */
export class EmulatedStore {
  /** REFUSE_NONE, or why EL2 injects an abort instead; all else is then meaningless. */
  refusal: number = REFUSE_NONE;
  /** From FAR_EL2 to the first byte stored: 0, or negative if the first bytes lie on a page that did not fault. */
  offset = 0;
  /** Bytes stored, 1 to 64. */
  size = 0;
  /** The bytes, `[0 .. size)`. */
  readonly bytes: Uint8Array = new Uint8Array(64);
  /** Whether memory changes hands at all: false for a CAS that compared unequal and a failing store-exclusive. */
  writes = true;
  /** An OPERATION_ code. */
  operation: number = OPERATION_STORE;
  readonly operand: Uint8Array = new Uint8Array(16);
  readonly expected: Uint8Array = new Uint8Array(16);
  /** Whether {@link resolveOperation} is still to be called. */
  pending = false;
  /** Base register written back (31: SP), or −1, and its value. */
  base = -1;
  baseLo = 0;
  baseHi = 0;
  /** Status register of a store-exclusive, or −1, and its value: 0 stored, 1 failed. */
  status = -1;
  statusValue = 0;
  /** First register that receives old bytes, or −1; `resultCount` registers of `size / resultCount` bytes each. */
  result = -1;
  resultCount = 1;
  readonly old: Uint8Array = new Uint8Array(16);

  /** Forgets the last store. */
  reset(): void {
    this.refusal = REFUSE_NONE;
    this.offset = 0;
    this.size = 0;
    this.writes = true;
    this.operation = OPERATION_STORE;
    this.pending = false;
    this.base = -1;
    this.status = -1;
    this.result = -1;
    this.resultCount = 1;
  }
}

/**
 * VA of a byte of the store on the other of the two pages that it lies across, or −1 if it lies on the page of `far` alone. Stage
 * 1 was only asked about the page that faulted; where the other one leads, and whether EL1 may write there, is not known.
 */
export const otherPageOf = (store: EmulatedStore, far: number, pageBytes: number): number => {
  const page = Math.floor(far / pageBytes);
  const first = far + store.offset;
  if (Math.floor(first / pageBytes) !== page) return first;
  const last = first + store.size - 1;
  return Math.floor(last / pageBytes) === page ? -1 : last;
};

/** −1, 0 or 1: two little-endian integers of `size` bytes. */
const compareBytes = (a: Uint8Array, b: Uint8Array, size: number, signed: boolean): number => {
  for (let i = size - 1; i >= 0; i--) {
    const flip = signed && i === size - 1 ? 0x80 : 0;
    const difference = (a[i]! ^ flip) - (b[i]! ^ flip);
    if (difference !== 0) return Math.sign(difference);
  }
  return 0;
};

const arithmetic = (store: EmulatedStore, old: Uint8Array): void => {
  const { operand, bytes, size } = store;
  const opcode = store.operation - OPERATION_ADD;
  if (opcode >= 4) {
    const order = compareBytes(old, operand, size, opcode < 6);
    const keepOld = (opcode & 1) === 0 ? order >= 0 : order <= 0;
    for (let i = 0; i < size; i++) bytes[i] = keepOld ? old[i]! : operand[i]!;
    return;
  }
  let carry = 0;
  for (let i = 0; i < size; i++) {
    const a = old[i]!;
    const b = operand[i]!;
    if (opcode === 0) {
      carry += a + b;
      bytes[i] = carry & 0xff;
      carry >>= 8;
    } else bytes[i] = opcode === 1 ? a & ~b : opcode === 2 ? a ^ b : a | b;
  }
};

/**
 * Completes an atomic: from `old[0 .. size)`, the bytes in memory now, computes the bytes to store, whether to store
 * them, and the old value that the instruction returns. To be called where no other write can come in between.
 */
export const resolveOperation = (store: EmulatedStore, old: Uint8Array): void => {
  const { size, operation } = store;
  for (let i = 0; i < size; i++) store.old[i] = old[i]!;
  store.pending = false;
  if (operation >= OPERATION_ADD) {
    arithmetic(store, old);
    return;
  }
  if (operation === OPERATION_COMPARE) store.writes = compareBytes(old, store.expected, size, false) === 0;
  for (let i = 0; i < size; i++) store.bytes[i] = store.writes ? store.operand[i]! : old[i]!;
};

const registerWord = (bytes: Uint8Array, from: number, to: number): number => {
  let word = 0;
  for (let i = Math.min(to, from + 4) - 1; i >= from; i--) word = word * 256 + bytes[i]!;
  return word;
};

/**
 * Leaves the trap: writes status, old value and base into the host's registers and moves the PC on by 4 [A 4.4]. Before it, the
 * bytes must have been applied to every replica [A 0.10].
 */
export const completeEmulation = (store: EmulatedStore, regs: GeneralRegisters): void => {
  if (store.base >= 0) regs.set(store.base, store.baseLo, store.baseHi);
  if (store.status >= 0 && store.status < 31) regs.set(store.status, store.statusValue, 0);
  if (store.result >= 0) {
    const each = store.size / store.resultCount;
    for (let i = 0; i < store.resultCount; i++) {
      const at = i * each;
      if (store.result + i === 31) continue;
      const hi = each === 8 ? registerWord(store.old, at + 4, at + 8) : 0;
      regs.set(store.result + i, registerWord(store.old, at, at + each), hi);
    }
  }
  regs.pc = addOffset(regs.pc, 4);
};
