import colors from 'picocolors';
import { describe, expect, it } from 'vitest';
import { replayLine } from '../commands/replay-line.ts';
import { loadScenario, parseScenario } from '../scenario/load.ts';
import type { Scenario } from '../scenario/scenario.ts';
import { textAsSeen } from './dump-text.ts';
import { formatBytes, formatCount, formatTime } from './format.ts';
import { percentiles } from './percentiles.ts';
import { reportLines } from './report-text.ts';
import { runScenario, runWithMachine } from './run-scenario.ts';
import { weigh } from './weigh.ts';

const small = (...set: string[]): Scenario => loadScenario('small', { set });

describe('percentiles', () => {
  it('are values that occurred, by nearest rank', () => {
    const values = Array.from({ length: 200 }, (_, i) => 200 - i);
    expect(percentiles(values)).toEqual({ p50: 100, p90: 180, p99: 198, max: 200 });
    expect(percentiles([7])).toEqual({ p50: 7, p90: 7, p99: 7, max: 7 });
    expect(percentiles([])).toEqual({ p50: null, p90: null, p99: null, max: null });
  });
});

describe('figures', () => {
  it('are written with three digits and a unit', () => {
    expect([0, 999, 400_400, 1_523_000, 2e9, 4.5e12].map(formatTime)).toEqual([
      '0 ns',
      '0.999 ns',
      '400 ns',
      '1.52 us',
      '2 ms',
      '4.5 s',
    ]);
    expect([0, 1023, 1024, 12_478_054, 2 ** 41].map(formatBytes)).toEqual([
      '0 bytes',
      '1023 bytes',
      '1 KiB',
      '11.9 MiB',
      '2 TiB',
    ]);
    expect([0, 999, 1000, 1234567].map(formatCount)).toEqual(['0', '999', '1,000', '1,234,567']);
  });
});

describe('writes of eight bytes', () => {
  it('are counted once, whether they trap or not', async () => {
    const scenario = small('kernel.writers=[{kind: ftrace-literal, writes: 6}]', 'comparison=true');
    const { writes, comparison } = await runScenario(scenario, { seed: 1 });
    expect(writes.retired).toBeGreaterThan(0);
    expect(comparison?.writes.retired).toBe(writes.retired);
  });
});

describe('a budget for the judges', () => {
  it('that is too small makes the verdict unknown, and the result says of which rules', async () => {
    const verdictOf = async (budget: string) => await runScenario(small(`checks.budget=${budget}`), { seed: 1 });
    const [all, enough, few] = [await verdictOf('null'), await verdictOf('1000000'), await verdictOf('20')];
    expect([all.verdict, enough.verdict, few.verdict]).toEqual(['pass', 'pass', 'unknown']);
    expect(few.digest).toBe(all.digest);
    expect(few.reason).toContain('the budget of 20 entries ran out');
    const inPart = ({ rules }: typeof few): string[] => rules.filter((rule) => !rule.complete).map(({ id }) => id);
    expect(inPart(enough)).toEqual([]);
    expect(inPart(few)).toContain('R5');
  });
});

describe('the text as a node sees it', () => {
  it.each(
    ['4K', '16K', '64K'].flatMap((granule) => ['stage2', 'none'].map((strategy) => [granule, strategy] as const)),
  )('is the image with all writes on every node (%s, %s)', async (granule, strategy) => {
    const scenario = small(`machine.stage2.granule=${granule}`, `replication.strategy=${strategy}`);
    const { prepared, judged } = await runWithMachine(scenario, { seed: 2 });
    const { text, words } = prepared.spec.kernel;
    const expected = words.slice();
    expect(judged.judgement.writes.length).toBeGreaterThan(5);
    for (const write of judged.judgement.writes) expected.set(write.words, write.word);
    const bytes = Buffer.from(expected.buffer, text.start, text.end - text.start);
    for (const { id } of judged.raw.nodes) {
      expect(Buffer.from(textAsSeen(prepared, judged.raw.nodes, id).buffer).equals(bytes)).toBe(true);
    }
  });
});

describe('memory', () => {
  it('adds up: leaves map what is replicated and shared, on every node', async () => {
    for (const granule of ['4K', '16K', '64K']) {
      const { memory, nodes } = await runScenario(small(`machine.stage2.granule=${granule}`), { seed: 1 });
      const mapped = Object.values(memory.leafBytes).reduce((sum, bytes) => sum + bytes, 0);
      expect(mapped).toBe(nodes.length * (memory.replicatedBytes + memory.sharedBytes));
      expect(memory.replicaBytes).toBe(memory.replicatedBytes + memory.sharedBytes + memory.holeBytes);
      expect(memory.stage2Bytes).toBeGreaterThan(0);
    }
  });
});

describe('a writer without maintenance of its own', () => {
  it('has a latency even where nothing traps', async () => {
    const text =
      'kernel: { writers: [{ kind: ftrace-literal, writes: 3 }] }\nmachine: { nodes: 2 }\nworkload: { duration: 1us }';
    for (const strategy of ['none', 'stage2']) {
      const scenario = parseScenario(`${text}\nreplication: { strategy: ${strategy} }\n`);
      const { writes } = await runScenario(scenario, { seed: 1 });
      expect(writes.retired).toBeGreaterThanOrEqual(3);
      expect(writes.latencyPs.max).toBeLessThan(10_000_000);
      expect(writes.maintainedPs.p50!).toBeGreaterThanOrEqual(writes.latencyPs.p50!);
    }
  });
});

describe('a comparison', () => {
  it('is not made where nothing is replicated, or nobody asks', async () => {
    const none = await runScenario(small('replication.strategy=none', 'comparison=true'), { seed: 1 });
    expect(none).toMatchObject({ comparison: null, protocol: null, guarantee: { declared: null }, verdict: 'pass' });
    expect((await runScenario(small(), { seed: 1 })).comparison).toBeNull();
  });

  it('calls slower fetches a cost, and claims no gain where there is none', async () => {
    const run = await runScenario(small(), { seed: 1 });
    const fast = { ...run, fetches: { ...run.fetches, remote: 0, meanPs: run.fetches.meanPs! / 2 } };
    const { gains, costs } = weigh(run, fast, 2);
    expect(gains).toContain('none in fetches: without replication no fetch is served by another node’s DRAM either');
    expect(costs[0]).toMatch(/^a fetched word takes .* \(100\.0 % more\)$/);
  });
});

describe('a run that fails', () => {
  it('prints its cause first: write, place, core, fetch, what was late, rule', async () => {
    const scenario = loadScenario('default', { protocol: 'post', duration: '100us', set: ['comparison=false'] });
    const { result, prepared } = await runWithMachine(scenario, { seed: 1, guarantee: 'completed' });
    expect(result).toMatchObject({ verdict: 'fail', guarantee: { declared: 'completed', held: 'ordered' } });
    const context = {
      scenario,
      image: prepared.image,
      replay: 'again',
      colors: colors.createColors(false),
      columns: 80,
    };
    const lines = reportLines(result, context);
    const text = lines.join(' ').replace(/\s+/g, ' ');
    expect(text).toMatch(
      /^FAIL default, seed 1: write \d+ by CPU \d+ to word \d+ .* CPU \d+ on node \d+ issued a fetch .* \(R5:/,
    );
    expect(text).toMatch(
      /\(offset 0x[0-9a-f]+, \w+(\+0x[0-9a-f]+)?\) had ended at [\d.]+ ns, .* that still saw write \d+; node \d+ /,
    );
    expect(text).toContain('broken');
    expect(text).toMatch(/replay again$/);
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(80);
  });
});

describe('an interrupted run', () => {
  it('keeps what it has, and claims nothing', async () => {
    const controller = new AbortController();
    const scenario = loadScenario('default', { duration: '10s' });
    const result = await runScenario(scenario, {
      seed: 1,
      signal: controller.signal,
      progress: (virtualPs) => {
        if (virtualPs > 0) controller.abort();
      },
    });
    expect(result).toMatchObject({ interrupted: true, verdict: 'unknown', comparison: null });
    expect(result.fetches.total).toBeGreaterThan(0);
  });
});

describe('the replay line', () => {
  it('names scenario, seed and what was changed, quoted for a shell', () => {
    const options = {
      seed: 9,
      mode: 'sim',
      placement: 'inline',
      hypervisor: 'node',
      bug: [],
      set: ['machine.nodes=8', "kernel.image=it's here"],
      protocol: 'post',
      duration: '1ms',
      json: false,
      quiet: false,
    } as const;
    expect(replayLine(loadScenario('default'), options)).toBe(
      "numalab run default --seed 9 --protocol post --duration 1ms --set machine.nodes=8 --set 'kernel.image=it'\\''s here'",
    );
  });
});
