/** CLOCK_MONOTONIC, which all processes of the system have in common, in nanoseconds. */
export const monotonicNs = (): number => {
  const [seconds, ns] = process.hrtime();
  return seconds * 1e9 + ns;
};

/** The same in milliseconds since a run's origin. */
export const monotonicMsClock =
  (originNs: number): (() => number) =>
  () =>
    (monotonicNs() - originNs) / 1e6;

/** The same since a run's origin. */
export const monotonicClock =
  (originNs: number): (() => number) =>
  () =>
    monotonicNs() - originNs;
