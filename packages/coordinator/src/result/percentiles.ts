import type { Percentiles } from './run-result.ts';

/** Nearest-rank percentiles of `values`; sorts a copy. */
export const percentiles = (values: Iterable<number>): Percentiles => {
  const sorted = Float64Array.from(values).sort();
  const at = (percent: number): number | null =>
    sorted[Math.max(0, Math.ceil((sorted.length * percent) / 100) - 1)] ?? null;
  return { p50: at(50), p90: at(90), p99: at(99), max: sorted.at(-1) ?? null };
};
