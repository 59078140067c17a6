/** A pool that is nearly empty: MMIO is recycled, and where that does not help EL1 gets an abort. */
import type { Step } from '@numalab/base';
import { describe, expect, it } from 'vitest';
import { brokenRules, evidenceOf, messagesOf, run, runAndKeep, type Setup } from './machine.ts';

/**
 * Between the last 32 MiB boundary and `base` lies MMIO that only pages can map, in a table that boot does not make; the image
 * lies behind the next one.
 */
const SET = ['machine.stage2.granule=16K', 'machine.base=0x41E00000', 'workload.duty=0.5', 'workload.mmio=0.2'];

/** The page 3 MiB behind `_text`. */
const CONSTANTS = 768;

/** Runs a machine, and keeps what the tests look at: node 1. */
const runNode1 = async (setup: Setup) => {
  const { judged, machine } = await runAndKeep(setup);
  const { host, el2 } = machine.nodes[1]!;
  return { judged, host: host!, el2, report: judged.raw.nodes[1]! };
};

/** Runs a machine in which node 1's pool has `left` pages when it has booted. */
const withPages = (left: number) =>
  runNode1({
    set: SET,
    meddle: ({ nodes }) => {
      const { pool } = nodes[1]!.tables!;
      const beyond = pool.available - left;
      const { get } = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(pool), 'available')!;
      Object.defineProperty(pool, 'available', { get: () => (get!.call(pool) as number) - beyond });
    },
  });

describe('a node whose pool is exhausted', () => {
  it('unmaps all MMIO and goes on, and the MMIO comes back', async () => {
    // EL2 unmaps a page of constants and maps it again: that splits their 2 MiB block, which takes a page for the table.
    const setup = (faults: string): Setup => ({
      set: ['workload.duty=0.5', 'workload.mmio=0.2', `faults=[${faults}]`],
      meddle: (machine) => {
        const { textPages, cpus } = machine.nodes[1]!;
        const task = function* (): Step<void> {
          yield textPages.unmap(cpus[0]!, CONSTANTS);
          yield textPages.map(cpus[0]!, CONSTANTS, 'own');
        };
        machine.startTask(1, 0, task, 50e6);
      },
    });
    const good = await runNode1(setup(''));
    const { judged, host, el2, report } = await runNode1(setup('{ kind: pool, target: 1, nth: 1 }'));
    expect(brokenRules(judged)).toEqual([]);
    expect(evidenceOf(judged, 'M1')).toBeGreaterThan(0);
    expect([good.host.recycled, host.recycled]).toEqual([0, 1]);
    expect([report.poolFailures, report.poolFailuresReported]).toEqual([1, 1]);
    // All MMIO that is touched is one block here.
    expect(el2.lazyFaults).toBe(good.el2.lazyFaults + 1);
    expect(el2.injected).toBe(0);
  });

  it('gives EL1 an abort where that does not help, and says so', async () => {
    const { judged, host, el2, report } = await withPages(0);
    expect(brokenRules(judged)).toEqual([]);
    expect(el2.exhaustions).toBeGreaterThan(0);
    expect(el2.injected).toBe(el2.exhaustions);
    expect(host.recycled).toBe(el2.exhaustions);
    // Once when it is asked for the page, and once more after the recycling.
    expect(report.poolFailures).toBe(2 * el2.exhaustions);
    expect(report.poolFailuresReported).toBe(report.poolFailures);
  });

  it('is not one that has a page left', async () => {
    const { judged, host, el2, report } = await withPages(1);
    expect(brokenRules(judged)).toEqual([]);
    expect([host.recycled, el2.exhaustions, el2.injected, report.poolFailures]).toEqual([0, 0, 0, 0]);
    expect(el2.lazyFaults).toBeGreaterThan(2);
  });
});

describe('T5', () => {
  /** EL2 of node 1 unmaps all MMIO when cores have been there: that unlinks a table. */
  const recycled = (isDeaf: boolean): Setup => ({
    set: SET,
    meddle: (machine) => {
      const { el2, maintenance, host, tableOps, cpus } = machine.nodes[1]!;
      const task = function* (): Step<void> {
        yield el2.lock(cpus[0]!);
        tableOps?.locked?.(0);
        yield maintenance.perform(cpus[0]!, host!.unmapMmio());
        tableOps?.unlocked?.(0);
        el2.unlock(cpus[0]!);
      };
      machine.startTask(1, 0, task, 200e6);
      if (!isDeaf) return;
      for (const tables of cpus.flatMap((cpu) => cpu.stage2Tables)) {
        tables.invalidate = () => {};
        tables.invalidateAll = () => {};
      }
    },
  });

  it('holds if walk caches forget a table that was unlinked, and is broken if they do not', async () => {
    expect(brokenRules(await run(recycled(false)))).toEqual([]);
    const judged = await run(recycled(true));
    expect(brokenRules(judged)).toContain('T5');
    expect(messagesOf(judged, 'T5').join()).toMatch(
      /node 1 .*CPU \d has a table at 0x\w+ in its walk cache that was unlinked/,
    );
  });
});
