import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseScenario } from '../scenario/load.ts';
import { campaign } from './campaign.ts';
import type { Cell } from './cell.ts';
import { type Delivery, type Fleet, type Lease, LeaseLost, type LeaseOutcome } from './lease.ts';
import { Tally } from './tally.ts';

const SCENARIO = parseScenario('machine: { nodes: 2, coresPerNode: 2, memoryPerNode: 512MiB }', {}, 'two');

/** An outcome that nobody had to simulate: seeds that end in 7 fail. */
const outcomeOf = (from: number, to: number): LeaseOutcome => {
  const tally = new Tally();
  for (let seed = from; seed <= to; seed++) {
    const fails = seed % 10 === 7;
    tally.addRun({
      verdict: fails ? 'fail' : 'pass',
      failure: fails
        ? { cause: 'R1: seven', invariant: 'R1', message: `seed ${seed}`, seed, events: 1000 - seed }
        : null,
      sums: { events: 10 },
      evidence: { eventual: 1, ordered: 1, completed: 1, atomic: 1 },
      rules: [{ id: 'R1', evidence: 1 }],
      faults: [],
      marks: [],
      times: { writeLatencyPs: [seed], maintainedPs: [] },
    });
  }
  return { to, tally: tally.data(), busyMs: 10 * (to - from + 1), cpuMs: 9 * (to - from + 1) };
};

/** A fleet that does what `work` says, and remembers what it was asked for. */
class FakeFleet implements Fleet {
  readonly asked: Lease[] = [];
  readonly acknowledged: Lease[] = [];
  isClosed = false;
  readonly work: (lease: Lease, signal: AbortSignal) => Promise<LeaseOutcome | null>;
  private readonly before: readonly Lease[];

  constructor(
    work: (lease: Lease, signal: AbortSignal) => Promise<LeaseOutcome | null> = async ({ from, to }) =>
      outcomeOf(from, to),
    before: readonly Lease[] = [],
  ) {
    this.work = work;
    this.before = before;
  }

  slots(): number {
    return 3;
  }

  async inherited(): Promise<readonly Lease[]> {
    return this.before;
  }

  async run(lease: Lease, _cell: Cell, signal: AbortSignal): Promise<Delivery | null> {
    this.asked.push(lease);
    const outcome = await this.work(lease, signal);
    return outcome === null ? null : { outcome, acknowledge: async () => void this.acknowledged.push(lease) };
  }

  async close(): Promise<void> {
    this.isClosed = true;
  }
}

let out = '';
beforeEach(() => {
  out = mkdtempSync(join(tmpdir(), 'numalab-campaign-'));
});
afterEach(() => rmSync(out, { recursive: true, force: true }));

const seeds = { from: 1, to: 200 };
const sevens = 20;

describe('a campaign', () => {
  it('runs every seed once and sums up', async () => {
    const fleet = new FakeFleet();
    const result = await campaign([SCENARIO], { seeds, fleet });
    expect(result.runs).toMatchObject({ total: 200, requested: 200, pass: 180, fail: sevens, resumed: 0 });
    expect(result).toMatchObject({ verdict: 'fail', interrupted: false, events: 2000 });
    expect(result.failures).toMatchObject([{ cause: 'R1: seven', count: sevens, seed: 197, scenario: 'two', cell: 0 }]);
    expect(result.histograms.writeLatencyPs).toMatchObject({ count: 200, min: 1, max: 200, p50: 100 });
    expect(result.cpuMs).toBe(1800);
    expect(fleet.isClosed).toBe(true);
    expect(fleet.acknowledged.length).toBe(result.leases);
  });

  it('counts nothing twice and loses nothing when it is taken up again, however often it was stopped', async () => {
    const whole = await campaign([SCENARIO], { seeds, fleet: new FakeFleet(), seedsPerLease: 7 });
    let last = await campaign([SCENARIO], { seeds: { from: 1, to: 3 }, fleet: new FakeFleet(), out });
    for (let session = 0; last.runs.total < 200; session++) {
      const stop = new AbortController();
      const fleet = new FakeFleet(async ({ from, to }, { aborted }) => {
        if (aborted) return null;
        if (fleet.asked.length < 5 + session) return outcomeOf(from, to);
        // Cut off in the middle of a lease.
        stop.abort();
        return outcomeOf(from, Math.floor((from + to) / 2));
      });
      const before = last.runs.total;
      last = await campaign([SCENARIO], { seeds, fleet, out, seedsPerLease: 7, signal: stop.signal });
      expect(last.runs.resumed).toBe(before);
      expect(last.runs.total).toBeGreaterThan(before);
    }
    expect(last.interrupted).toBe(false);
    const facts = ({ runs, failures, histograms, events, rules }: typeof last): unknown => ({
      runs: { ...runs, perSecond: 0, resumed: 0 },
      ...{ failures, histograms, events, rules },
    });
    expect(facts(last)).toEqual(facts(whole));
    const again = new FakeFleet();
    expect(facts(await campaign([SCENARIO], { seeds, fleet: again, out }))).toEqual(facts(whole));
    expect(again.asked).toEqual([]);
  });

  it('refuses a journal with seeds that were not asked for', async () => {
    await campaign([SCENARIO], { seeds, fleet: new FakeFleet(), out });
    const fewer = campaign([SCENARIO], { seeds: { from: 1, to: 100 }, fleet: new FakeFleet(), out });
    await expect(fewer).rejects.toThrow(/which are not among 1\.\.100/);
  });

  it('finds the seed that kills whoever runs it, and goes on', async () => {
    const fleet = new FakeFleet(async ({ from, to }) => {
      if (from <= 50 && 50 <= to) throw new LeaseLost('the thread died');
      return outcomeOf(from, to);
    });
    const result = await campaign([SCENARIO], { seeds, fleet, seedsPerLease: 16 });
    expect(result.runs).toMatchObject({ total: 200, error: 1, fail: sevens });
    expect(result.failures).toMatchObject([
      { cause: 'R1: seven' },
      { cause: 'bug: LeaseLost: the thread died', seed: 50, invariant: 'bug', count: 1 },
    ]);
  });

  it('runs first what a former life of it left with its fleet, if it is still wanted', async () => {
    const left = [
      { cell: 0, from: 101, to: 120 },
      { cell: 0, from: 195, to: 205 },
      { cell: 3, from: 1, to: 2 },
    ];
    const fleet = new FakeFleet(undefined, left);
    const result = await campaign([SCENARIO], { seeds, fleet });
    expect(fleet.asked[0]).toEqual(left[0]);
    expect(fleet.asked).not.toContainEqual(left[1]);
    expect(result.runs.total).toBe(200);
  });

  it('ends with the error of a fleet that cannot go on, and keeps what was done', async () => {
    const broken = new FakeFleet(async ({ from, to }) => {
      if (from > 100) throw new Error('no more');
      return outcomeOf(from, to);
    });
    const options = { seeds, out, seedsPerLease: 10 };
    await expect(campaign([SCENARIO], { ...options, fleet: broken })).rejects.toThrow('no more');
    expect(broken.isClosed).toBe(true);
    const result = await campaign([SCENARIO], { ...options, fleet: new FakeFleet() });
    expect(result.runs).toMatchObject({ total: 200, resumed: 100 });
  });

  it('passes if all runs together have the evidence that each lacks, and not otherwise', async () => {
    const weak = async ({ from, to }: Lease): Promise<LeaseOutcome> => {
      const one = outcomeOf(1, 1).tally;
      const runs = { total: to - from + 1, pass: 0, fail: 0, unknown: to - from + 1, error: 0 };
      return { to, tally: { ...one, runs, evidence: { eventual: 9, ordered: 9, completed: 1 } }, busyMs: 1, cpuMs: 1 };
    };
    const judged = async (minEvidence: number): Promise<string> => {
      const scenario = parseScenario(`checks: { minEvidence: ${minEvidence} }`);
      return (await campaign([scenario], { seeds, fleet: new FakeFleet(weak), seedsPerLease: 20 })).verdict;
    };
    expect([await judged(10), await judged(11)]).toEqual(['pass', 'unknown']);
  });

  it('says how far it is', async () => {
    const said: number[] = [];
    await campaign([SCENARIO], {
      seeds,
      fleet: new FakeFleet(),
      progress: ({ done, requested }) => said.push(done / requested),
    });
    expect(said).toEqual([...said].sort((x, y) => x - y));
    expect([said[0], said.at(-1)]).toEqual([0, 1]);
  });
});
