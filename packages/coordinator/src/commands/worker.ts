import { InputError } from '@numalab/base';
import { CampaignMetrics, serveMetrics } from '../campaign/metrics.ts';
import { runWorker } from '../campaign/worker.ts';
import { parseDuration } from '../scenario/units.ts';
import { type CommandContext, EXIT_PASS } from './context.ts';
import { commandLog } from './log.ts';
import type { WorkerCommandOptions } from './options.ts';

const PS_PER_MS = 1e9;
const LEAST_LOCK_MS = 500;

const lockMs = (text: string): number => {
  const ms = parseDuration(text) / PS_PER_MS;
  if (ms >= LEAST_LOCK_MS) return ms;
  throw new InputError('--lock', `must be a time of at least ${LEAST_LOCK_MS}ms, such as 10s`);
};

/** `worker --redis URL`: runs leases until it is stopped. Returns the exit code; throws InputError. */
export const workerCommand = async (options: WorkerCommandOptions, context: CommandContext): Promise<number> => {
  const { signal } = context;
  const { redis, queue, jobs, lock, quiet } = options;
  const log = commandLog(quiet ? 'warn' : 'info');
  const metrics = new CampaignMetrics();
  const lockFor = lockMs(lock);
  const server = await serveMetrics(metrics.registry, options.metricsHost, options.metricsPort, log);
  try {
    await runWorker({
      redis,
      queue,
      ...(jobs === undefined ? {} : { jobs }),
      lockMs: lockFor,
      signal,
      log,
      counted: (outcome) => metrics.count(outcome),
    });
    return EXIT_PASS;
  } finally {
    server?.close();
  }
};
