import { Random } from '@numalab/base';
import { describe, expect, it } from 'vitest';
import { decodeStore, STORE_ZERO, StoreAccess } from './core-store.ts';
import * as a64 from './encode.ts';
import { CpuRegisters } from './registers.ts';
import { aimStore, findStoreGadgets, isStoreForm, STORE_FORMS } from './store-forms.ts';
import { RIG_BASE, Rig } from './store-rig.ts';

const OPERANDS = { base: 1, data: 2, data2: 3, extra: 4, index: 6, offset: 1 };
const NO_GADGET = a64.b(4);

describe('store forms', () => {
  it('have distinct names and encodings', () => {
    expect(new Set(STORE_FORMS.map((form) => form.name)).size).toBe(STORE_FORMS.length);
    for (const form of STORE_FORMS) {
      const word = form.word(OPERANDS);
      expect(STORE_FORMS.filter((other) => isStoreForm(word, other)).map((other) => other.name)).toEqual([form.name]);
    }
  });

  it.each(STORE_FORMS.map((form) => [form.name, form] as const))('%s is decoded as it says', (_name, form) => {
    const access = new StoreAccess();
    expect(decodeStore(form.word(OPERANDS), new CpuRegisters(), access)).toBe(true);
    expect([access.bytes, access.isv === 1]).toEqual([form.bytes, form.isv]);
  });
});

describe('store gadgets', () => {
  it.each(STORE_FORMS.map((form) => [form.name, form] as const))(
    '%s is found and stores what it is told',
    (_name, form) => {
      const random = new Random(3, form.name);
      const word = form.word(OPERANDS);
      const text = new Uint32Array(64).fill(NO_GADGET);
      text[40] = word;
      expect([...findStoreGadgets(text)]).toEqual([[form.name, 40]]);
      expect([...findStoreGadgets(text, 41)]).toEqual([]);
      expect([...findStoreGadgets(text, 0, (index) => index !== 40)]).toEqual([]);
      const rig = new Rig();
      rig.bytes.fill(0xee);
      for (let i = 0; i < 31; i++) rig.regs.set(i, random.next(), random.next());
      const data = Uint8Array.from({ length: 64 }, () => random.below(256));
      const va = RIG_BASE + 4096 + 128;
      const old = Uint8Array.from({ length: 64 }, () => 0xee);
      const access = new StoreAccess();
      const aimed = new StoreAccess();
      expect(aimStore(word, rig.regs, va, data, aimed, old)).toBe(true);
      decodeStore(word, rig.regs, access);
      expect(access.va).toBe(va);
      expect(aimed).toEqual(access);
      if (/^ld[^r]/.test(form.name)) return;
      rig.monitor.arm(va, form.bytes);
      expect(rig.execute(word)).toBe(true);
      const expected = access.kind === STORE_ZERO ? new Uint8Array(64) : data.subarray(0, form.bytes);
      expect(rig.bytes.subarray(4096 + 128, 4096 + 128 + form.bytes)).toEqual(expected.subarray(0, form.bytes));
      expect(rig.bytes[4096 + 127]).toBe(0xee);
      expect(rig.bytes[4096 + 128 + form.bytes]).toBe(0xee);
    },
  );

  it('need registers that can be set apart', () => {
    const find = (name: string, ...words: number[]): number | undefined =>
      findStoreGadgets(Uint32Array.from(words)).get(name);
    expect(find('str x', a64.str(3, 1, 1), a64.str(3, 31, 1), a64.str(3, 1, 31), a64.str(3, 2, 1))).toBe(3);
    expect(find('str x lsl', a64.strReg(3, 2, 1, 2), a64.strReg(3, 2, 1, 1), a64.strReg(3, 2, 1, 3))).toBe(2);
    expect(find('stp x', a64.stp(3, 2, 2, 1), a64.stp(3, 2, 3, 1))).toBe(1);
    expect(find('cas x', a64.cas(3, 2, 2, 1), a64.cas(3, 2, 3, 1))).toBe(1);
    expect(find('ldadd x', a64.ldadd(3, 1, 2, 1), a64.ldadd(3, 2, 31, 1))).toBe(1);
    expect(find('str w', a64.str(3, 2, 1))).toBeUndefined();
    expect(aimStore(a64.NOP, new CpuRegisters(), RIG_BASE, new Uint8Array(8))).toBe(false);
    expect(aimStore(a64.dcZva(1), new CpuRegisters(), RIG_BASE + 4, new Uint8Array(64))).toBe(false);
  });
});
