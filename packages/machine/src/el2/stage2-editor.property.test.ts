import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  ACCESS_EXECUTE,
  ACCESS_READ,
  ACCESS_WRITE,
  contiguousEntries,
  descriptorKind,
  type GranuleName,
  KIND_TABLE,
  levelBytes,
  makeStage2Config,
  rootAlignment,
  S2_HI_CONTIGUOUS,
  type Stage2Config,
  Stage2Walker,
  stage2Attributes,
} from '../arm/index.ts';
import { NodeMemory } from '../memory/index.ts';
import { ENOMEM } from './errno.ts';
import { donationOwner } from './invalid-entry.ts';
import { PagePool } from './page-pool.ts';
import { allocRoot, Stage2Editor } from './stage2-editor.ts';
import { drain } from './table-ops.ts';

interface Machine {
  config: Stage2Config;
  pool: PagePool;
  editor: Stage2Editor;
  walker: Stage2Walker;
}

const POOL_BASE = 0x4000_0000;

const makeMachine = (granule: GranuleName, ipaBits: number, oaBits: number, lpa2: boolean, pages = 2000): Machine => {
  const shape = makeStage2Config({ granule, ipaBits, oaBits, lpa2, rootPa: 0 });
  const bytes = pages * shape.granule.bytes;
  const memory = new NodeMemory(POOL_BASE, bytes, bytes);
  const pool = new PagePool(shape.granule.bytes, POOL_BASE, pages);
  const rootPa = allocRoot(pool, shape);
  expect(rootPa % rootAlignment(shape)).toBe(0);
  const config = makeStage2Config({ granule, ipaBits, oaBits, lpa2, rootPa });
  return { config, pool, editor: new Stage2Editor(memory, config, pool), walker: new Stage2Walker(memory, config) };
};

/** What the tables mean, as a list of disjoint ranges in order. Kind: a mapping (delta, rights) or an owner. */
interface Meaning {
  start: number;
  end: number;
  delta: number;
  write: boolean;
  execute: boolean;
  owner: number;
}

class Model {
  ranges: Meaning[] = [];

  cut(start: number, end: number): Meaning[] {
    const before: Meaning[] = [];
    const inside: Meaning[] = [];
    for (const range of this.ranges) {
      if (range.start < start) before.push({ ...range, end: Math.min(range.end, start) });
      if (range.end > end) before.push({ ...range, start: Math.max(range.start, end) });
      const from = Math.max(range.start, start);
      const to = Math.min(range.end, end);
      if (from < to) inside.push({ ...range, start: from, end: to });
    }
    this.ranges = before;
    return inside;
  }

  put(...ranges: Meaning[]): void {
    this.ranges.push(...ranges);
  }
}

const reachableTables = ({ editor, config }: Machine): number => {
  let tables = Math.ceil(config.rootBytes / config.granule.bytes);
  editor.forEachEntry((_pa, lo, hi, level) => {
    if (descriptorKind(config, lo, hi, level) === KIND_TABLE) tables += 1;
  });
  return tables;
};

const snapshot = ({ editor }: Machine): string => {
  const rows: string[] = [];
  editor.forEachEntry((pa, lo, hi, level, ipa) => rows.push([pa, lo, hi, level, ipa].join()));
  return rows.join('\n');
};

const checkAt = ({ walker, editor }: Machine, ipa: number, expected: Meaning | undefined): void => {
  const read = walker.walk(ipa, ACCESS_READ);
  if (expected === undefined || expected.owner > 0) {
    expect(read & 0x3c).toBe(0x04);
    expect(editor.getLeaf(ipa)).toBe(walker.level);
    expect(donationOwner(editor.leafLo, editor.leafHi)).toBe(expected?.owner ?? 0);
    if (expected === undefined) expect(editor.leafLo | editor.leafHi).toBe(0);
    return;
  }
  expect(read).toBe(0);
  expect(walker.pa).toBe(ipa + expected.delta);
  expect(walker.walk(ipa, ACCESS_WRITE) === 0).toBe(expected.write);
  expect(walker.walk(ipa, ACCESS_EXECUTE) === 0).toBe(expected.execute);
};

const checkAll = (machine: Machine, model: Model, start: number, end: number, page: number): void => {
  const sorted = [...model.ranges].sort((a, b) => a.start - b.start);
  let from = start;
  for (const range of [...sorted, { start: end, end }]) {
    if (range.start > from) {
      for (const ipa of [from, range.start - 4, from + page * Math.floor((range.start - from) / page / 2)]) {
        checkAt(machine, ipa, undefined);
      }
    }
    from = range.end;
  }
  for (const range of sorted) {
    for (const ipa of [
      range.start,
      range.end - 4,
      range.start + page * Math.floor((range.end - range.start) / page / 2),
    ]) {
      checkAt(machine, ipa, range);
    }
  }
  expect(machine.pool.used).toBe(reachableTables(machine));
  expect(machine.pool.available).toBe(machine.pool.capacity - machine.pool.used);
};

type Step = { verb: number; unit: number; at: number; count: number; congruence: number; rights: number };
const steps = fc.array(
  fc.record({
    verb: fc.integer({ min: 0, max: 9 }),
    unit: fc.integer({ min: 0, max: 5 }),
    at: fc.nat(0xffff_ffff),
    count: fc.integer({ min: 1, max: 6 }),
    congruence: fc.integer({ min: 0, max: 4 }),
    rights: fc.integer({ min: 0, max: 3 }),
  }),
  { minLength: 1, maxLength: 14 },
);

/** Performs a step on tables and model, on a window of two blocks of the biggest size the format has. */
const perform = (machine: Machine, model: Model, step: Step, index: number, window: number, bytes: number): number => {
  const { config, editor } = machine;
  const { granule } = config;
  const units = [3, 2, 1].flatMap((level) => [
    levelBytes(granule, level),
    contiguousEntries(granule, level) * levelBytes(granule, level),
  ]);
  const unit = Math.min(units[step.unit]!, bytes);
  const start = window + (step.at % (bytes / unit)) * unit;
  const end = Math.min(start + step.count * unit, window + bytes);
  const write = (step.rights & 1) !== 0;
  const execute = (step.rights & 2) !== 0;
  if (step.verb <= 3) {
    // A displacement never used before, so that no leaf is ever "the same mapping"; small pages for small ranges only.
    const skew = step.congruence > 2 ? 0 : units[step.congruence]!;
    const small = (end - start) / granule.bytes <= 4096;
    const delta = (index + 1) * 4 * bytes + (small || skew >= levelBytes(granule, 2) ? skew : 0);
    const attrs = stage2Attributes({ read: true, write, execute: execute ? 'el1' : 'none' });
    const result = drain(
      editor.map(start, end - start, start + delta, attrs, {
        rebuild: true,
        forcePages: step.verb === 3 && small,
      }),
    );
    if (result !== 0) return result;
    model.cut(start, end);
    model.put({ start, end, delta, write, execute, owner: 0 });
    return 0;
  }
  if (step.verb <= 5) {
    const result = drain(editor.unmap(start, end - start));
    if (result === 0) model.cut(start, end);
    return result;
  }
  if (step.verb === 6) {
    const result = drain(editor.annotate(start, end - start, 1 + (index % 7), { rebuild: true }));
    if (result !== 0) return result;
    model.cut(start, end);
    model.put({ start, end, delta: 0, write: false, execute: false, owner: 1 + (index % 7) });
    return 0;
  }
  if (step.verb === 9) return Math.min(0, drain(editor.split(start, 3)) === -ENOMEM ? -ENOMEM : 0);
  const relax = step.verb === 8;
  const result = drain(
    relax
      ? editor.relaxPermissions(start, end - start, { write: true, execute })
      : editor.writeProtect(start, end - start),
  );
  if (result !== 0) return result;
  const changed = model.cut(start, end).map((range) => ({
    ...range,
    write: range.owner === 0 && relax,
    execute: range.execute || (range.owner === 0 && relax && execute),
  }));
  model.put(...changed);
  return 0;
};

const FORMATS: readonly [GranuleName, number, number, boolean][] = [
  ['4K', 40, 48, false],
  ['4K', 48, 48, false],
  ['16K', 40, 48, false],
  ['16K', 48, 48, false],
  ['64K', 48, 48, false],
  ['64K', 52, 52, false],
  ['4K', 48, 52, true],
  ['4K', 52, 52, true],
  ['16K', 48, 52, true],
  ['16K', 52, 52, true],
];

/** The window: two of the biggest leaves below 8 GiB. */
const windowBytes = (config: Stage2Config): number => {
  const level = [0, 1, 2].find((l) => levelBytes(config.granule, l) <= 2 ** 32)!;
  return 2 * levelBytes(config.granule, level);
};

describe.each(FORMATS)('tables of %s with %i IPA bits, %i output bits, LPA2 %s', (granule, ipaBits, oaBits, lpa2) => {
  it('mean to the walker what a list of ranges says after any sequence of edits', () => {
    fc.assert(
      fc.property(steps, fc.integer({ min: 0, max: 30 }), (sequence, where) => {
        const machine = makeMachine(granule, ipaBits, oaBits, lpa2);
        const bytes = windowBytes(machine.config);
        const window = (where % (2 ** ipaBits / bytes)) * bytes;
        const model = new Model();
        sequence.forEach((step, index) => {
          expect(perform(machine, model, step, index, window, bytes)).toBe(0);
          checkAll(machine, model, window, window + bytes, machine.config.granule.bytes);
        });
        expect(drain(machine.editor.unmap(window, bytes))).toBe(0);
        expect(machine.pool.used).toBe(Math.ceil(machine.config.rootBytes / machine.config.granule.bytes));
      }),
      { numRuns: 25 },
    );
  });

  it('stay as they are when the pool is exhausted at any allocation', () => {
    fc.assert(
      fc.property(steps, fc.integer({ min: 0, max: 12 }), (sequence, failAt) => {
        const machine = makeMachine(granule, ipaBits, oaBits, lpa2);
        const bytes = windowBytes(machine.config);
        const model = new Model();
        machine.pool.failAfter(failAt);
        sequence.forEach((step, index) => {
          const before = snapshot(machine);
          const result = perform(machine, model, step, index, 0, bytes);
          if (result !== 0) {
            expect(result).toBe(-ENOMEM);
            expect(snapshot(machine)).toBe(before);
          }
          checkAll(machine, model, 0, bytes, machine.config.granule.bytes);
        });
      }),
      { numRuns: 12 },
    );
  });

  it('use the contiguous hint only for whole groups that belong together', () => {
    fc.assert(
      fc.property(steps, (sequence) => {
        const machine = makeMachine(granule, ipaBits, oaBits, lpa2);
        const { config, editor } = machine;
        const model = new Model();
        for (const [index, step] of sequence.entries()) perform(machine, model, step, index, 0, windowBytes(config));
        const members = new Map<string, number>();
        editor.forEachEntry((_pa, lo, hi, level, ipa) => {
          if ((lo & 1) === 0 || descriptorKind(config, lo, hi, level) === KIND_TABLE) return;
          if ((hi & S2_HI_CONTIGUOUS) === 0) return;
          const group = contiguousEntries(config.granule, level);
          expect(group).toBeGreaterThan(1);
          const first = Math.floor(ipa / (group * levelBytes(config.granule, level)));
          const attributes = `${level}:${first}:${group}:${lo & 0xfc}:${hi >>> 20}`;
          members.set(attributes, (members.get(attributes) ?? 0) + 1);
        });
        for (const [key, count] of members) expect(count).toBe(Number(key.split(':')[2]));
      }),
      { numRuns: 12 },
    );
  });
});
