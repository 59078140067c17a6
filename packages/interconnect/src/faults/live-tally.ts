import type { FaultPlan } from './fault.ts';
import { type FaultCounts, type FaultTally, TallyKeeper } from './tally.ts';

/** Of each fault and thread: fired, detected, repaired, and the moment plus 1 at which it hit first. */
const FIELDS = 4;
const FIRED = 0;
const DETECTED = 1;
const REPAIRED = 2;
const FIRST = 3;

/** Bytes of shared memory for the accounts of `threads` threads. */
export const liveTallyBytes = (plan: FaultPlan, threads: number): number => 8 * FIELDS * plan.faults.length * threads;

/** A thread's account of faults in memory that outlives the thread. */
export class LiveTally extends TallyKeeper {
  private readonly rows: Float64Array;
  private readonly placeOf: ReadonlyMap<string, number>;

  constructor(plan: FaultPlan, memory: SharedArrayBuffer, thread: number) {
    super();
    const length = FIELDS * plan.faults.length;
    this.rows = new Float64Array(memory, 8 * length * thread, length);
    this.placeOf = new Map(plan.faults.map(({ name }, place) => [name, FIELDS * place]));
  }

  private count(name: string, field: number): void {
    const place = this.placeOf.get(name);
    if (place !== undefined) this.rows[place + field]!++;
  }

  override fired(name: string, at: number): void {
    const place = this.placeOf.get(name)!;
    if (this.rows[place + FIRED] === 0) this.rows[place + FIRST] = at + 1;
    this.count(name, FIRED);
  }

  override detected(name: string): void {
    this.count(name, DETECTED);
  }

  override repaired(name: string): void {
    this.count(name, DETECTED);
    this.count(name, REPAIRED);
  }
}

/** The accounts that {@link LiveTally}s of all threads left. */
export const readLiveTallies = (plan: FaultPlan, memory: SharedArrayBuffer, threads: number): FaultTally[] => {
  const rows = new Float64Array(memory);
  return Array.from({ length: threads }, (_, thread) => {
    const tally = new Map<string, FaultCounts>();
    for (const [place, { name }] of plan.faults.entries()) {
      const at = FIELDS * (thread * plan.faults.length + place);
      const [fired = 0, detected = 0, repaired = 0, first = 0] = rows.subarray(at, at + FIELDS);
      tally.set(name, { fired, detected, repaired, firstPs: first - 1 });
    }
    return tally;
  });
};
