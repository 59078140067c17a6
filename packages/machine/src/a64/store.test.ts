import { describe, expect, it } from 'vitest';
import {
  decodeStore,
  STORE_MISALIGNED,
  STORE_NOT_KERNEL,
  STORE_OK,
  STORE_SP_MISALIGNED,
  StoreAccess,
  storeIss,
} from './core-store.ts';
import { decodeTrappedStore, emulateFromInstruction, emulateFromSyndrome } from './el2-store.ts';
import {
  EmulatedStore,
  REFUSAL_TEXTS,
  REFUSE_64_BYTES,
  REFUSE_AMBIGUOUS,
  REFUSE_LSE128,
  REFUSE_MEMORY_COPY,
  REFUSE_NO_STORE,
  REFUSE_NO_SYNDROME,
  REFUSE_NO_WRITE,
  REFUSE_OTHER_ADDRESS,
  REFUSE_STRUCTURES,
  REFUSE_TAGS,
  REFUSE_UNPREDICTABLE,
} from './emulated-store.ts';
import * as a64 from './encode.ts';
import { CpuRegisters } from './registers.ts';
import { RIG_BASE, Rig } from './store-rig.ts';

const access = new StoreAccess();
const store = new EmulatedStore();

describe('instruction meanings', () => {
  /** Memory words at the base, after executing `word` with X1 = base, X2 and X3 as given, on memory filled with `fill`. */
  const run = (
    word: number,
    x2: [number, number],
    x3: [number, number],
    memory: number[],
  ): { rig: Rig; words: Uint32Array } => {
    const rig = new Rig();
    const words = new Uint32Array(rig.bytes.buffer);
    words.set(memory, 16);
    rig.regs.setAddress(1, RIG_BASE + 64);
    rig.regs.set(2, ...x2);
    rig.regs.set(3, ...x3);
    rig.regs.set(4, 0xdead_beef, 0xdead_beef);
    expect(rig.execute(word)).toBe(true);
    return { rig, words: words.subarray(16, 16 + memory.length) };
  };

  it.each([
    [
      'ldadd carries into the upper half',
      a64.ldadd(3, 2, 4, 1),
      [1, 2],
      [0xffff_ffff, 5],
      [0, 8],
      '0x00000005ffffffff',
    ],
    ['ldclr clears', a64.ldOp('clr', 2, 2, 4, 1), [0xff, 0], [0x1234, 0], [0x1200, 0], '0x0000000000001234'],
    ['ldeor flips', a64.ldOp('eor', 2, 2, 4, 1), [0xff, 0], [0x1234, 7], [0x12cb, 7], '0x0000000000001234'],
    [
      'ldset sets a halfword only',
      a64.ldset(1, 2, 4, 1),
      [0xffff_ff00, 0],
      [0x1_0034, 0],
      [0x1_ff34, 0],
      '0x0000000000000034',
    ],
    [
      'ldsmax takes signs of a byte',
      a64.ldOp('smax', 0, 2, 4, 1),
      [0x80, 0],
      [0x27f, 0],
      [0x27f, 0],
      '0x000000000000007f',
    ],
    [
      'ldsmin takes signs of a byte',
      a64.ldOp('smin', 0, 2, 4, 1),
      [0x80, 0],
      [0x27f, 0],
      [0x280, 0],
      '0x000000000000007f',
    ],
    ['ldumax takes none', a64.ldOp('umax', 0, 2, 4, 1), [0x80, 0], [0x27f, 0], [0x280, 0], '0x000000000000007f'],
    ['ldumin takes none', a64.ldOp('umin', 3, 2, 4, 1), [5, 1], [4, 0x8000_0000], [5, 1], '0x8000000000000004'],
    [
      'ldsmin of 64 bits',
      a64.ldOp('smin', 3, 2, 4, 1),
      [5, 1],
      [4, 0x8000_0000],
      [4, 0x8000_0000],
      '0x8000000000000004',
    ],
    ['swp exchanges', a64.swp(3, 2, 4, 1, 'al'), [1, 2], [3, 4], [1, 2], '0x0000000400000003'],
    ['swp of a word zero-extends', a64.swp(2, 31, 4, 1), [1, 2], [3, 4], [0, 4], '0x0000000000000003'],
    ['cas that differs only gives the old value', a64.cas(2, 4, 2, 1), [1, 0], [3, 4], [3, 4], '0x0000000000000003'],
    ['str leaves the other registers', a64.str(3, 2, 1), [1, 2], [0, 0], [1, 2], '0xdeadbeefdeadbeef'],
  ] as const)('%s', (_name, word, x2, memory, after, x4) => {
    const { rig, words } = run(word, [...x2], [0, 0], [...memory]);
    expect([...words]).toEqual([...after]);
    expect(rig.regs.format(4)).toBe(x4);
  });

  it('cas that compares equal stores', () => {
    const { rig, words } = run(a64.cas(3, 2, 3, 1), [7, 8], [1, 2], [7, 8]);
    expect([...words]).toEqual([1, 2]);
    expect(rig.regs.format(2)).toBe('0x0000000800000007');
  });

  it('pre-index moves the base before, post-index after', () => {
    const pre = run(a64.strPre(2, 2, 1, 4), [9, 0], [0, 0], [0, 0]);
    expect([...pre.words]).toEqual([0, 9]);
    expect(pre.rig.regs.format(1)).toBe('0xffff800010000044');
    const post = run(a64.strPost(2, 2, 1, -4), [9, 0], [0, 0], [0, 0]);
    expect([...post.words]).toEqual([9, 0]);
    expect(post.rig.regs.format(1)).toBe('0xffff80001000003c');
  });

  it('index registers are extended and shifted', () => {
    expect([...run(a64.strReg(2, 2, 1, 3, 'uxtw', true), [9, 0], [1, 0xff], [0, 0]).words]).toEqual([0, 9]);
    const back = run(a64.strReg(2, 2, 1, 3, 'sxtw', true), [9, 0], [0xffff_fffc, 0], [0, 0]);
    expect(new Uint32Array(back.rig.bytes.buffer)[12]).toBe(9);
  });

  it('dc zva zeroes the block around any of its addresses', () => {
    const { rig } = run(a64.dcZva(1), [0, 0], [0, 0], [1, 2, 3]);
    expect(rig.bytes.subarray(64, 128).every((byte) => byte === 0)).toBe(true);
    rig.bytes.fill(7);
    rig.regs.setAddress(1, RIG_BASE + 191);
    rig.execute(a64.dcZva(1));
    expect([rig.bytes[127], rig.bytes[128], rig.bytes[191], rig.bytes[192]]).toEqual([7, 0, 0, 7]);
  });

  it('a store-exclusive succeeds once after its load, and not where the monitor is elsewhere', () => {
    const rig = new Rig();
    rig.regs.setAddress(1, RIG_BASE);
    rig.regs.set(2, 5, 0);
    const word = a64.stxr(2, 4, 2, 1);
    rig.monitor.arm(RIG_BASE, 4);
    rig.execute(word);
    expect([rig.bytes[0], rig.regs.lo[4]]).toEqual([5, 0]);
    rig.regs.set(2, 6, 0);
    rig.execute(word);
    expect([rig.bytes[0], rig.regs.lo[4]]).toEqual([5, 1]);
  });
});

describe('the syndrome of a store', () => {
  const esr = (word: number, dfsc: number): string => {
    expect(decodeStore(word, new CpuRegisters(), access)).toBe(true);
    return ((0x9200_0000 | storeIss(access, dfsc)) >>> 0).toString(16);
  };

  it.each([
    ['str w3', a64.str(2, 3, 1), 0x0f, '9383004f'],
    ['str x3', a64.str(3, 3, 1), 0x0f, '93c3804f'],
    ['strb wzr on a block', a64.str(0, 31, 1), 0x0e, '931f004e'],
    ['str x3, register offset', a64.strReg(3, 3, 1, 2), 0x0f, '93c3804f'],
    ['sttr w3', a64.sttr(2, 3, 1), 0x0f, '9383004f'],
    ['stlr w3 says acquire-release', a64.stlr(2, 3, 1), 0x0f, '9383404f'],
    ['stp', a64.stp(3, 2, 3, 1), 0x0f, '9200004f'],
    ['stxr', a64.stxr(2, 4, 3, 1), 0x0f, '9200004f'],
    ['cas', a64.cas(2, 4, 3, 1), 0x0f, '9200004f'],
    ['stadd', a64.ldadd(2, 4, 31, 1), 0x0f, '9200004f'],
    ['dc zva', a64.dcZva(1), 0x0f, '9200004f'],
    ['str x3 with write-back', a64.strPost(3, 3, 1, 8), 0x0f, '9200004f'],
    ['str s3', a64.strV(2, 3, 1), 0x0f, '9200004f'],
    ['st1', a64.st1(1, true, 0, 3, 1), 0x0f, '9200004f'],
  ])('%s', (_name, word, dfsc, expected) => expect(esr(word, dfsc)).toBe(expected));

  it('gives EL2 data and size, and zero for register 31', () => {
    const regs = new CpuRegisters();
    regs.set(3, 0x1234_5678, 0x9abc_def0);
    regs.setAddress(31, RIG_BASE);
    expect(emulateFromSyndrome(0x93c3804f, RIG_BASE + 8, regs, store)).toBe(true);
    expect([...store.bytes.subarray(0, store.size)]).toEqual([0x78, 0x56, 0x34, 0x12, 0xf0, 0xde, 0xbc, 0x9a]);
    expect(emulateFromSyndrome(0x931f004e, RIG_BASE, regs, store)).toBe(true);
    expect([store.size, store.bytes[0]]).toEqual([1, 0]);
  });

  it.each([
    ['a load', 0x93870006, 8, REFUSE_NO_WRITE],
    ['cache maintenance', 0x9200014f, 8, REFUSE_NO_WRITE],
    ['a stage-1 walk', 0x920000cf, 8, REFUSE_NO_WRITE],
    ['a fetch', 0x8200000f, 8, REFUSE_NO_WRITE],
    ['a pair', 0x9200004f, 8, REFUSE_NO_SYNDROME],
    ['a word at the start of a page, which may have begun before it', 0x9383004f, 0, REFUSE_AMBIGUOUS],
  ])('is not enough for %s', (_name, syndrome, at, refusal) => {
    expect(emulateFromSyndrome(syndrome, RIG_BASE + at, new CpuRegisters(), store)).toBe(false);
    expect(store.refusal).toBe(refusal);
  });
});

describe('stores that end at stage 1', () => {
  const fault = (word: number, register: number, va: number): number => {
    const regs = new CpuRegisters();
    regs.setAddress(register, va);
    expect(decodeStore(word, regs, access)).toBe(true);
    return access.fault;
  };
  it('are misaligned exclusives, atomics and ordered stores', () => {
    for (const word of [
      a64.stlr(2, 2, 1),
      a64.stxr(2, 3, 2, 1),
      a64.ldadd(2, 3, 2, 1),
      a64.cas(2, 3, 2, 1),
      a64.stlur(2, 2, 1),
    ]) {
      expect(fault(word, 1, RIG_BASE + 2)).toBe(STORE_MISALIGNED);
      expect(fault(word, 1, RIG_BASE + 4)).toBe(STORE_OK);
    }
    expect(fault(a64.casp(3, 4, 2, 1), 1, RIG_BASE + 8)).toBe(STORE_MISALIGNED);
    expect(fault(a64.str(3, 2, 1), 1, RIG_BASE + 1)).toBe(STORE_OK);
  });
  it('have a misaligned SP as base', () => {
    expect(fault(a64.str(2, 2, 31), 31, RIG_BASE + 8)).toBe(STORE_SP_MISALIGNED);
    expect(fault(a64.str(2, 2, 31), 31, RIG_BASE + 16)).toBe(STORE_OK);
  });
  it('lie outside the kernel’s half', () => {
    const regs = new CpuRegisters();
    regs.set(1, 0x1000, 0x0000_8000);
    decodeStore(a64.str(2, 2, 1), regs, access);
    expect(access.fault).toBe(STORE_NOT_KERNEL);
    regs.set(1, 0xffff_fffe, 0xffff_ffff);
    decodeStore(a64.str(2, 2, 1), regs, access);
    expect(access.fault).toBe(STORE_NOT_KERNEL);
  });
});

describe('EL2 refuses', () => {
  it.each([
    ['write-back into the data register', a64.strPost(3, 1, 1, 8), REFUSE_UNPREDICTABLE],
    ['write-back into the second data register', a64.stpPre(3, 2, 1, 1, 16), REFUSE_UNPREDICTABLE],
    ['a status register that is the data register', a64.stxr(3, 2, 2, 1), REFUSE_UNPREDICTABLE],
    ['a status register that is the base', a64.stxr(3, 1, 2, 1), REFUSE_UNPREDICTABLE],
    ['st3', 0x0c81493e, REFUSE_STRUCTURES],
    ['st1 of a lane', 0x4d9716d4, REFUSE_STRUCTURES],
    ['stg', 0xd9208b2d, REFUSE_TAGS],
    ['stgp', 0x690b00da, REFUSE_TAGS],
    ['setp', 0x19c20420, REFUSE_MEMORY_COPY],
    ['st64b', 0xf83f9001, REFUSE_64_BYTES],
    ['swpp', 0x19238041, REFUSE_LSE128],
    ['a load', a64.ldr(3, 2, 1), REFUSE_NO_STORE],
    ['a branch', a64.b(4), REFUSE_NO_STORE],
    ['a NOP', a64.NOP, REFUSE_NO_STORE],
    ['casp of odd registers', 0x0825_7c62, REFUSE_NO_STORE],
  ])('%s', (_name, word, refusal) => {
    const regs = new CpuRegisters();
    regs.setAddress(1, RIG_BASE);
    expect(decodeTrappedStore(word, RIG_BASE, regs, null, store)).toBe(false);
    expect(store.refusal).toBe(refusal);
    expect(REFUSAL_TEXTS[refusal]).not.toBe('');
    expect(decodeStore(word, regs, access)).toBe(false);
  });

  it('a store that does not reach the faulting address', () => {
    const regs = new CpuRegisters();
    regs.setAddress(1, RIG_BASE + 4092);
    const word = a64.stp(2, 2, 3, 1);
    expect(decodeTrappedStore(word, RIG_BASE + 4092, regs, null, store)).toBe(true);
    expect(decodeTrappedStore(word, RIG_BASE + 4096, regs, null, store)).toBe(true);
    // Inside the access, but neither its start nor the start of a page.
    expect(decodeTrappedStore(word, RIG_BASE + 4094, regs, null, store)).toBe(false);
    expect(store.refusal).toBe(REFUSE_OTHER_ADDRESS);
    expect(decodeTrappedStore(word, RIG_BASE + 4100, regs, null, store)).toBe(false);
  });
});

describe('emulation in one call', () => {
  it('resolves an atomic from the old bytes and a store-exclusive without a monitor as failed', () => {
    const regs = new CpuRegisters();
    regs.setAddress(1, RIG_BASE + 8);
    regs.set(2, 3, 0);
    expect(
      emulateFromInstruction(a64.ldadd(2, 2, 4, 1), RIG_BASE + 8, regs, Uint8Array.of(255, 0, 0, 0), null, store),
    ).toBe(true);
    expect([store.pending, store.writes, ...store.bytes.subarray(0, 4)]).toEqual([false, true, 2, 1, 0, 0]);
    expect(emulateFromInstruction(a64.stxr(2, 4, 2, 1), RIG_BASE + 8, regs, null, null, store)).toBe(true);
    expect([store.writes, store.status, store.statusValue]).toEqual([false, 4, 1]);
    expect(emulateFromInstruction(a64.swp(2, 2, 4, 1), RIG_BASE + 8, regs, null, null, store)).toBe(true);
    expect(store.pending).toBe(true);
  });
});
