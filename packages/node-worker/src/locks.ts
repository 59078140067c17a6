import { GRANTED } from '@numalab/interconnect';
import type { NodeProcess } from './node.ts';

/** The kernel's locks: words on node 0, handed over in the order of requests, each hand-over a line transfer. */
export class Locks {
  private readonly node: NodeProcess;
  private readonly queues = new Map<number, { node: number; core: number }[]>();

  constructor(node: NodeProcess) {
    this.node = node;
  }

  onLock(from: number, lock: number, core: number, at: number): void {
    let queue = this.queues.get(lock);
    if (queue === undefined) {
      queue = [];
      this.queues.set(lock, queue);
    }
    queue.push({ node: from, core });
    if (queue.length === 1) this.grant(queue[0]!, lock, at);
  }

  onUnlock(lock: number, at: number): void {
    const queue = this.queues.get(lock)!;
    queue.shift();
    if (queue.length > 0) this.grant(queue[0]!, lock, at);
  }

  /** Node and core that hold each lock. */
  holders(): { readonly lock: number; readonly node: number; readonly core: number }[] {
    return [...this.queues].flatMap(([lock, [holder]]) => (holder === undefined ? [] : [{ lock, ...holder }]));
  }

  private grant(holder: { node: number; core: number }, lock: number, at: number): void {
    this.node.sendMemory(holder.node, GRANTED, lock, holder.core, 0, null, at);
  }
}
