import { enableCompileCache } from 'node:module';
import type { LiveOutcome, LiveTask } from './live-task.ts';

// Before anything else is loaded: stripping the types of every module again would cost each thread more than its boot.
enableCompileCache();

/** The task of a worker thread: one node of a live run, or its hypervisor. */
export default async (task: LiveTask): Promise<LiveOutcome> => {
  const { runLiveThread } = await import('./live-thread.ts');
  return await runLiveThread(task);
};
