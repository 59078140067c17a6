import { Random } from '@numalab/base';
import { describe, expect, it } from 'vitest';
import { decodeStore, STORE_NOT_KERNEL, STORE_OK, StoreAccess } from './core-store.ts';
import { disassemble } from './disassemble.ts';
import { REFUSAL_TEXTS } from './emulated-store.ts';
import * as a64 from './encode.ts';
import { CpuRegisters } from './registers.ts';
import { isStoreForm, STORE_FORMS, type StoreForm } from './store-forms.ts';
import { RIG_BASE, RIG_BYTES, Rig } from './store-rig.ts';

const access = new StoreAccess();

/** Words with the edge values that comparisons, carries and sign extensions trip over. */
const edgeWord = (random: Random): number =>
  [0, 1, 0x7f, 0x80, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, random.next()][random.below(8)]!;

const scramble = (rig: Rig, random: Random): void => {
  for (let i = 0; i < 32; i++) rig.regs.set(i, edgeWord(random), edgeWord(random));
  for (let i = 0; i < 128; i++) rig.regs.vectors[i] = random.next();
};

/** A random instruction of the form: fixed bits as they are, all others drawn. */
const randomWord = (form: StoreForm, random: Random): number => {
  for (;;) {
    const word = (form.value | (random.next() & ~form.mask)) >>> 0;
    if (!isStoreForm(word, form)) throw new Error('form does not match itself');
    // About one in eight has SP as its base, one in eight XZR as its data.
    const based = random.chance(1, 8) ? (word | 0x3e0) >>> 0 : word;
    const drawn = random.chance(1, 8) && isStoreForm((based | 0x1f) >>> 0, form) ? (based | 0x1f) >>> 0 : based;
    if (decodeStore(drawn, new CpuRegisters(), access)) return drawn;
  }
};

/** Where the access starts: anywhere near a page boundary, aligned or not. */
const randomStart = (random: Random, bytes: number): number => {
  const boundary = RIG_BASE + 4096 * (1 + random.below(2));
  if (bytes > 1 && random.chance(1, 4)) return boundary - 1 - random.below(bytes - 1);
  const start = boundary + random.below(160) - 80;
  return random.chance(1, 2) ? start - (start % bytes) : start;
};

/**
 * Sets the base so that the access starts about at `va`; index registers get a small value, or (sign-extended forms) a
 * negative one. Returns whether the access reaches stage 2.
 */
const aim = (rig: Rig, word: number, va: number, random: Random): boolean => {
  const registerForm = (word & 0x3b20_0c00) >>> 0 === 0x3820_0800;
  const m = (word >>> 16) & 31;
  const n = (word >>> 5) & 31;
  if (registerForm && m !== 31) {
    const negative = random.chance(1, 2);
    const low = random.below(512);
    const wide = (word & 0x6000) === 0x6000;
    // A 32-bit index ignores the upper half, so that may hold anything.
    rig.regs.set(m, negative ? (-low | 0) >>> 0 : low, wide ? (negative && low > 0 ? 0xffff_ffff : 0) : random.next());
  }
  const dcZva = (word & 0xffff_ffe0) >>> 0 === 0xd50b_7420;
  rig.regs.setAddress(dcZva ? word & 31 : n, va);
  decodeStore(word, rig.regs, access);
  if (access.fault === STORE_NOT_KERNEL || access.va !== va) {
    // Index and base may be one register; then the address is what it is.
    rig.regs.setAddress(dcZva ? word & 31 : n, va + (va - access.va));
    decodeStore(word, rig.regs, access);
  }
  const inside = access.va >= RIG_BASE && access.va + access.bytes <= RIG_BASE + RIG_BYTES;
  return access.fault === STORE_OK && inside;
};

const armMonitor = (rig: Rig, random: Random): void => {
  if (random.chance(1, 5)) return;
  const other = random.chance(1, 5) ? 64 : 0;
  rig.monitor.arm(access.va + other, random.chance(1, 8) ? access.bytes * 2 : access.bytes);
};

/** Makes a CAS succeed now and then. */
const plantExpected = (rig: Rig, form: StoreForm, word: number, random: Random): void => {
  if (!form.name.startsWith('cas') || random.chance(1, 3)) return;
  const pair = form.name.startsWith('casp');
  const unit = pair ? form.bytes / 2 : form.bytes;
  for (let i = 0; i < form.bytes; i++) {
    const register = ((word >>> 16) & 31) + (pair ? Math.floor(i / unit) : 0);
    const at = i % unit;
    const half = register === 31 ? 0 : at < 4 ? rig.regs.lo[register]! : rig.regs.hi[register]!;
    rig.bytes[access.va - RIG_BASE + i] = half >>> (8 * (at & 3));
  }
};

describe('a trapped and emulated store', () => {
  it.each(STORE_FORMS.map((form) => [form.name, form] as const))('%s ends as an executed one does', (_name, form) => {
    const random = new Random(11, form.name);
    const before = new Rig();
    for (let i = 0; i < RIG_BYTES; i++) before.bytes[i] = edgeWord(random);
    let done = 0;
    let straddled = 0;
    for (let i = 0; i < 400; i++) {
      const word = randomWord(form, random);
      scramble(before, random);
      if (!aim(before, word, randomStart(random, form.bytes), random)) continue;
      before.monitor.clear();
      armMonitor(before, random);
      plantExpected(before, form, word, random);
      const { va, bytes } = access;
      const crosses = Math.floor(va / 4096) !== Math.floor((va + bytes - 1) / 4096);
      const readOnly = [
        [true, true, true],
        [false, true, false],
        [true, false, true],
      ][random.below(3)]!;
      const executed = before.clone();
      const trapped = before.clone();
      expect(executed.execute(word)).toBe(true);
      const result = trapped.trap(word, readOnly);
      if (result === null) continue;
      const text = `${disassemble(word)} at ${va - RIG_BASE}`;
      expect([text, REFUSAL_TEXTS[result.refusal]]).toEqual([text, '']);
      expect([text, trapped.firstDifference(executed)]).toEqual([text, null]);
      done++;
      if (crosses) straddled++;
    }
    expect(done).toBeGreaterThan(40);
    // Accesses that must be aligned never straddle, and neither do bytes.
    if (/^(stp|str|stur|stnp)/.test(form.name) && form.bytes > 1) expect(straddled).toBeGreaterThan(0);
  });

  it('writes both pages though only the second one faulted', () => {
    const rig = new Rig();
    rig.regs.setAddress(1, RIG_BASE + 4096 - 12);
    rig.regs.set(2, 0x1111_1111, 0x2222_2222);
    rig.regs.set(3, 0x3333_3333, 0x4444_4444);
    const result = rig.trap(a64.stpPost(3, 2, 3, 1, 16), [false, true, true])!;
    expect([result.offset, result.size]).toEqual([-12, 16]);
    expect([...rig.bytes.subarray(4096 - 12, 4096 + 4)]).toEqual([
      0x11, 0x11, 0x11, 0x11, 0x22, 0x22, 0x22, 0x22, 0x33, 0x33, 0x33, 0x33, 0x44, 0x44, 0x44, 0x44,
    ]);
    expect(rig.regs.format(1)).toBe('0xffff800010001004');
  });
});
