import type { Figure } from './figure.ts';
import { measureRun } from './whole-run.ts';

/** Cores that do nothing but patch, every writer without a pause: what a message and its handling cost. */
export const eventBound = (): Promise<Figure> =>
  measureRun({
    name: 'event-bound run',
    scenario: 'small',
    set: [
      'workload.duty=0.0001',
      'workload.duration=20ms',
      `kernel.writers=[${['jump-label', 'ftrace', 'ftrace-literal', 'kprobe', 'alternatives', 'synthetic']
        .map((kind) => `{kind: ${kind}, rate: 50k/s}`)
        .join(', ')}]`,
    ],
    target: 0.5,
    unit: 'events',
  });
