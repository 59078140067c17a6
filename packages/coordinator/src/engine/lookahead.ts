import type { Latencies } from '@numalab/machine';
import type { MachineSpec } from '@numalab/node-worker';

/** Above this many processes one bound for all costs less than a bound for each. */
const MATRIX_PROCESSES = 9;

/**
 * How soon what one process does can reach another, directly or through others: entry [from × processes + to] in
 * picoseconds; the diagonal is the shortest way there and back. Null for machines so large that looking at every pair in every
 * window would cost more than it saves. `divisor` makes everything that much sooner, which must change nothing.
 */
export const lookaheadMatrix = (spec: MachineSpec, latencies: Latencies, divisor: number): Float64Array | null => {
  const count = spec.nodes + 1;
  if (count > MATRIX_PROCESSES) return null;
  const least = latencies.minLinkPs();
  const matrix = new Float64Array(count * count).fill(Infinity);
  for (let from = 0; from < count; from++) {
    for (let to = 0; to < count; to++) {
      if (from === to) continue;
      const i = from === spec.nodes ? spec.hypervisorNode : from;
      const j = to === spec.nodes ? spec.hypervisorNode : to;
      let direct = latencies.linePs(i, j);
      if (i !== j) direct = Math.min(direct, latencies.requestPs(i, j), latencies.responsePs(i, j));
      // With `lock` the hypervisor sits wherever the lock is.
      if (spec.serialisation === 'lock' && (from === spec.nodes || to === spec.nodes)) direct = least;
      matrix[from * count + to] = direct / divisor;
    }
  }
  // Distances are not a metric on every machine: a detour may be shorter. Floyd and Warshall, the diagonal included.
  for (let via = 0; via < count; via++) {
    for (let from = 0; from < count; from++) {
      for (let to = 0; to < count; to++) {
        const detour = matrix[from * count + via]! + matrix[via * count + to]!;
        if (detour < matrix[from * count + to]!) matrix[from * count + to] = detour;
      }
    }
  }
  return matrix;
};
