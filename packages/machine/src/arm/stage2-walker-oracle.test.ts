import { Random } from '@numalab/base';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { WordMemory } from '../memory/word-memory.ts';
import {
  ACCESS_ATOMIC,
  ACCESS_EXECUTE,
  ACCESS_READ,
  ACCESS_WRITE,
  decodeStage2Config,
  fscType,
  GRANULES,
  leafHi,
  leafLo,
  levelBytes,
  levelShift,
  makeStage2Config,
  oracleStage2Walk,
  PA_SIZES,
  placeBits,
  type Stage2Config,
  Stage2Walker,
  stage2Attributes,
  tableHi,
  tableLo,
  VTCR_EL2_PS,
} from './index.ts';
import { TestMemory } from './test-memory.ts';

const ACCESSES = [ACCESS_READ, ACCESS_WRITE, ACCESS_EXECUTE, ACCESS_ATOMIC];
const GRANULE_NAMES = ['4K', '16K', '64K'] as const;

/** Every legal shape: granule, IPA size, start level (so every concatenation) and descriptor format. */
const legalConfigs = (): Stage2Config[] => {
  const found: Stage2Config[] = [];
  const ipaSizes = [16, 17, 20, 22, 25, 28, 29, 31, ...Array.from({ length: 21 }, (_, i) => 32 + i)];
  for (const granule of GRANULE_NAMES)
    for (const ipaBits of ipaSizes)
      for (const startLevel of [-1, 0, 1, 2, 3])
        for (const oaBits of [48, 52])
          for (const lpa2 of [false, true])
            try {
              found.push(makeStage2Config({ granule, ipaBits, startLevel, oaBits, lpa2, rootPa: 0x1_0000_0000 }));
            } catch {
              // Not legal; stage2-config.test.ts judges which are.
            }
  return found;
};
const CONFIGS = legalConfigs();

/** What becomes of an entry on a path: mostly proper tables and leaves, and every kind of broken one. */
type Entry =
  | { kind: 'table'; frame: number; junk: number }
  | { kind: 'leaf'; pa: number; attrs: number; misalign: boolean }
  | { kind: 'raw'; lo: number; hi: number }
  | { kind: 'absent'; frame: number };

const word = fc.integer({ min: 0, max: 0xffff_ffff });
const frame = fc.integer({ min: 0, max: 11 });
const attributes = fc.integer({ min: 0, max: 2 ** 17 - 1 }).map((n) => ((n & 7) === 0 ? n : n | 0x400));
const entry: fc.Arbitrary<Entry> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('table' as const), frame, junk: word }) },
  {
    weight: 8,
    arbitrary: fc.record({
      ...{ kind: fc.constant('leaf' as const), pa: fc.maxSafeNat(), attrs: attributes, misalign: fc.boolean() },
    }),
  },
  // Type bits 00..11 with everything else random: reserved types, bad addresses, AF = 0.
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('raw' as const), lo: word, hi: word }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('absent' as const), frame }) },
);
const path = fc.record({ ipa: fc.maxSafeNat(), entries: fc.array(entry, { minLength: 5, maxLength: 5 }) });
const scenario = fc.record({
  config: fc.constantFrom(...CONFIGS),
  ps: fc.option(fc.integer({ min: 0, max: 7 }), { freq: 3 }),
  ha: fc.boolean(),
  hd: fc.boolean(),
  // Bits 11:1 of VTTBR_EL2: below the size of the root they are ignored.
  rootJunk: fc.option(fc.integer({ min: 0, max: 0xffe }), { freq: 3 }),
  rootAbsent: fc.integer({ min: 0, max: 15 }).map((n) => n === 0),
  paths: fc.array(path, { minLength: 1, maxLength: 4 }),
});
type Scenario = typeof scenario extends fc.Arbitrary<infer T> ? T : never;

/** Tables live at multiples of 1 MiB, some of them above 4 GiB or 48 bits; nothing is present from `ABSENT` on. */
const FRAME_BASES = [2, 3, 0x1001, 0x1002, 0x80_0000, 0x0fff_ffff];
const ABSENT = 0x7_0000_0000;
const isPresent = (pa: number): boolean => pa < ABSENT || pa >= ABSENT + 0x1_0000_0000;
const frameBase = (config: Stage2Config, index: number): number => {
  const bits = config.ds || config.lpa ? 52 : 48;
  const base = FRAME_BASES[index % FRAME_BASES.length]! * 2 ** 20 + Math.floor(index / FRAME_BASES.length) * 0x4_0000;
  return index === 11 ? 2 ** bits - 2 ** 20 : base;
};

const registersOf = ({
  config,
  ps,
  ha,
  hd,
  rootJunk,
  rootAbsent,
}: Scenario): { vtcr: bigint; vttbr: bigint; paMax: number } => {
  let vtcr = config.vtcr | (ha ? 1n << 21n : 0n) | (hd ? 1n << 22n : 0n);
  if (ps !== null) vtcr = (vtcr & ~placeBits(VTCR_EL2_PS, 7)) | placeBits(VTCR_EL2_PS, ps);
  const wide = config.ds || config.lpa;
  const vttbr = (rootAbsent ? BigInt(ABSENT) : config.vttbr) | BigInt((rootJunk ?? 0) & (wide ? ~0x3d : ~1));
  return { vtcr, vttbr, paMax: config.paMax };
};

/** Writes the entries of a path; a later path may overwrite parts of an earlier one. */
const plant = (memory: TestMemory, config: Stage2Config, ipa: number, entries: readonly Entry[]): void => {
  let base = config.rootPa;
  for (let level = config.startLevel; level <= 3; level++) {
    const shift = levelShift(config.granule, level);
    const index = Math.floor(ipa / 2 ** shift) % (level === config.startLevel ? 2 ** 20 : config.granule.entries);
    const at = base + index * 8;
    const item = entries[level - config.startLevel]!;
    if (item.kind === 'raw') {
      memory.storeDescriptor(at, item.lo, item.hi);
      return;
    }
    if (item.kind === 'leaf' || level === 3) {
      const pa = item.kind === 'leaf' ? item.pa : ipa;
      const attrs = item.kind === 'leaf' ? item.attrs : stage2Attributes({ read: true, write: true, execute: 'all' });
      const aligned = item.kind === 'leaf' && item.misalign ? pa : pa - (pa % levelBytes(config.granule, level));
      memory.storeDescriptor(at, leafLo(config, aligned, level, attrs), leafHi(config, aligned, level, attrs));
      return;
    }
    base = item.kind === 'absent' ? ABSENT + item.frame * 2 ** 20 : frameBase(config, item.frame);
    // Bits that hardware must ignore in a table descriptor: 7:2, 11:10 and 58:51, and SH where DS is 0.
    const junk = item.kind === 'table' ? item.junk : 0;
    const junkLo = junk & (config.ds ? 0xcfc : 0xffc);
    memory.storeDescriptor(at, tableLo(config, base) | junkLo, (tableHi(config, base) | (junk & 0x07f8_0000)) >>> 0);
  }
};

/** Where to walk: the paths themselves, their neighbours, and addresses around the end of the IPA space. */
const targets = (config: Stage2Config, ipas: readonly number[]): number[] => {
  const limit = 2 ** config.ipaBits;
  const near = ipas.flatMap((ipa) => [ipa, ipa + config.granule.bytes, ipa + 0x20_0000]);
  return [...near.filter((ipa) => ipa >= 0 && ipa < limit), limit - 1, limit, limit * 2];
};

/** What a walk did, in one comparable form. */
const observe = (walker: Stage2Walker, memory: TestMemory, ipa: number, access: number): unknown => {
  const before = new Map(memory.words);
  const fault = walker.walk(ipa, access);
  const { pa, level, leafBytes, readable, writable, executable, wnr } = walker;
  const reads = Array.from(walker.readPa.subarray(0, walker.reads));
  const stored = [...memory.words].filter(([at, value]) => before.get(at) !== value);
  const last = reads.at(-1);
  const newDescriptor = stored.length > 0 && last !== undefined ? memory.descriptor(last) : null;
  expect(stored.every(([at]) => at === last)).toBe(true);
  expect(walker.updated).toBe(stored.length > 0);
  memory.words.clear();
  for (const [at, value] of before) memory.words.set(at, value);
  return { fault, level, pa, leafBytes, readable, writable, executable, reads, wnr: fault !== 0 && wnr, newDescriptor };
};

const expected = (
  memory: WordMemory,
  registers: ReturnType<typeof registersOf>,
  ipa: number,
  access: number,
): unknown => {
  const result = oracleStage2Walk(memory, registers, ipa, access);
  return { ...result, wnr: result.fault !== 0 && result.wnr };
};

/** Flips one bit of one word that the walker sees and the oracle does not. */
class Lie extends TestMemory {
  at = -1;
  flip = 0;

  override load32(pa: number): number {
    return pa === this.at ? (super.load32(pa) ^ this.flip) >>> 0 : super.load32(pa);
  }
}

const compare = (s: Scenario, seen: (fault: number, level: number) => void = () => {}): void => {
  const memory = new TestMemory(isPresent);
  const registers = registersOf(s);
  const config = decodeStage2Config(registers.vtcr, registers.vttbr, registers.paMax);
  const ipas = s.paths.map(({ ipa }) => ipa % 2 ** config.ipaBits);
  for (const [i, { entries }] of s.paths.entries()) plant(memory, config, ipas[i]!, entries);
  const walker = new Stage2Walker(memory, config);
  for (const ipa of targets(config, ipas))
    for (const access of ACCESSES) {
      const wanted = expected(memory, registers, ipa, access);
      expect(observe(walker, memory, ipa, access)).toEqual(wanted);
      seen(walker.walk(ipa, ACCESS_READ), walker.level);
    }
};

describe('the stage-2 walker', () => {
  it('agrees with the oracle on random tables, sound and broken', () => {
    const outcomes = new Set<string>();
    const property = fc.property(scenario, (s) =>
      compare(s, (fault, level) => outcomes.add(fault === 0 ? `ok ${level}` : `${fscType(fault)} ${level}`)),
    );
    fc.assert(property, { numRuns: 1500, seed: 20_230_623 });
    // Translation, address size, access flag, permission and external aborts were all seen at every level they exist at.
    const classes = ['0', '4', '20'].flatMap((type) => [-1, 0, 1, 2].map((level) => `${type} ${level}`));
    const leaves = ['ok', '8', '12'].flatMap((type) => [0, 1, 2, 3].map((level) => `${type} ${level}`));
    expect([...classes, ...leaves, '4 3', '0 3', '20 3'].filter((outcome) => !outcomes.has(outcome))).toEqual([]);
  });

  it('agrees with the oracle for every start level and concatenation, at both ends of the IPA space', () => {
    const random = new Random(11, 'every-config');
    const rw = stage2Attributes({ read: true, write: true, execute: 'all' });
    const shapes = new Set<string>();
    for (const config of CONFIGS) {
      shapes.add(`${config.startLevel} ${config.rootTables}`);
      const memory = new TestMemory();
      const ipas = [0, 2 ** config.ipaBits - 1, ...Array.from({ length: 4 }, () => random.next() * 2 ** 20)];
      for (const [i, raw] of ipas.entries()) {
        const ipa = raw % 2 ** config.ipaBits;
        const frames = [0, 1, 2, 3, 4].map((n): Entry => ({ kind: 'table', frame: (i + n) % 12, junk: 0 }));
        plant(memory, config, ipa, frames);
        const walker = new Stage2Walker(memory, config);
        expect(observe(walker, memory, ipa, ACCESS_READ)).toEqual(expected(memory, config, ipa, ACCESS_READ));
        expect(walker.walk(ipa, ACCESS_WRITE)).toBe(0);
        expect([walker.pa, walker.level, walker.reads]).toEqual([ipa, 3, 4 - config.startLevel]);
        expect(leafLo(config, 0, 3, rw) & 0xff).toBe(walker.lo & 0xff);
      }
    }
    // Level -1 resolves at most 4 bits of a 52-bit space; a start at level 0 needs 16 tables for 52 bits (4K).
    for (const tables of [1, 2, 4, 8, 16])
      for (const level of [1, 2, 3]) expect(shapes).toContain(`${level} ${tables}`);
    for (const tables of [1, 2, 4, 8, 16]) expect(shapes).toContain(`0 ${tables}`);
    expect(shapes).toContain('-1 1');
  });

  it('agrees with the oracle on which VTCR_EL2 are legal', () => {
    const memory = new TestMemory();
    let valid = 0;
    const check = (vtcr: bigint, paMax: number): void => {
      const vttbr = 0x2a_bcde_ffff_fffen;
      const config = decodeStage2Config(vtcr, vttbr, paMax);
      const walker = new Stage2Walker(memory, config);
      const wanted = oracleStage2Walk(memory, { vtcr, vttbr, paMax }, 0, ACCESS_READ);
      const got = [walker.walk(0, ACCESS_READ), walker.level, walker.reads, walker.readPa[0]! * walker.reads];
      const where = `VTCR ${vtcr.toString(16)}, PAMax ${paMax}`;
      expect(got, where).toEqual([wanted.fault, wanted.level, wanted.reads.length, wanted.reads[0] ?? 0]);
      if (config.valid) valid++;
    };
    for (const paMax of PA_SIZES)
      for (let tg0 = 0n; tg0 < 4n; tg0++)
        for (let sl = 0n; sl < 8n; sl++)
          for (let t0sz = 0n; t0sz < 64n; t0sz++)
            for (const options of [5n << 16n, 6n << 16n, (1n << 32n) | (6n << 16n)])
              check(((sl >> 2n) << 33n) | ((sl & 3n) << 6n) | (tg0 << 14n) | t0sz | options, paMax);
    expect(valid).toBeGreaterThan(1000);
  });
});

describe('canary', () => {
  it('a descriptor that only the walker sees wrongly is found', () => {
    const property = fc.property(scenario, fc.nat(), fc.nat({ max: 63 }), (s, pick, flip) => {
      const memory = new Lie(isPresent);
      const registers = registersOf(s);
      const config = decodeStage2Config(registers.vtcr, registers.vttbr, registers.paMax);
      const ipas = s.paths.map(({ ipa }) => ipa % 2 ** config.ipaBits);
      for (const [i, { entries }] of s.paths.entries()) plant(memory, config, ipas[i]!, entries);
      for (const ipa of ipas) {
        const wanted = expected(memory, registers, ipa, ACCESS_WRITE);
        const { reads } = oracleStage2Walk(memory, registers, ipa, ACCESS_WRITE);
        if (reads.length === 0) continue;
        memory.at = reads[pick % reads.length]! + (flip >= 32 ? 4 : 0);
        memory.flip = 1 << (flip % 32);
        expect(observe(new Stage2Walker(memory, config), memory, ipa, ACCESS_WRITE)).toEqual(wanted);
        memory.at = -1;
      }
    });
    const outcome = fc.check(property, { numRuns: 200, seed: 20_230_623, endOnFailure: true });
    expect(outcome.failed).toBe(true);
  });

  it('every bit of a leaf that means something is noticed, every other is not', () => {
    const config = makeStage2Config({ granule: '4K', ipaBits: 40, oaBits: 48, rootPa: 0, startLevel: 1 });
    const noticed: number[] = [];
    const ipa = 0x80_4567_8abc;
    for (let at = 0; at < 64; at++) {
      const memory = new Lie();
      const leaf: Entry = {
        kind: 'leaf',
        pa: 0,
        attrs: stage2Attributes({ read: true, write: true, execute: 'all' }),
        misalign: false,
      };
      plant(memory, config, ipa, [{ kind: 'table', frame: 0, junk: 0 }, { kind: 'table', frame: 1, junk: 0 }, leaf]);
      const wanted = expected(memory, config, ipa, ACCESS_WRITE);
      memory.at = oracleStage2Walk(memory, config, ipa, ACCESS_WRITE).reads[2]! + (at >= 32 ? 4 : 0);
      memory.flip = 1 << (at % 32);
      const got = observe(new Stage2Walker(memory, config), memory, ipa, ACCESS_WRITE);
      if (JSON.stringify(got) !== JSON.stringify(wanted, Object.keys(got as object))) noticed.push(at);
    }
    const address = Array.from({ length: 36 }, (_, i) => 12 + i);
    // Valid, type, S2AP, AF, address, Contiguous (the group's size) and XN; not MemAttr, SH, DBM (HD is off), software.
    expect(noticed).toEqual([0, 1, 6, 7, 10, ...address, 52, 53, 54]);
  });
});

describe('granules', () => {
  it('have a table for every legal configuration', () => {
    expect(new Set(CONFIGS.map(({ granule }) => granule))).toEqual(new Set(Object.values(GRANULES)));
    expect(CONFIGS.length).toBeGreaterThan(100);
  });
});
