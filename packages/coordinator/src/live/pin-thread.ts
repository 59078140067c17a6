import { spawnSync } from 'node:child_process';
import { readFileSync, readlinkSync } from 'node:fs';

/** Processors that this process may use, by number. Empty where the system does not tell. */
const allowedProcessors = (): number[] => {
  const line = /^Cpus_allowed_list:\s*(.*)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '';
  return line.split(',').flatMap((part) => {
    const [first, last = first] = part.split('-').map(Number);
    return Array.from({ length: last! - first! + 1 }, (_, i) => first! + i);
  });
};

/** Where each node has a processor, those of one pool share one; else the hypervisor has the first, and nodes the others. */
const processorsOf = (all: readonly number[], thread: number, nodes: number, pools: number): readonly number[] => {
  if (pools > 1) return [all[thread % pools]!];
  return thread === nodes ? [all[0]!] : all.slice(1);
};

/**
 * Keeps the calling thread, that of node `thread` or, after those, of the hypervisor, on its processors. Where there are fewer
 * processors than threads, the system else puts a node beside the hypervisor that it waits for, and both lose the time of a slice;
 * or all nodes on one processor, because it puts a thread that is woken beside the one that woke it. Does nothing where that
 * cannot be had: it is for speed alone. Returns whether it was.
 */
export const pinThread = (thread: number, nodes: number, pools: number): boolean => {
  try {
    const processors = allowedProcessors();
    if (processors.length < 2) return false;
    const own = readlinkSync('/proc/thread-self').split('/').at(-1)!;
    return (
      spawnSync('taskset', ['-cp', processorsOf(processors, thread, nodes, pools).join(','), own], { stdio: 'ignore' })
        .status === 0
    );
  } catch {
    return false;
  }
};
