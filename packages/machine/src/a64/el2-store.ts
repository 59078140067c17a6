import { alignDown } from '@numalab/base';
import {
  type EmulatedStore,
  OPERATION_ADD,
  OPERATION_COMPARE,
  OPERATION_STORE,
  OPERATION_SWAP,
  REFUSE_64_BYTES,
  REFUSE_AMBIGUOUS,
  REFUSE_LSE128,
  REFUSE_MEMORY_COPY,
  REFUSE_NO_STORE,
  REFUSE_NO_SYNDROME,
  REFUSE_NO_WRITE,
  REFUSE_NONE,
  REFUSE_OTHER_ADDRESS,
  REFUSE_STRUCTURES,
  REFUSE_TAGS,
  REFUSE_UNPREDICTABLE,
  resolveOperation,
} from './emulated-store.ts';
import type { CpuRegisters, ExclusiveMonitor } from './registers.ts';

/**
 * EL2's side of a trapped store [A 4.4]: from the syndrome if ISV is 1, else from the instruction, what must be stored where
 * and which registers change. A flat list of encodings, first match wins; it shares nothing with the core's decoder
 * (core-store.ts), because the check that a trapped store ends as an executed one does (E1) compares the two.
 */

/** Smallest granule: an access that starts below FAR_EL2 reports the first byte of such a page. */
const PAGE = 4096;

/** The instruction being decoded, and where its data come from. Reused by every call. */
interface Work {
  word: number;
  regs: CpuRegisters;
  out: EmulatedStore;
  monitor: ExclusiveMonitor | null;
  /** Bits 51:0 of the first byte's VA. */
  start: number;
}

type Handler = (work: Work) => number;

const bits = (word: number, msb: number, lsb: number): number => (word << (31 - msb)) >>> (31 - msb + lsb);
const signedBits = (word: number, msb: number, lsb: number): number => (word << (31 - msb)) >> (31 - msb + lsb);
const Rt = (work: Work): number => work.word & 31;
const Rn = (work: Work): number => bits(work.word, 9, 5);
const Rt2 = (work: Work): number => bits(work.word, 14, 10);
const Rs = (work: Work): number => bits(work.word, 20, 16);

/** Appends X[register] (31: zero) to `into` at `at`. */
const general = (regs: CpuRegisters, register: number, into: Uint8Array, at: number, size: number): void => {
  let lo = register === 31 ? 0 : regs.lo[register]!;
  const hi = register === 31 ? 0 : regs.hi[register]!;
  for (let i = 0; i < size; i++) {
    if (i === 4) lo = hi;
    into[at + i] = lo & 0xff;
    lo >>>= 8;
  }
};

const vectors = (work: Work, register: number, at: number, size: number): void => {
  const { bytes } = work.out;
  for (let i = 0; i < size; i++) {
    bytes[at + i] = (work.regs.vectors[4 * register + (i >> 2)]! >>> (8 * (i & 3))) & 0xff;
  }
};

/** The low 52 bits of a register plus a signed offset: kernel addresses only differ there. */
const addressOf = (regs: CpuRegisters, register: number, offset: number): number => {
  const base = (regs.hi[register]! & 0xf_ffff) * 0x1_0000_0000 + regs.lo[register]!;
  const sum = base + offset;
  return sum - Math.floor(sum / 2 ** 52) * 2 ** 52;
};

const writeBack = (work: Work, offset: number): void => {
  const { out, regs } = work;
  const n = Rn(work);
  const lo = regs.lo[n]! + offset;
  const carry = Math.floor(lo / 0x1_0000_0000);
  out.base = n;
  out.baseLo = lo - carry * 0x1_0000_0000;
  out.baseHi = (regs.hi[n]! + carry) >>> 0;
};

/** Stores `count` registers of `size` bytes starting with Rt. */
const fill = (work: Work, vector: boolean, size: number, second: number, count: number): void => {
  for (let i = 0; i < count; i++) {
    const register = i === 1 ? second : (Rt(work) + i) % 32;
    if (vector) vectors(work, register, i * size, size);
    else general(work.regs, register, work.out.bytes, i * size, size);
  }
  work.out.size = size * count;
};

const isVector = (word: number): boolean => bits(word, 26, 26) === 1;
/** Log2 size of a single-register access; the list admits opc = 2 for quadwords only. */
const scaleOf = (word: number): number => (isVector(word) && bits(word, 23, 23) === 1 ? 4 : bits(word, 31, 30));

const single = (work: Work): void => fill(work, isVector(work.word), 2 ** scaleOf(work.word), 0, 1);

const unsignedOffset: Handler = (work) => {
  single(work);
  work.start = addressOf(work.regs, Rn(work), bits(work.word, 21, 10) * work.out.size);
  return REFUSE_NONE;
};

const unscaledOffset: Handler = (work) => {
  single(work);
  work.start = addressOf(work.regs, Rn(work), signedBits(work.word, 20, 12));
  return REFUSE_NONE;
};

const indexed: Handler = (work) => {
  if (!isVector(work.word) && Rt(work) === Rn(work) && Rn(work) < 31) return REFUSE_UNPREDICTABLE;
  const offset = signedBits(work.word, 20, 12);
  single(work);
  work.start = addressOf(work.regs, Rn(work), bits(work.word, 11, 11) === 1 ? offset : 0);
  writeBack(work, offset);
  return REFUSE_NONE;
};

const registerIndex: Handler = (work) => {
  const option = bits(work.word, 15, 13);
  const m = Rs(work);
  if (bits(option, 1, 1) === 0) return REFUSE_NO_STORE;
  single(work);
  const low = m === 31 ? 0 : work.regs.lo[m]!;
  // Only bits 51:0 of the sum matter, so bits 63:52 of the index are dropped: the products stay exact in a double.
  const high = m === 31 || option === 2 ? 0 : option === 6 ? (low >>> 31) * 0xfffff : work.regs.hi[m]! & 0xf_ffff;
  const shift = bits(work.word, 12, 12) === 1 ? scaleOf(work.word) : 0;
  let index = high * 0x1_0000_0000 + low;
  for (let i = 0; i < shift; i++) index = (index * 2) % 2 ** 52;
  work.start = addressOf(work.regs, Rn(work), index);
  return REFUSE_NONE;
};

const pair: Handler = (work) => {
  const vector = isVector(work.word);
  const opc = bits(work.word, 31, 30);
  const mode = bits(work.word, 24, 23);
  const size = vector ? 4 * 2 ** opc : opc === 2 ? 8 : 4;
  if (!vector && (mode & 1) === 1 && Rn(work) < 31 && (Rt(work) === Rn(work) || Rt2(work) === Rn(work))) {
    return REFUSE_UNPREDICTABLE;
  }
  const offset = signedBits(work.word, 21, 15) * size;
  fill(work, vector, size, Rt2(work), 2);
  work.start = addressOf(work.regs, Rn(work), mode === 1 ? 0 : offset);
  if ((mode & 1) === 1) writeBack(work, offset);
  return REFUSE_NONE;
};

const ST1_COUNT: Readonly<Record<number, number>> = { 2: 4, 6: 3, 7: 1, 10: 2 };
const structures: Handler = (work) => {
  const count = ST1_COUNT[bits(work.word, 15, 12)];
  if (count === undefined) return REFUSE_STRUCTURES;
  fill(work, true, bits(work.word, 30, 30) === 1 ? 16 : 8, (Rt(work) + 1) % 32, count);
  work.start = addressOf(work.regs, Rn(work), 0);
  if (bits(work.word, 23, 23) === 0) return REFUSE_NONE;
  const m = Rs(work);
  writeBack(work, m === 31 ? work.out.size : work.regs.lo[m]!);
  if (m !== 31) work.out.baseHi = (work.out.baseHi + work.regs.hi[m]!) >>> 0;
  return REFUSE_NONE;
};

const ordered: Handler = (work) => {
  fill(work, false, 2 ** bits(work.word, 31, 30), 0, 1);
  work.start = addressOf(work.regs, Rn(work), 0);
  return REFUSE_NONE;
};

/** The exclusive monitor went with the trap: unless the caller vouches that it was armed here, the store fails. */
const exclusive: Handler = (work) => {
  const two = bits(work.word, 21, 21) === 1;
  const s = Rs(work);
  if (s === Rt(work) || (two && s === Rt2(work)) || (s === Rn(work) && s < 31)) return REFUSE_UNPREDICTABLE;
  fill(work, false, 2 ** bits(work.word, 31, 30), Rt2(work), two ? 2 : 1);
  work.start = addressOf(work.regs, Rn(work), 0);
  const passes = work.monitor?.covers(work.start, work.out.size) ?? false;
  work.monitor?.clear();
  work.out.writes = passes;
  work.out.status = s;
  work.out.statusValue = passes ? 0 : 1;
  return REFUSE_NONE;
};

const atomic = (work: Work, operation: number, operand: number, result: number, size: number): void => {
  const { out } = work;
  out.size = size;
  out.operation = operation;
  out.pending = true;
  out.result = result;
  general(work.regs, operand, out.operand, 0, size);
  work.start = addressOf(work.regs, Rn(work), 0);
};

const compareAndSwap: Handler = (work) => {
  const size = 2 ** bits(work.word, 31, 30);
  atomic(work, OPERATION_COMPARE, Rt(work), Rs(work), size);
  general(work.regs, Rs(work), work.out.expected, 0, size);
  return REFUSE_NONE;
};

const compareAndSwapPair: Handler = (work) => {
  if (Rs(work) % 2 === 1 || Rt(work) % 2 === 1) return REFUSE_NO_STORE;
  const each = bits(work.word, 30, 30) === 1 ? 8 : 4;
  atomic(work, OPERATION_COMPARE, Rt(work), Rs(work), each * 2);
  work.out.resultCount = 2;
  for (let i = 0; i < 2; i++) {
    general(work.regs, Rt(work) + i, work.out.operand, i * each, each);
    general(work.regs, Rs(work) + i, work.out.expected, i * each, each);
  }
  return REFUSE_NONE;
};

const loadAndOperate: Handler = (work) => {
  atomic(work, OPERATION_ADD + bits(work.word, 14, 12), Rs(work), Rt(work), 2 ** bits(work.word, 31, 30));
  return REFUSE_NONE;
};

const swap: Handler = (work) => {
  atomic(work, OPERATION_SWAP, Rs(work), Rt(work), 2 ** bits(work.word, 31, 30));
  return REFUSE_NONE;
};

/** DCZID_EL0.BS = 4: 64 bytes. FAR_EL2 may be any address of the block. */
const zeroBlock: Handler = (work) => {
  if (Rt(work) === 31) return REFUSE_OTHER_ADDRESS;
  const inside = addressOf(work.regs, Rt(work), 0);
  work.start = alignDown(inside, 64);
  work.out.size = 64;
  work.out.bytes.fill(0);
  return REFUSE_NONE;
};

const refuse =
  (reason: number): Handler =>
  () =>
    reason;

/** Bits that are fixed, their values, and what to do. Common ones first. */
const ENCODINGS: readonly (readonly [mask: number, value: number, handler: Handler])[] = [
  [0x3fc0_0000, 0x3900_0000, unsignedOffset],
  [0x3fe0_0c00, 0x3800_0000, unscaledOffset],
  [0x3fe0_0c00, 0x3800_0800, unscaledOffset], // STTR
  [0x3fe0_0400, 0x3800_0400, indexed],
  [0x3fe0_0c00, 0x3820_0800, registerIndex],
  [0x7e40_0000, 0x2800_0000, pair],
  [0x3fff_7c00, 0x089f_7c00, ordered], // STLR, STLLR
  [0x3fe0_0c00, 0x1900_0000, unscaledOffset], // STLUR
  [0x3fe0_7c00, 0x0800_7c00, exclusive],
  [0xbfe0_0000, 0x8820_0000, exclusive],
  [0x3fa0_7c00, 0x08a0_7c00, compareAndSwap],
  [0xbfa0_7c00, 0x0820_7c00, compareAndSwapPair],
  [0x3f20_8c00, 0x3820_0000, loadAndOperate],
  [0x3f20_fc00, 0x3820_8000, swap],
  [0xffff_ffe0, 0xd50b_7420, zeroBlock],
  [0x3fc0_0000, 0x3d00_0000, unsignedOffset],
  [0x3fe0_0c00, 0x3c00_0000, unscaledOffset],
  [0x3fe0_0400, 0x3c00_0400, indexed],
  [0x3fe0_0c00, 0x3c20_0800, registerIndex],
  [0xffc0_0000, 0x3d80_0000, unsignedOffset], // Q
  [0xffe0_0c00, 0x3c80_0000, unscaledOffset],
  [0xffe0_0400, 0x3c80_0400, indexed],
  [0xffe0_0c00, 0x3ca0_0800, registerIndex],
  [0x7e40_0000, 0x2c00_0000, pair], // S, Q
  [0xfe40_0000, 0x6c00_0000, pair], // D
  [0xbfff_0000, 0x0c00_0000, structures],
  [0xbfe0_0000, 0x0c80_0000, structures],
  [0xbf40_0000, 0x0d00_0000, refuse(REFUSE_STRUCTURES)],
  [0xff20_0000, 0xd920_0000, refuse(REFUSE_TAGS)],
  [0xfe40_0000, 0x6800_0000, refuse(REFUSE_TAGS)],
  [0x3b20_0c00, 0x1900_0400, refuse(REFUSE_MEMORY_COPY)],
  [0xffe0_8c00, 0xf820_8000, refuse(REFUSE_64_BYTES)], // SWP X matched before,
  [0xff20_0c00, 0x1920_0000, refuse(REFUSE_LSE128)],
];

const decode = (work: Work): number => {
  for (const [mask, value, handler] of ENCODINGS) {
    if ((work.word & mask) === (value | 0)) return handler(work);
  }
  return REFUSE_NO_STORE;
};

let shared: Work | null = null;

/**
 * Decodes the instruction that trapped (ISV = 0, or {@link REFUSE_AMBIGUOUS}) with the host's registers; `far` is
 * FAR_EL2 (bits 51:0). `monitor` is the core's exclusive monitor as it was at the trap, or null if unknown: a store-exclusive then
 * reports status 1, which the architecture always allows. Returns whether EL2 can emulate it; `out.refusal` says why not. If
 * `out.pending`, {@link resolveOperation} must follow. Changes no register.
 *
 * The whole store is described even if only its second page faulted: `out.offset` is then negative, and EL2 stores to both
 * pages, because the instruction will not run again.
 */
export const decodeTrappedStore = (
  word: number,
  far: number,
  regs: CpuRegisters,
  monitor: ExclusiveMonitor | null,
  out: EmulatedStore,
): boolean => {
  out.reset();
  shared ??= { word, regs, out, monitor, start: 0 };
  shared.word = word;
  shared.regs = regs;
  shared.out = out;
  shared.monitor = monitor;
  out.refusal = decode(shared);
  if (out.refusal !== REFUSE_NONE) return false;
  const ahead = far - shared.start;
  const atPage = (far & (PAGE - 1)) === 0 && ahead > 0 && ahead < out.size;
  const inBlock = (word & 0xffff_ffe0) >>> 0 === 0xd50b_7420 && ahead >= 0 && ahead < 64;
  if (ahead !== 0 && !atPage && !inBlock) out.refusal = REFUSE_OTHER_ADDRESS;
  out.offset = -ahead;
  return out.refusal === REFUSE_NONE;
};

/**
 * {@link decodeTrappedStore} and, where the result depends on memory, {@link resolveOperation} with `old`, the bytes
 * `[far + offset, + size)` before the store. For callers that hold the order of writes already.
 */
export const emulateFromInstruction = (
  word: number,
  far: number,
  regs: CpuRegisters,
  old: Uint8Array | null,
  monitor: ExclusiveMonitor | null,
  out: EmulatedStore,
): boolean => {
  if (!decodeTrappedStore(word, far, regs, monitor, out)) return false;
  if (out.pending && old !== null) resolveOperation(out, old);
  return true;
};

/**
 * Takes the store from the syndrome alone (`esr` = ESR_EL2, low word): X[SRT] (31: zero) in 1 << SAS bytes at FAR_EL2.
 * Refused with REFUSE_NO_SYNDROME if ISV is 0, and with REFUSE_AMBIGUOUS if FAR_EL2 is the first byte of a page and the
 * access is wider than a byte: an unaligned store that began on the page before reports the same. Either way the instruction decides.
 */
export const emulateFromSyndrome = (esr: number, far: number, regs: CpuRegisters, out: EmulatedStore): boolean => {
  out.reset();
  const size = 2 ** bits(esr, 23, 22);
  // EC must be a data abort from a lower EL; CM and S1PTW clear, WnR set.
  if (bits(esr, 31, 26) !== 0x24 || (esr & 0x1c0) !== 0x40) out.refusal = REFUSE_NO_WRITE;
  else if (bits(esr, 24, 24) === 0) out.refusal = REFUSE_NO_SYNDROME;
  else if (size > 1 && (far & (PAGE - 1)) === 0) out.refusal = REFUSE_AMBIGUOUS;
  if (out.refusal !== REFUSE_NONE) return false;
  general(regs, bits(esr, 20, 16), out.bytes, 0, size);
  out.size = size;
  out.operation = OPERATION_STORE;
  return true;
};
