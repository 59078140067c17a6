import { Random } from '@numalab/base';
import type { FaultSpec } from './fault.ts';

/**
 * Decides for one fault in one process which of the events that it could hit it does hit. It has a random stream of its own,
 * named after the fault: which other faults there are changes nothing.
 */
export class Trigger {
  readonly fault: FaultSpec;
  readonly random: Random;
  private readonly end: number;
  private count = 0;
  private done = false;

  constructor(fault: FaultSpec, healPs: number, seed: number, process: number) {
    this.fault = fault;
    this.end = Math.min(fault.toPs, healPs);
    this.random = new Random(seed, `fault ${fault.name}`, process);
  }

  /** Whether the event at `time`, which is of the right sort, is hit. Call it once per event. */
  hits(time: number): boolean {
    const { atPs, nth, chance, fromPs } = this.fault;
    if (time < fromPs || time >= this.end || this.done) return false;
    if (nth > 0) this.done = ++this.count === nth;
    else if (atPs >= 0) this.done = time >= atPs;
    else return chance < 0 || this.random.next() < chance;
    return this.done;
  }
}
