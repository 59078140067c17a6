import { enableCompileCache } from 'node:module';
import type { ThreadOutcome, ThreadTask } from './thread-task.ts';

// Before anything else is loaded: stripping the types of every module again would cost each thread more than its boot.
enableCompileCache();

/** The task of a worker thread: one thread of a run. */
export default async (task: ThreadTask): Promise<ThreadOutcome> => {
  const { runThread } = await import('./thread-run.ts');
  return await runThread(task);
};
