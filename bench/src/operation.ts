import { Bench } from 'tinybench';
import type { Figure } from './figure.ts';

/** Operations in one call of a task, so that the call itself and the clock weigh nothing. */
export const BATCH = 10_000;

const thousands = (rate: number): string => `${(rate / 1e6).toFixed(1)} M/s`;

/** Measures `batch`, which performs {@link BATCH} operations and returns something that depends on all of them. */
export const measureOperation = async (name: string, note: string, batch: () => number): Promise<Figure> => {
  let sink = 0;
  const bench = new Bench({ time: 500, warmupTime: 200 });
  bench.add(name, () => {
    sink += batch();
  });
  const [task] = await bench.run();
  const result = task?.result;
  if (result === undefined || result.state !== 'completed') throw new Error(`${name} was not measured`);
  if (Number.isNaN(sink)) throw new Error(`${name} computed nothing`);
  const perOperation = (result.latency.p50 * 1e6) / BATCH;
  return { name, value: `${perOperation.toFixed(1)} ns`, note: `${thousands(1e9 / perOperation)}; ${note}` };
};
