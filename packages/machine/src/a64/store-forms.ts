import {
  decodeStore,
  STORE_ATOMIC,
  STORE_COMPARE,
  STORE_EXCLUSIVE,
  STORE_OK,
  STORE_ZERO,
  StoreAccess,
} from './core-store.ts';
import * as a64 from './encode.ts';
import { CpuRegisters } from './registers.ts';

/** Registers and offset of a sample instruction. */
export interface StoreOperands {
  /** Base register; 31 is SP (XZR for DC ZVA). */
  readonly base: number;
  /** First data register; for LD<op> and SWP the register that receives the old value. */
  readonly data: number;
  /** Second register of a pair. */
  readonly data2: number;
  /** Status register of a store-exclusive, compare register of CAS, operand of LD<op> and SWP. */
  readonly extra: number;
  /** Index register. */
  readonly index: number;
  /** Immediate offset in units of one data register, −8 to 7; forms that take none ignore it. */
  readonly offset: number;
}

/** One instruction form that stores. */
export interface StoreForm {
  /** For reports and scenarios: `str x post`, `stp q`, `ldadd w` … */
  readonly name: string;
  /** Bytes accessed. */
  readonly bytes: number;
  /** Fixed bits of the encoding and their values. */
  readonly mask: number;
  readonly value: number;
  /** Whether its stage-2 abort carries a valid syndrome (ISV = 1). */
  readonly isv: boolean;
  /** Encodes it. Throws RangeError if an operand does not fit. */
  readonly word: (operands: StoreOperands) => number;
}

const SIZES = ['b', 'h', 'w', 'x'] as const;
const EXTENDS = ['lsl', 'uxtw', 'sxtw', 'sxtx'] as const;
const VECTORS = ['b', 'h', 's', 'd', 'q'] as const;

const forms: StoreForm[] = [];
/** Adds a form whose fixed bits are all but `variable`. */
const add = (name: string, bytes: number, isv: boolean, variable: number, word: StoreForm['word']): void => {
  const zero = word({ base: 0, data: 0, data2: 0, extra: 2, index: 0, offset: 0 });
  forms.push({ name, bytes, isv, mask: ~variable >>> 0, value: (zero & ~variable) >>> 0, word });
};

const BASE_DATA = 0x3ff;
const IMM12 = 0x003f_fc00;
const IMM9 = 0x001f_f000;
const REGISTER_16 = 0x001f_0000;
const PAIR = 0x003f_ffff;

for (let size = 0; size < 4; size++) {
  const unit = 2 ** size;
  const suffix = SIZES[size]!;
  const at = (o: StoreOperands): number => Math.abs(o.offset) * unit;
  add(`str ${suffix}`, unit, true, BASE_DATA | IMM12, (o) => a64.str(size, o.data, o.base, at(o)));
  add(`stur ${suffix}`, unit, true, BASE_DATA | IMM9, (o) => a64.stur(size, o.data, o.base, o.offset * unit));
  add(`str ${suffix} post`, unit, false, BASE_DATA | IMM9, (o) => a64.strPost(size, o.data, o.base, o.offset * unit));
  add(`str ${suffix} pre`, unit, false, BASE_DATA | IMM9, (o) => a64.strPre(size, o.data, o.base, o.offset * unit));
  for (const extend of EXTENDS) {
    add(`str ${suffix} ${extend}`, unit, true, BASE_DATA | REGISTER_16 | 0x1000, (o) =>
      a64.strReg(size, o.data, o.base, o.index, extend, o.offset !== 0),
    );
  }
  add(`sttr ${suffix}`, unit, true, BASE_DATA | IMM9, (o) => a64.sttr(size, o.data, o.base, o.offset * unit));
  add(`stlr ${suffix}`, unit, true, BASE_DATA, (o) => a64.stlr(size, o.data, o.base));
  add(`stllr ${suffix}`, unit, true, BASE_DATA, (o) => a64.stllr(size, o.data, o.base));
  add(`stlur ${suffix}`, unit, true, BASE_DATA | IMM9, (o) => a64.stlur(size, o.data, o.base, o.offset * unit));
  add(`stxr ${suffix}`, unit, false, BASE_DATA | REGISTER_16, (o) => a64.stxr(size, o.extra, o.data, o.base));
  add(`stlxr ${suffix}`, unit, false, BASE_DATA | REGISTER_16, (o) => a64.stlxr(size, o.extra, o.data, o.base));
  // Acquire and release are operands: bits 22 and 15 of CAS, 23 and 22 of the others.
  add(`cas ${suffix}`, unit, false, BASE_DATA | REGISTER_16 | 0x40_8000, (o) => a64.cas(size, o.extra, o.data, o.base));
  for (const operation of a64.ATOMIC_OPERATIONS) {
    add(`ld${operation} ${suffix}`, unit, false, BASE_DATA | REGISTER_16 | 0xc0_0000, (o) =>
      a64.ldOp(operation, size, o.extra, o.data, o.base),
    );
  }
  add(`swp ${suffix}`, unit, false, BASE_DATA | REGISTER_16 | 0xc0_0000, (o) => a64.swp(size, o.extra, o.data, o.base));
}
for (let size = 2; size < 4; size++) {
  const unit = 2 ** size;
  const suffix = SIZES[size]!;
  add(`stp ${suffix}`, 2 * unit, false, PAIR, (o) => a64.stp(size, o.data, o.data2, o.base, o.offset * unit));
  add(`stp ${suffix} post`, 2 * unit, false, PAIR, (o) => a64.stpPost(size, o.data, o.data2, o.base, o.offset * unit));
  add(`stp ${suffix} pre`, 2 * unit, false, PAIR, (o) => a64.stpPre(size, o.data, o.data2, o.base, o.offset * unit));
  add(`stnp ${suffix}`, 2 * unit, false, PAIR, (o) => a64.stnp(size, o.data, o.data2, o.base, o.offset * unit));
  const pairBits = BASE_DATA | REGISTER_16 | 0x7c00;
  add(`stxp ${suffix}`, 2 * unit, false, pairBits, (o) => a64.stxp(size, o.extra, o.data, o.data2, o.base));
  add(`stlxp ${suffix}`, 2 * unit, false, pairBits, (o) => a64.stlxp(size, o.extra, o.data, o.data2, o.base));
  // CASP takes even registers: the lowest bits of both are fixed.
  add(`casp ${suffix}`, 2 * unit, false, (BASE_DATA | REGISTER_16 | 0x40_8000) & ~0x1_0001, (o) =>
    a64.casp(size, o.extra & ~1, o.data & ~1, o.base),
  );
}
for (let size = 0; size < 5; size++) {
  const unit = 2 ** size;
  const suffix = VECTORS[size]!;
  const limited = (o: StoreOperands): number => o.offset * unit;
  add(`str v${suffix}`, unit, false, BASE_DATA | IMM12, (o) =>
    a64.strV(size, o.data, o.base, Math.abs(o.offset) * unit),
  );
  add(`stur v${suffix}`, unit, false, BASE_DATA | IMM9, (o) => a64.sturV(size, o.data, o.base, limited(o)));
  add(`str v${suffix} post`, unit, false, BASE_DATA | IMM9, (o) => a64.strVPost(size, o.data, o.base, limited(o)));
  add(`str v${suffix} pre`, unit, false, BASE_DATA | IMM9, (o) => a64.strVPre(size, o.data, o.base, limited(o)));
  for (const extend of EXTENDS) {
    add(`str v${suffix} ${extend}`, unit, false, BASE_DATA | REGISTER_16 | 0x1000, (o) =>
      a64.strVReg(size, o.data, o.base, o.index, extend, o.offset !== 0),
    );
  }
  if (size < 2) continue;
  add(`stp v${suffix}`, 2 * unit, false, PAIR, (o) => a64.stpV(size, o.data, o.data2, o.base, limited(o)));
  add(`stp v${suffix} post`, 2 * unit, false, PAIR, (o) => a64.stpVPost(size, o.data, o.data2, o.base, limited(o)));
  add(`stp v${suffix} pre`, 2 * unit, false, PAIR, (o) => a64.stpVPre(size, o.data, o.data2, o.base, limited(o)));
  add(`stnp v${suffix}`, 2 * unit, false, PAIR, (o) => a64.stnpV(size, o.data, o.data2, o.base, limited(o)));
}
for (let registers = 1; registers <= 4; registers++) {
  for (const quad of [false, true]) {
    const bytes = registers * (quad ? 16 : 8);
    const name = `st1 ${registers}${quad ? 'q' : 'd'}`;
    add(name, bytes, false, BASE_DATA | 0xc00, (o) => a64.st1(registers, quad, 0, o.data, o.base));
    add(`${name} post`, bytes, false, BASE_DATA | REGISTER_16 | 0xc00, (o) =>
      a64.st1Post(registers, quad, 0, o.data, o.base, o.offset === 0 ? 31 : o.index),
    );
  }
}
add('dc zva', 64, false, 0x1f, (o) => a64.dcZva(o.base));

/** Every form of store that both sides know, acquire and release variants taken together. */
export const STORE_FORMS: readonly StoreForm[] = forms;

/** Whether the word encodes the form. */
export const isStoreForm = (word: number, form: StoreForm): boolean => (word & form.mask) >>> 0 === form.value;

const probe: StoreAccess = new StoreAccess();
/** Which registers an instruction uses does not depend on their values. */
const anyRegisters: CpuRegisters = new CpuRegisters();

/**
 * Whether an instruction can be made to store chosen bytes at a chosen address by setting registers: its registers all differ
 * and none is SP or XZR. Leaves the decoded word in `probe`.
 */
const settable = (word: number): boolean => {
  if (!decodeStore(word, anyRegisters, probe)) return false;
  const { base, rt, rt2, rs, kind, registers, vector } = probe;
  if (base === 31) return false;
  if (kind === STORE_ZERO) return true;
  const used = [base];
  if (!vector) used.push(rt);
  if (!vector && registers === 2) used.push(rt2);
  if (kind === STORE_COMPARE || kind === STORE_EXCLUSIVE || kind === STORE_ATOMIC) used.push(rs);
  if (kind === STORE_COMPARE && registers === 2) used.push(rs + 1);
  if (usesIndex(word)) used.push(rs);
  // The old value of an atomic may go to XZR: that is its ST<op> form.
  const data = used.filter((register, i) => !(kind === STORE_ATOMIC && i === 1 && register === 31));
  return !data.includes(31) && new Set(data).size === data.length;
};

/** STR (register) and ST1 post-indexed by a register. */
const usesIndex = (word: number): boolean =>
  (word & 0x3b20_0c00) >>> 0 === 0x3820_0800 ||
  ((word & 0xbfa0_0000) >>> 0 === 0x0c80_0000 && ((word >>> 16) & 31) !== 31);

/**
 * Of every form that kernel text holds from `from` on, by name, the index of the first instruction that `accepts` and whose registers
 * can be set freely (see {@link aimStore}). Looks at each word once.
 */
export const findStoreGadgets = (
  words: Uint32Array,
  from = 0,
  accepts: (index: number) => boolean = () => true,
): Map<string, number> => {
  const found = new Map<string, number>();
  /** By a word's highest byte: the forms that it may be of and that are not found yet. */
  const missing = Array.from({ length: 256 }, (_, top) =>
    STORE_FORMS.filter(({ mask, value }) => ((top << 24) & mask) >> 24 === value >> 24),
  );
  for (let i = from; i < words.length; i++) {
    const word = words[i]!;
    const candidates = missing[word >>> 24]!;
    if (candidates.length === 0) continue;
    const form = candidates.find((candidate) => isStoreForm(word, candidate));
    if (form === undefined || !settable(word) || !accepts(i)) continue;
    found.set(form.name, i);
    missing[word >>> 24] = candidates.filter((candidate) => candidate !== form);
  }
  return found;
};

/** Bytes [from, from + count), four at most, as a little-endian word; what lies behind the data is 0. */
const wordAt = (data: Uint8Array, from: number, count: number): number => {
  let value = 0;
  for (let i = Math.min(from + Math.min(count, 4), data.length) - 1; i >= from; i--) value = value * 256 + data[i]!;
  return value;
};

const setBytes = (regs: CpuRegisters, register: number, data: Uint8Array, at: number, count: number): void =>
  regs.set(register, wordAt(data, at, count), count > 4 ? wordAt(data, at + 4, count - 4) : 0);

const setVector = (regs: CpuRegisters, register: number, data: Uint8Array, at: number, count: number): void => {
  for (let i = 0; i < 16; i += 4) {
    let value = 0;
    for (let j = 3; j >= 0; j--) value = value * 256 + (i + j < count ? (data[at + i + j] ?? 0) : 0);
    regs.vectors[register * 4 + (i >> 2)] = value;
  }
};

/** How an instruction reaches an address: by its base register, which stands so far before it. */
interface Aim {
  readonly base: number;
  readonly offset: number;
}

/** A kernel address away from both ends of the kernel's half: from there the address moves as the base does. */
const ANYWHERE = 2 ** 51;
/** What was worked out last, at a place for each instruction that some share; null: it cannot be aimed. */
const PLACES = 1024;
const aimed: Uint32Array = new Uint32Array(PLACES);
const aims: (Aim | null)[] = new Array<Aim | null>(PLACES).fill(null);

const aimOf = (word: number): Aim | null => {
  const place = (word ^ (word >>> 10) ^ (word >>> 20)) & (PLACES - 1);
  if (aimed[place] === word) return aims[place]!;
  let aim: Aim | null = null;
  if (settable(word)) {
    const { base } = probe;
    const regs = new CpuRegisters();
    regs.setAddress(base, ANYWHERE);
    decodeStore(word, regs, probe);
    aim = { base, offset: probe.va - ANYWHERE };
  }
  aimed[place] = word;
  aims[place] = aim;
  return aim;
};

/**
 * Sets the registers so that `word` accesses memory at `va` with `data`: the bytes to store, the operand of LD<op> and SWP,
 * the new value of CAS, whose compare registers get `expected`. Index registers become 0. DC ZVA takes no data and a `va` that is a
 * multiple of 64. `access` is what it then does, decoded. Returns false if the word is no store with settable registers or does
 * not reach `va`.
 */
export const aimStore = (
  word: number,
  regs: CpuRegisters,
  va: number,
  data: Uint8Array,
  access: StoreAccess = probe,
  expected: Uint8Array = data,
): boolean => {
  const aim = aimOf(word);
  if (aim === null) return false;
  if (usesIndex(word)) regs.set((word >>> 16) & 31, 0, 0);
  regs.setAddress(aim.base, va - aim.offset);
  if (!decodeStore(word, regs, access) || access.va !== va || access.fault !== STORE_OK) return false;
  const { kind, registers, unit, vector, rt, rt2, rs } = access;
  if (kind === STORE_ZERO) return true;
  if (kind === STORE_ATOMIC) setBytes(regs, rs, data, 0, unit);
  else {
    for (let i = 0; i < registers; i++) {
      const register = i === 0 ? rt : i === 1 ? rt2 : (rt + i) & 31;
      if (vector) setVector(regs, register, data, i * unit, unit);
      else setBytes(regs, register, data, i * unit, unit);
      if (kind === STORE_COMPARE) setBytes(regs, rs + i, expected, i * unit, unit);
    }
  }
  return true;
};
