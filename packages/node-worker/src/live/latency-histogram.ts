/** Buckets in each doubling. */
const STEPS = 16;
const DOUBLINGS = 40;
/** Powers of two: to raise to a power costs more than all the rest. */
const POWERS = Float64Array.from({ length: DOUBLINGS }, (_, i) => 2 ** i);

/** Spans of real time, in nanoseconds, to within a sixteenth, in memory that does not grow. */
export class LatencyHistogram {
  readonly counts: Float64Array = new Float64Array(STEPS * DOUBLINGS);
  max = 0;
  total = 0;

  /** Adds a span of `ns` nanoseconds. */
  add(ns: number): void {
    if (ns > this.max) this.max = ns;
    this.total++;
    const whole = Math.max(STEPS, Math.min(2 ** 38, Math.ceil(ns)));
    const top = whole >= 2 ** 31 ? 62 - Math.clz32(whole / 2 ** 31) : 31 - Math.clz32(whole);
    const step = Math.floor(whole / POWERS[top - 4]!) - STEPS;
    this.counts[top * STEPS + step]!++;
  }
}

/** The nearest-rank percentile of spans counted by {@link LatencyHistogram}s, in nanoseconds; null without any. */
export const percentileOf = (counts: Float64Array, fraction: number): number | null => {
  let total = 0;
  for (const count of counts) total += count;
  if (total === 0) return null;
  let left = Math.ceil(total * fraction);
  for (let i = 0; i < counts.length; i++) {
    left -= counts[i]!;
    if (left <= 0) return 2 ** (Math.floor(i / STEPS) - 4) * (STEPS + (i % STEPS) + 1);
  }
  return null;
};
