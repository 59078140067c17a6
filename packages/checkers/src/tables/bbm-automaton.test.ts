import { Random } from '@numalab/base';
import {
  allocRoot,
  DSB_ISH,
  DSB_ISHST,
  descriptorKind,
  drainInto,
  type GranuleName,
  KIND_TABLE,
  LOCKED_HI,
  LOCKED_LO,
  leafHi,
  leafLo,
  makeStage2Config,
  NodeMemory,
  OWNER_HYP,
  outputAddress,
  PagePool,
  Stage2Editor,
  stage2Attributes,
  type TableOp,
  TLBI_VMALLE1IS,
  TLBI_VMALLS12E1IS,
  tableHi,
  tableLo,
} from '@numalab/machine';
import { describe, expect, it } from 'vitest';
import { BbmAutomaton, type BbmOptions } from './bbm-automaton.ts';

const RW = stage2Attributes({ read: true, write: true, execute: 'all' });
const RO = stage2Attributes({ read: true, write: false, execute: 'el1' });
const DEVICE = stage2Attributes({ read: true, write: true, execute: 'all', memAttr: 1 });
const GIB = 2 ** 30;
const MIB = 2 ** 20;
const POOL = 0x1_0000_0000;
const tlbiIpa = (ipa: number, level: number): TableOp => ({ op: 'tlbi', kind: 'ipas2e1is', ipa, level });

/** Tables with the automaton on them, and raw stores as a faulty hypervisor would make them. */
const setup = (options: Partial<BbmOptions> = {}, granule: GranuleName = '4K') => {
  const pages = 512;
  const shape = makeStage2Config({ granule, ipaBits: 40, oaBits: 48, rootPa: 0 });
  const bytes = pages * shape.granule.bytes;
  const memory = new NodeMemory(POOL, bytes, bytes);
  const pool = new PagePool(shape.granule.bytes, POOL, pages);
  const config = makeStage2Config({ granule, ipaBits: 40, oaBits: 48, rootPa: allocRoot(pool, shape) });
  const bbm = new BbmAutomaton({ node: 0, memory, config, ...options });
  const editor = new Stage2Editor(memory, config, pool, bbm);
  const run = (operation: Generator<TableOp, number>, thread = 0): void => {
    bbm.thread = thread;
    expect(drainInto(operation, (op) => bbm.perform(op, thread))).toBe(0);
  };
  const store = (ipa: number, lo: number, hi: number, thread = 0): void => {
    const level = editor.getLeaf(ipa);
    raw(editor.leafEntryPa, lo, hi, level, ipa, thread);
  };
  const raw = (pa: number, lo: number, hi: number, level: number, ipa: number, thread = 0): void => {
    const oldLo = memory.load32(pa) >>> 0;
    const oldHi = memory.load32(pa + 4) >>> 0;
    memory.store32(pa, lo);
    memory.store32(pa + 4, hi);
    bbm.thread = thread;
    bbm.write(pa, oldLo, oldHi, lo, hi, level, ipa);
  };
  const page = (pa: number, attrs = RW): [number, number] => [
    leafLo(config, pa, 3, attrs),
    leafHi(config, pa, 3, attrs),
  ];
  /** The one page most tests play with is mapped to itself. */
  run(editor.map(shape.granule.bytes, shape.granule.bytes, shape.granule.bytes, RW, { forcePages: true }));
  const rules = (): string[] => [...new Set([...bbm.findings, ...bbm.outstanding()].map(({ rule }) => rule))];
  return { memory, pool, config, bbm, editor, run, store, raw, page, rules };
};

const break4K = (machine: ReturnType<typeof setup>, ops: readonly TableOp[], thread = 0): string[] => {
  machine.store(4096, LOCKED_LO, LOCKED_HI);
  for (const op of ops) machine.bbm.perform(op, thread);
  machine.store(4096, ...machine.page(8192));
  return machine.rules();
};

describe('good: a break', () => {
  it.each<[string, TableOp[]]>([
    ['by IPA', [DSB_ISHST, tlbiIpa(4096, 3), DSB_ISH, TLBI_VMALLE1IS, DSB_ISH]],
    ['by VMID', [DSB_ISHST, TLBI_VMALLS12E1IS, DSB_ISH]],
    [
      'by IPA without a level hint',
      [DSB_ISH, { op: 'tlbi', kind: 'ipas2e1is', ipa: 5000 }, DSB_ISH, TLBI_VMALLE1IS, DSB_ISH],
    ],
    ['by IPA, finished by VMID', [DSB_ISHST, tlbiIpa(4096, 3), DSB_ISH, TLBI_VMALLS12E1IS, DSB_ISH]],
  ])('%s lets the entry be made', (_name, ops) => {
    expect(break4K(setup(), ops)).toEqual([]);
  });
});

describe('bad: a break', () => {
  it.each<[string, TableOp[]]>([
    ['without any maintenance', []],
    ['without TLBI', [DSB_ISHST, DSB_ISH]],
    ['without the DSB before the TLBI', [tlbiIpa(4096, 3), DSB_ISH, TLBI_VMALLE1IS, DSB_ISH]],
    ['without the DSB between the TLBIs', [DSB_ISHST, tlbiIpa(4096, 3), TLBI_VMALLE1IS, DSB_ISH]],
    ['without the stage-1 TLBI', [DSB_ISHST, tlbiIpa(4096, 3), DSB_ISH]],
    ['without the last DSB', [DSB_ISHST, tlbiIpa(4096, 3), DSB_ISH, TLBI_VMALLE1IS]],
    ['whose last DSB waits for stores only', [DSB_ISHST, TLBI_VMALLS12E1IS, DSB_ISHST]],
    ['with stage 1 invalidated before stage 2', [DSB_ISHST, TLBI_VMALLE1IS, DSB_ISH, tlbiIpa(4096, 3), DSB_ISH]],
    ['by the IPA of another page', [DSB_ISHST, tlbiIpa(8192, 3), DSB_ISH, TLBI_VMALLE1IS, DSB_ISH]],
    ['with a wrong level hint', [DSB_ISHST, tlbiIpa(4096, 2), DSB_ISH, TLBI_VMALLE1IS, DSB_ISH]],
    ['by a local TLBI', [DSB_ISHST, { op: 'tlbi', kind: 'vmalls12e1' }, DSB_ISH]],
    [
      'with DSBs that do not reach other nodes',
      [{ op: 'dsb', kind: 'nsh' }, TLBI_VMALLS12E1IS, { op: 'dsb', kind: 'nsh' }],
    ],
  ])('%s is not complete', (_name, ops) => {
    expect(break4K(setup(), ops)).toEqual(['make-before-clean']);
  });

  it('finished by another thread is not complete', () => {
    expect(break4K(setup(), [DSB_ISHST, TLBI_VMALLS12E1IS, DSB_ISH], 1)).toEqual(['make-before-clean']);
  });

  it('invalidated for another VMID is not complete', () => {
    const machine = setup();
    machine.store(4096, 0, 0);
    for (const op of [DSB_ISHST, TLBI_VMALLS12E1IS, DSB_ISH]) machine.bbm.perform(op, 0, 5);
    expect(machine.rules()).toEqual(['left-unclean']);
  });
});

describe('valid to valid', () => {
  it('good: software bits, the access flag, permissions followed by an invalidation', () => {
    const machine = setup();
    const [lo, hi] = machine.page(4096);
    machine.store(4096, lo, (hi | (1 << 24)) >>> 0);
    machine.store(4096, (lo & ~0x400) >>> 0, hi);
    machine.store(4096, lo, hi);
    machine.run(machine.editor.writeProtect(4096, 4096));
    expect(machine.rules()).toEqual([]);
  });

  it('good: another address for a read-only page of equal contents', () => {
    const machine = setup({ sameContents: () => true });
    machine.run(machine.editor.writeProtect(4096, 4096));
    machine.store(4096, ...machine.page(8192, stage2Attributes({ read: true, write: false, execute: 'all' })));
    for (const op of [DSB_ISHST, TLBI_VMALLS12E1IS, DSB_ISH]) machine.bbm.perform(op);
    expect(machine.rules()).toEqual([]);
  });

  it.each<[string, (machine: ReturnType<typeof setup>) => [number, number]]>([
    ['another address', (machine) => machine.page(8192)],
    ['another address, read-only', (machine) => machine.page(8192, RO)],
    ['another memory type', (machine) => machine.page(4096, DEVICE)],
    ['the contiguous hint', (machine) => [machine.page(4096)[0], machine.page(4096)[1] | (1 << 20)]],
  ])('bad: %s without a break', (_name, entry) => {
    const machine = setup();
    machine.store(4096, ...entry(machine));
    expect(machine.rules()).toEqual(['no-break']);
  });

  it('bad: write permission taken away and never invalidated', () => {
    const machine = setup();
    machine.store(4096, ...machine.page(4096, RO));
    expect(machine.rules()).toEqual(['left-unclean']);
    for (const op of [DSB_ISHST, tlbiIpa(4096, 3), DSB_ISH, TLBI_VMALLE1IS, DSB_ISH]) machine.bbm.perform(op);
    expect(machine.rules()).toEqual([]);
  });
});

describe('tables', () => {
  /** The L2 entry above the page, its table, and where they are. */
  const above = (machine: ReturnType<typeof setup>) => {
    let found = { pa: 0, child: 0 };
    machine.editor.forEachEntry((pa, lo, hi, level) => {
      if (level === 2 && descriptorKind(machine.config, lo, hi, level) === KIND_TABLE) {
        found = { pa, child: outputAddress(machine.config, lo, hi, level) };
      }
    });
    return found;
  };

  it('bad: a block over a table without a break', () => {
    const machine = setup();
    machine.raw(above(machine).pa, leafLo(machine.config, 0, 2, RW), 0, 2, 0);
    expect(machine.rules()).toEqual(['no-break']);
  });

  it('bad: unlinked while an entry in it is unclean', () => {
    const machine = setup();
    machine.store(4096, 0, 0);
    machine.raw(above(machine).pa, 0, 0, 2, 0, 1);
    for (const op of [DSB_ISHST, TLBI_VMALLS12E1IS, DSB_ISH]) machine.bbm.perform(op, 1);
    expect(machine.rules()).toEqual(['unclean-children', 'left-unclean']);
  });

  it('bad: by address, which does not reach a table entry', () => {
    const machine = setup();
    machine.raw(above(machine).pa, 0, 0, 2, 0);
    for (const op of [DSB_ISHST, tlbiIpa(0, 2), DSB_ISH, TLBI_VMALLE1IS, DSB_ISH]) machine.bbm.perform(op);
    expect(machine.rules()).toEqual(['left-unclean']);
  });

  it('bad: a write below a table that is being unlinked', () => {
    const machine = setup();
    const { pa, child } = above(machine);
    machine.raw(pa, 0, 0, 2, 0);
    machine.raw(child + 8, ...machine.page(8192), 3, 4096);
    expect(machine.rules()).toEqual(['frozen', 'left-unclean']);
  });

  it('bad: freed before the unlinking is complete', () => {
    const machine = setup();
    const { pa, child } = above(machine);
    machine.raw(pa, 0, 0, 2, 0);
    machine.bbm.perform(DSB_ISHST);
    machine.bbm.freeTable(child);
    expect(machine.rules()).toEqual(['freed-unclean', 'left-unclean']);
  });

  it('bad: linked in two places', () => {
    const machine = setup();
    const { pa, child } = above(machine);
    machine.raw(pa + 8, tableLo(machine.config, child), tableHi(machine.config, child), 2, 2 * MIB);
    expect(machine.rules()).toEqual(['reused-page']);
  });

  it('bad: linked again before its unlinking is complete', () => {
    const machine = setup();
    const { pa, child } = above(machine);
    machine.raw(pa, 0, 0, 2, 0);
    machine.raw(pa, tableLo(machine.config, child), tableHi(machine.config, child), 2, 0);
    expect(machine.rules()).toEqual(['make-before-clean', 'reused-page']);
  });

  it('bad: made a table while it is one', () => {
    const machine = setup();
    const { child } = above(machine);
    machine.bbm.allocTable(child, 3, 0);
    expect(machine.rules()).toEqual(['reused-page']);
  });

  it('bad: a page that was never made a table', () => {
    const machine = setup();
    const { pa } = above(machine);
    machine.raw(pa + 8, 0x9000_0003, 0, 2, 2 * MIB);
    machine.bbm.write(0x9000_0000, 0, 0, 1, 0, 3, 2 * MIB);
    expect(machine.rules()).toEqual(['not-a-table']);
    expect(machine.bbm.findings.length).toBe(2);
  });
});

describe('locks', () => {
  it('good: held while writing; bad: not held, taken twice, given back by another', () => {
    const machine = setup();
    const bbm = new BbmAutomaton({ node: 0, memory: machine.memory, config: machine.config, locks: true });
    const root = machine.config.rootPa;
    bbm.lock(0);
    bbm.write(root, 0, 0, 1, 0, 1, 0);
    expect(bbm.findings).toEqual([]);
    bbm.unlock(0);
    bbm.write(root + 8, 0, 0, 1, 0, 1, GIB);
    expect(bbm.findings.map(({ rule }) => rule)).toEqual(['unlocked-write']);
    bbm.lock(0);
    bbm.lock(1);
    bbm.unlock(0);
    expect(bbm.findings.map(({ rule }) => rule)).toEqual(['unlocked-write', 'lock', 'lock']);
  });

  it('good: released when all is invalidated; bad: released before', () => {
    const { bbm, editor, run } = setup();
    run(editor.unmap(4096, 4096));
    bbm.released(0);
    expect(bbm.findings).toEqual([]);
    run(editor.map(4096, 4096, 4096, RW));
    const operation = editor.unmap(4096, 4096);
    expect(operation.next().value).toEqual(DSB_ISHST);
    bbm.released(1);
    expect(bbm.findings).toEqual([]);
    bbm.released(0);
    expect(bbm.findings.map(({ rule }) => rule)).toEqual(['released-unclean']);
  });
});

describe('the editor', () => {
  it.each<GranuleName>(['4K', '16K', '64K'])('never breaks a rule, whatever it is asked to do (%s)', (granule) => {
    const machine = setup({}, granule);
    const { editor, config, bbm, pool } = machine;
    machine.run(editor.unmap(0, 2 * GIB));
    const random = new Random(1, 'edits');
    const page = config.granule.bytes;
    for (let step = 0; step < 400; step++) {
      const unit = [page, page * 16, page * 128, 32 * MIB, 512 * MIB][random.below(5)]!;
      const start = random.below(Math.max(1, (2 * GIB) / unit)) * unit;
      const bytes = Math.min((1 + random.below(4)) * unit, 2 * GIB - start);
      const verb = random.below(8);
      const attrs = random.chance(1, 2) ? RW : RO;
      const forcePages = verb === 1 && bytes < 64 * page;
      if (verb <= 2) {
        const pa = start + (step + 1) * 4 * GIB;
        machine.run(editor.map(start, bytes, pa, attrs, { forcePages, rebuild: random.chance(1, 2) }), step & 1);
      } else if (verb === 3) machine.run(editor.annotate(start, bytes, OWNER_HYP), step & 1);
      else if (verb === 4) machine.run(editor.writeProtect(start, bytes), step & 1);
      else if (verb === 5) machine.run(editor.relaxPermissions(start, bytes, { write: true }), step & 1);
      else if (verb === 6) {
        bbm.thread = step & 1;
        drainInto(editor.split(start, 3), (op) => bbm.perform(op, step & 1));
      } else machine.run(editor.unmap(start, bytes), step & 1);
      expect(machine.rules()).toEqual([]);
    }
    machine.run(editor.unmap(0, 2 * GIB));
    expect(pool.used).toBe(Math.ceil(config.rootBytes / page));
    expect(machine.rules()).toEqual([]);
  });
});
