import {
  a64,
  branchOffset,
  CLASS_B,
  CLASS_BL,
  CLASS_CONDITIONAL,
  CLASS_OTHER,
  instructionClass,
} from '@numalab/machine';
import { describe, expect, it } from 'vitest';
import { type KernelImage, readKernelImage } from '../image/index.ts';
import {
  BUILTIN_LAYOUT,
  type BuiltinShape,
  buildBuiltinKernel,
  type GeneratedKernel,
  generateKernel,
  STORE_GADGETS,
} from './index.ts';

const read = (kernel: GeneratedKernel, ignoreSymbols = false): KernelImage =>
  readKernelImage(kernel.bytes, { name: 'generated', decompress: {}, ignoreSymbols });

const expectTables = (image: KernelImage, kernel: GeneratedKernel, emptySlots: number): void => {
  const { jumpEntries: j, alternatives: a } = image;
  const jumps = Array.from({ length: j.count }, (_, i) => ({
    code: j.code[i],
    target: j.target[i],
    key: j.key[i],
    flags: j.flags[i],
  }));
  expect(jumps).toEqual(kernel.jumps);
  const alternatives = Array.from({ length: a.count }, (_, i) => ({
    orig: a.orig[i],
    replacement: a.replacement[i],
    capability: a.capability[i],
    callback: a.callback[i] === 1,
    length: a.origLength[i],
  }));
  expect(alternatives).toEqual(kernel.alternatives);
  expect(Array.from(image.ftraceSites)).toEqual(kernel.sites);
  expect(Array.from(image.ftraceLiterals)).toEqual(kernel.literals);
  expect(image.ftrace.emptySlots).toBe(emptySlots);
  expect(image.ftrace.slots).toBe(kernel.sites.length + emptySlots);
};

const SHAPES: [string, Partial<BuiltinShape>][] = [
  ['Linux 6.12 with all symbols', {}],
  ['Linux 6.12 with RELR', { relocations: 'relr' }],
  ['Linux 6.12 with text symbols only', { allSymbols: false }],
  ['Linux 6.1 with text symbols only', { kallsyms: '6.1', allSymbols: false, callOps: false, emptySlots: 0 }],
  ['Linux 6.1 with all symbols', { kallsyms: '6.1', callOps: false, emptySlots: 0 }],
  ['Linux 7 with RELR', { kallsyms: '7.0', relocations: 'relr' }],
  ['Linux 7 with text symbols only', { kallsyms: '7.0', relocations: 'relr', allSymbols: false }],
  ['no kallsyms', { kallsyms: 'none' }],
];

describe.each(SHAPES)('the reader on a generated kernel of shape %s', (_, shape) => {
  const kernel = generateKernel(7, shape);
  const emptySlots = shape.emptySlots ?? 3;

  it('finds what the generator put in', () => {
    const image = read(kernel);
    expectTables(image, kernel, emptySlots);
    const { offsets, names, types } = image.symbols;
    const symbols = Array.from(offsets, (offset, i) => ({ offset, type: types[i], name: names[i] }));
    expect(symbols).toEqual(kernel.kept);
  });

  it('finds the tables without symbols', () => {
    const image = read(kernel, true);
    expect(image.symbols.count).toBe(0);
    expectTables(image, kernel, emptySlots);
  });

  it('finds every relocated slot', () => {
    const { slots, targets } = read(kernel).relocations;
    expect(Array.from(slots, (slot, i) => ({ slot, target: targets[i] }))).toEqual(kernel.pointers);
  });
});

describe('the built-in kernel', () => {
  const image = buildBuiltinKernel(1);

  it('depends on its seed alone', () => {
    const [a, b, other] = [5, 5, 6].map((seed) => generateKernel(seed).bytes);
    // Quicker than toEqual on 5 MB.
    expect(a!.every((byte, i) => byte === b![i])).toBe(true);
    expect(a!.every((byte, i) => byte === other![i])).toBe(false);
  });

  it('has the regions that the layout says', () => {
    expect(image.regions).toEqual({
      text: { start: BUILTIN_LAYOUT.stext, end: BUILTIN_LAYOUT.etext },
      rodata: { start: BUILTIN_LAYOUT.etext, end: BUILTIN_LAYOUT.endRodata },
      hypText: { start: image.symbols.find('__hyp_text_start'), end: BUILTIN_LAYOUT.hypTextEnd },
      roAfterInit: { start: BUILTIN_LAYOUT.roAfterInit, end: image.symbols.find('__stop___jump_table') },
      init: { start: BUILTIN_LAYOUT.initBegin, end: BUILTIN_LAYOUT.initEnd },
      data: { start: BUILTIN_LAYOUT.data, end: BUILTIN_LAYOUT.edata },
      bss: { start: BUILTIN_LAYOUT.bss, end: BUILTIN_LAYOUT.bssEnd },
    });
    expect(image).toMatchObject({
      format: 'builtin',
      version: '6.12.0-numalab',
      pageSize: 4096,
      unknown: {},
      derived: {},
    });
    expect(image.imageSize).toBe(BUILTIN_LAYOUT.end);
  });

  it('derives from structure what symbols of data would say', () => {
    const bare = read(generateKernel(1, { allSymbols: false }));
    expect(bare.regions.init).toEqual(image.regions.init);
    expect(bare.regions.data).toEqual(image.regions.data);
    expect(bare.regions).toMatchObject({ rodata: null, roAfterInit: null, bss: null });
    expect(Object.keys(bare.unknown)).toEqual(['regions.rodata', 'regions.roAfterInit', 'regions.bss']);
  });

  it('keeps every branch inside text of its own owner', () => {
    const { words, el2Text } = image;
    const owner = (offset: number): string => {
      if (offset >= el2Text!.start && offset < el2Text!.end) return 'EL2';
      return offset >= BUILTIN_LAYOUT.stext && offset < BUILTIN_LAYOUT.etext ? 'kernel' : 'none';
    };
    let branches = 0;
    for (let at = BUILTIN_LAYOUT.stext; at < BUILTIN_LAYOUT.etext; at += 4) {
      const word = words[at / 4]!;
      const kind = instructionClass(word);
      if (kind !== CLASS_B && kind !== CLASS_BL && kind !== CLASS_CONDITIONAL) continue;
      const target = at + branchOffset(word);
      if (owner(target) !== owner(at)) expect.fail(`branch at ${at.toString(16)} leads to ${target.toString(16)}`);
      branches++;
    }
    expect(branches).toBeGreaterThan(20_000);
  });

  it('lists functions of kernel text only, each starting with an instruction', () => {
    const { functions, el2Text, words } = image;
    expect(functions.length).toBeGreaterThan(2000);
    for (let i = 0; i < functions.length; i++) {
      const start = functions[i]!;
      if (i > 0) expect(start).toBeGreaterThan(functions[i - 1]!);
      expect(start < el2Text!.start || start >= el2Text!.end).toBe(true);
      expect(words[start / 4]! >>> 16).not.toBe(0);
    }
    expect(functions.at(-1)).toBeLessThan(BUILTIN_LAYOUT.etext);
  });

  it('starts each static key as its instruction says', () => {
    const { code, target, key, flags, count } = image.jumpEntries;
    const seen = new Set<number>();
    for (let i = 0; i < count; i++) {
      const enabled = image.words[key[i]! / 4]!;
      const wantsBranch = (enabled ^ (flags[i]! & 1)) === 1;
      expect(image.words[code[i]! / 4]).toBe(wantsBranch ? a64.b(target[i]! - code[i]!) : a64.NOP);
      seen.add(flags[i]! * 2 + (wantsBranch ? 1 : 0));
    }
    // Both branch directions with both initial words occur; each alone in init text.
    expect(seen.size).toBeGreaterThanOrEqual(6);
  });

  it('has a gadget for each form of store', () => {
    for (const [form, words] of Object.entries(STORE_GADGETS)) {
      const start = image.symbols.find(`numalab_store_${form}`);
      expect(start).toBeGreaterThan(0);
      expect(Array.from(image.words.subarray(start / 4, start / 4 + words.length + 1))).toEqual([...words, a64.ret()]);
      for (const word of words) expect(instructionClass(word)).toBe(CLASS_OTHER);
    }
    expect(image.symbols.find('copy_to_kernel_nofault')).toBeGreaterThan(0);
  });
});
