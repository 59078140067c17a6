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

/**
 * Keeps the calling thread on processors of its own: the hypervisor on the first, nodes on the others. Where there are fewer
 * processors than threads, the system else puts a node beside the hypervisor that it waits for, and both lose the time
 * of a slice. Does nothing where that cannot be had: it is for speed alone. Returns whether it was.
 */
export const pinThread = (isHypervisor: boolean): boolean => {
  try {
    const processors = allowedProcessors();
    if (processors.length < 2) return false;
    const thread = readlinkSync('/proc/thread-self').split('/').at(-1)!;
    const wanted = isHypervisor ? [processors[0]!] : processors.slice(1);
    return spawnSync('taskset', ['-cp', wanted.join(','), thread], { stdio: 'ignore' }).status === 0;
  } catch {
    return false;
  }
};
