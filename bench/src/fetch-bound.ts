import type { Figure } from './figure.ts';
import { measureRun } from './whole-run.ts';

/** Cores that always execute and are hardly ever patched: what fetching, decoding and checking a word costs. */
export const fetchBound = (): Promise<Figure> =>
  measureRun({
    name: 'fetch-bound run',
    scenario: 'default',
    set: ['workload.duty=1', 'workload.duration=1ms', 'kernel.writers=[{kind: jump-label, rate: 10k/s, batch: 4}]'],
    target: 5,
    unit: 'fetches',
  });
