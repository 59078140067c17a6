import type { Finding, NodeReport } from '@numalab/node-worker';

/**
 * Verifies the half of M1 that pools know: every request that a pool could not meet was made known (recycling, or an abort
 * that the report counts). The other half, that pages in use are pages reachable, is judged with the tables. When: at the end
 * of a run. Does not verify: that a pool is large enough; exhaustion that is reported breaks no rule.
 */
export const judgePools = (nodes: readonly NodeReport[]): readonly Finding[] =>
  nodes
    .filter((node) => node.poolFailures > node.poolFailuresReported)
    .map(({ id, poolFailures, poolFailuresReported }) => ({
      id: 'M1',
      message: `the stage-2 pool of node ${id} was exhausted ${poolFailures} times, ${poolFailures - poolFailuresReported} of them without a word`,
      timePs: 0,
    }));
