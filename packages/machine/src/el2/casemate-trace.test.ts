import { describe, expect, it } from 'vitest';
import { makeStage2Config, stage2Attributes } from '../arm/index.ts';
import { NodeMemory } from '../memory/index.ts';
import { CasemateTrace, casemateObstacle } from './casemate-trace.ts';
import { PagePool } from './page-pool.ts';
import { allocRoot, Stage2Editor } from './stage2-editor.ts';
import { drain, type OperationWatcher, observeAll, type TableObserver, watched } from './table-ops.ts';

const RW = stage2Attributes({ read: true, write: true, execute: 'all' });
const POOL = 0x8000_0000;

const setup = () => {
  const memory = new NodeMemory(POOL, 64 * 4096, 64 * 4096);
  const pool = new PagePool(4096, POOL, 64);
  const rootPa = allocRoot(pool, makeStage2Config({ granule: '4K', ipaBits: 48, rootPa: 0 }));
  const config = makeStage2Config({ granule: '4K', ipaBits: 48, rootPa });
  const trace = new CasemateTrace(config);
  const header = trace.text().length;
  const editor = new Stage2Editor(memory, config, pool, trace);
  const lines = () =>
    trace
      .text()
      .slice(header)
      .trimEnd()
      .split('\n')
      .map((line) => line.replace(/ \(src .*/, ''));
  return { config, trace, editor, lines };
};

describe('a casemate trace', () => {
  it('begins with the registers and the empty root', () => {
    const { trace } = setup();
    expect(trace.text().split('\n').slice(0, 9)).toEqual([
      '(sysreg-write (id 0) (tid 0) (sysreg vtcr_el2) (value 0x800d3590) (src "numalab:0"))',
      '(sysreg-write (id 1) (tid 0) (sysreg tcr_el2) (value 0x10) (src "numalab:1"))',
      '(sysreg-write (id 2) (tid 0) (sysreg mair_el2) (value 0x0) (src "numalab:2"))',
      '(sysreg-write (id 3) (tid 0) (sysreg hcr_el2) (value 0x0) (src "numalab:3"))',
      '(sysreg-write (id 4) (tid 0) (sysreg sctlr_el2) (value 0x0) (src "numalab:4"))',
      '(mem-init (id 5) (tid 0) (address 0x80000000) (size 0x1000) (src "numalab:5"))',
      '(hint (id 6) (tid 0) (kind set_root_lock) (location 0x80000000) (value 0x8) (src "numalab:6"))',
      '(sysreg-write (id 7) (tid 0) (sysreg vttbr_el2) (value 0x80000000) (src "numalab:7"))',
      '(sysreg-write (id 8) (tid 0) (sysreg hcr_el2) (value 0x1) (src "numalab:8"))',
    ]);
  });

  it('shows a table made, a leaf changed by break-before-make, and the tables given back', () => {
    const { editor, trace, lines } = setup();
    drain(watched(editor.map(0x8_4020_0000, 4096, 0x8_4020_0000, RW), [trace], 0));
    drain(watched(editor.unmap(0x8_4020_0000, 4096), [trace], 1));
    const log = lines().map((line) => line.replace(/\(id \d+\) /, ''));
    expect(log.slice(0, 4)).toEqual([
      '(lock (tid 0) (address 0x8)',
      '(mem-init (tid 0) (address 0x80001000) (size 0x1000)',
      '(hint (tid 0) (kind set_owner_root) (location 0x80001000) (value 0x80000000)',
      '(mem-write (tid 0) (mem-order release) (address 0x80000000) (value 0x80001003)',
    ]);
    expect(log).toContain('(mem-write (tid 0) (mem-order release) (address 0x80003000) (value 0x8402007ff)');
    const unmapping = log.slice(log.indexOf('(lock (tid 1) (address 0x8)'));
    expect(unmapping.slice(0, 8)).toEqual([
      '(lock (tid 1) (address 0x8)',
      '(mem-write (tid 1) (mem-order release) (address 0x80003000) (value 0x0)',
      '(barrier (tid 1) dsb (kind ishst)',
      '(tlbi (tid 1) ipas2e1is (value 0x700000840200)',
      '(barrier (tid 1) dsb (kind ish)',
      '(tlbi (tid 1) vmalle1is',
      '(barrier (tid 1) dsb (kind ish)',
      '(barrier (tid 1) isb',
    ]);
    expect(unmapping.slice(-3)).toEqual([
      '(mem-set (tid 1) (address 0x80001000) (size 0x1000) (value 0x0)',
      '(mem-free (tid 1) (address 0x80001000) (size 0x1000)',
      '(unlock (tid 1) (address 0x8)',
    ]);
  });

  it('numbers its records from 0 without a gap', () => {
    const { editor, trace } = setup();
    drain(watched(editor.map(0, 2 ** 25, 4096, RW), [trace], 0));
    const ids = [...trace.text().matchAll(/\(id (\d+)\)/g)].map(([, id]) => Number(id));
    expect(ids).toEqual(ids.map((_, i) => i));
    expect(ids.length).toBeGreaterThan(2 ** 13);
  });

  it.each([
    [{ granule: '16K', ipaBits: 48 }, /4K/],
    [{ granule: '4K', ipaBits: 40 }, /48/],
    [{ granule: '4K', ipaBits: 52 }, /LPA2/],
  ] as const)('refuses tables that casemate does not know: %o', (options, why) => {
    const config = makeStage2Config({ ...options, rootPa: 0 });
    expect(casemateObstacle(config)).toMatch(why);
    expect(() => new CasemateTrace(config)).toThrow(why);
  });
});

describe('a watched operation', () => {
  it('is locked from its first store to its end, also if it is abandoned', () => {
    const { editor } = setup();
    const log: string[] = [];
    const watcher: OperationWatcher = {
      thread: -1,
      lock: (thread) => log.push(`lock ${thread}`),
      unlock: (thread) => log.push(`unlock ${thread}`),
      perform: (op) => log.push(op.op),
    };
    drain(watched(editor.map(4096, 4096, 4096, RW), [watcher], 1));
    expect(log).toEqual(['lock 1', 'dsb', 'unlock 1']);
    expect(watcher.thread).toBe(1);
    const abandoned = watched(editor.unmap(4096, 4096), [watcher], 0);
    abandoned.next();
    abandoned.return(0);
    expect(log.slice(3)).toEqual(['lock 0', 'unlock 0']);
  });

  it('can have several observers', () => {
    const seen: number[] = [];
    const observer = (name: number): TableObserver => ({
      write: () => seen.push(name),
      allocTable: () => seen.push(name + 10),
      freeTable: () => seen.push(name + 20),
    });
    const both = observeAll(observer(1), observer(2));
    both.allocTable(0, 0, 0);
    both.write(0, 0, 0, 0, 0, 0, 0);
    both.freeTable(0);
    expect(seen).toEqual([11, 12, 1, 2, 21, 22]);
  });
});
