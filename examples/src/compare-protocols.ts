/**
 * numalab as a library: is `direct` cheaper for the writer than `ack`, and do both hold what they declare? A campaign of both,
 * then one run looked at closely. `node examples/src/compare-protocols.ts` prints the answer.
 */
import { type CampaignResult, campaign, matrix, type RunResult, runScenario } from '@numalab/coordinator';

/** What was found. */
export interface Comparison {
  readonly campaign: CampaignResult;
  /** Median time of a write in nanoseconds, by protocol. */
  readonly medianNs: Readonly<Record<string, number>>;
  /** One run of the faster protocol. */
  readonly closer: RunResult;
}

/** Runs both protocols with `seeds` seeds each on `jobs` threads; `signal` cuts it off. */
export const compareProtocols = async (seeds: number, jobs: number, signal?: AbortSignal): Promise<Comparison> => {
  const scenarios = matrix(['small'], { protocols: ['ack', 'direct'] });
  const result = await campaign(scenarios, {
    seeds: { from: 1, to: seeds },
    jobs,
    ...(signal === undefined ? {} : { signal }),
  });
  const medians = result.cells.map(({ protocol, histograms }): [string, number] => [
    protocol ?? 'none',
    (histograms.writeLatencyPs?.p50 ?? Number.NaN) / 1000,
  ]);
  const fastest = medians.map(([, ns]) => ns).indexOf(Math.min(...medians.map(([, ns]) => ns)));
  const closer = await runScenario(scenarios[Math.max(0, fastest)]!, { seed: 1 });
  return { campaign: result, medianNs: Object.fromEntries(medians), closer };
};

if (import.meta.main) {
  const { campaign: found, medianNs, closer } = await compareProtocols(200, 2);
  process.stdout.write(`${found.verdict}: ${found.reason}\n`);
  for (const [protocol, ns] of Object.entries(medianNs)) process.stdout.write(`${protocol}: ${ns} ns a write\n`);
  process.stdout.write(`${closer.protocol} held ${closer.guarantee.held} with seed 1\n`);
}
