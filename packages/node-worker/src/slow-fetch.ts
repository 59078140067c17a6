import { type Resumable, TaskRun } from '@numalab/base';
import type { Vcpu } from './vcpu.ts';
import type { Walk } from './walk.ts';

/**
 * What a walking core does when a fetch misses. Most misses find translation and line on their node and take no more than
 * time: they are done without a task of their own, which only those get that wait for others.
 */
export class SlowFetch implements Resumable {
  private readonly walk: Walk;
  private readonly cpu: Vcpu;
  private offset = 0;
  private isPaid = false;
  private task: TaskRun | null = null;

  constructor(walk: Walk, cpu: Vcpu) {
    this.walk = walk;
    this.cpu = cpu;
  }

  /** The fetch of the group at `offset` from `_text`; the core has no other under way. */
  begin(offset: number): this {
    this.offset = offset;
    this.isPaid = false;
    this.task = null;
    return this;
  }

  resume(): number | null {
    if (this.isPaid) return null;
    if (this.task === null) {
      const ticks = this.walk.fetchAtOnce(this.cpu, this.offset);
      if (ticks >= 0) {
        this.isPaid = true;
        return ticks > 0 ? ticks : null;
      }
      this.task = new TaskRun(this.walk.fetchSlowly(this.cpu, this.offset));
    }
    return this.task.resume();
  }
}
