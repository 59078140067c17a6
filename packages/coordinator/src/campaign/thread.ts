import { enableCompileCache } from 'node:module';
import type { LeaseAnswer, LeaseTask } from './run-lease.ts';

// Before anything else is loaded: stripping the types of every module again would cost each thread more than a lease.
enableCompileCache();

/** The task of a worker thread: a lease. */
export default async (task: LeaseTask): Promise<LeaseAnswer> => {
  const { runLease } = await import('./run-lease.ts');
  return await runLease(task);
};
