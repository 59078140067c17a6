import { HypervisorWaiting, shared as word } from '@numalab/node-worker';
import { expect, test } from 'vitest';

/** How long waits of `ms` for something that does not come take in the median, on a machine of two cores. */
const median = (ms: number): number => {
  const words = new Int32Array(new SharedArrayBuffer(4 * word.sharedWordCount(2)));
  const waiting = new HypervisorWaiting(words, 1, 2, () => performance.now());
  // As long as it takes to look at the rings of some nodes.
  const hasWork = (): boolean => {
    let found = 0;
    for (let i = 0; i < 30; i++) found += Atomics.load(words, i);
    return found > 1000;
  };
  const took = Array.from({ length: 21 }, () => {
    const begun = performance.now();
    waiting.wait(hasWork, ms);
    return performance.now() - begun;
  });
  return took.sort((x, y) => x - y)[10]!;
};

test('what is due soon is not slept through, and what is due later is waited for', () => {
  expect(median(0.05)).toBeGreaterThanOrEqual(0.05);
  expect(median(0.05)).toBeLessThan(1);
  expect(median(8)).toBeGreaterThanOrEqual(7);
});
