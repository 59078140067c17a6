import { enableCompileCache } from 'node:module';
import type { OrderedStore } from '@numalab/node-worker';
import type { LiveOutcome } from '../live-task.ts';
import type { ClusterLiveTask } from './cluster-task.ts';

// Before anything else is loaded, as for all threads: so nothing but types is imported above.
enableCompileCache();

/** The task of a worker thread of one process of a live run: a node, the hypervisor, or the service thread behind them. */
export default async (task: ClusterLiveTask): Promise<LiveOutcome | readonly OrderedStore[]> => {
  if (task.thread > task.shared.spec.nodes) {
    const { LiveService } = await import('./live-service.ts');
    return await new LiveService(task).run();
  }
  const { runClusterThread } = await import('./cluster-thread.ts');
  return await runClusterThread(task);
};
