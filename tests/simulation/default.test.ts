import { loadScenario, runScenario } from '@numalab/coordinator';
import { describe, expect, it } from 'vitest';

const SEEDS = Array.from({ length: 20 }, (_, index) => index + 1);

describe('the default scenario', () => {
  it.each([
    ['ack', 'completed', 'atomic'],
    ['post', 'ordered', 'completed'],
  ] as const)('under %s holds %s for seeds 1 to 20, and refutes %s with evidence', async (protocol, held, next) => {
    const scenario = loadScenario('default', { protocol, set: ['comparison=false'] });
    const digests = new Set<string>();
    for (const seed of SEEDS) {
      const { verdict, guarantee, fetches, digest, violationCount } = await runScenario(scenario, { seed });
      expect({ seed, verdict, held: guarantee.held, violationCount }).toEqual({
        seed,
        verdict: 'pass',
        held,
        violationCount: 0,
      });
      const refutation = guarantee.refuted.find(({ level }) => level === next);
      expect(refutation?.message).toMatch(
        /^write \d+ by CPU \d+ to word \d+ .* CPU \d+ on node \d+ issued a fetch .* saw write \d+/,
      );
      expect(guarantee.evidence[next]).toBeGreaterThan(0);
      expect(fetches.remote).toBe(0);
      digests.add(digest);
    }
    expect(digests.size).toBe(SEEDS.length);
  });

  it('fetches from remote DRAM only without replication', async () => {
    const { comparison, fetches } = await runScenario(loadScenario('default'), { seed: 1 });
    expect(fetches.remote).toBe(0);
    expect(comparison!.fetches.remote).toBeGreaterThan(1000);
    expect(comparison!.fetches.meanPs!).toBeGreaterThan(fetches.meanPs!);
  });
});

describe('the small scenario', () => {
  it('has about 200 events, all writers, and enough evidence with every seed', async () => {
    const scenario = loadScenario('small');
    const kinds = scenario.kernel.writers.map(({ kind }) => kind);
    expect(kinds).toEqual(['jump-label', 'ftrace', 'ftrace-literal', 'kprobe', 'alternatives', 'synthetic']);
    for (const seed of SEEDS) {
      const { verdict, events, writes } = await runScenario(scenario, { seed });
      expect({ seed, verdict }).toEqual({ seed, verdict: 'pass' });
      expect(events).toBeGreaterThan(150);
      expect(events).toBeLessThan(500);
      expect(writes.retired).toBeGreaterThanOrEqual(kinds.length);
    }
  });
});
