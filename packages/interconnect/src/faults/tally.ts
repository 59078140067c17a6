/** What became of one fault in one process. */
export interface FaultCounts {
  /** Times that it hit something. */
  readonly fired: number;
  /** Times that something in the machine noticed. */
  readonly detected: number;
  /** Times that the damage was undone. */
  readonly repaired: number;
  /** When it hit first; -1: never. */
  readonly firstPs: number;
}

/** By name. Plain data. */
export type FaultTally = ReadonlyMap<string, FaultCounts>;

interface Counts {
  fired: number;
  detected: number;
  repaired: number;
  firstPs: number;
}

/** Counts what becomes of faults in one process. */
export class TallyKeeper {
  /** Told of everything that is counted: 0 it hit something, 1 it was noticed, 2 the damage was undone. */
  listener: ((what: number, name: string, at: number | null) => void) | null = null;
  private readonly counts = new Map<string, Counts>();

  private of(name: string): Counts {
    let counts = this.counts.get(name);
    if (counts === undefined) {
      counts = { fired: 0, detected: 0, repaired: 0, firstPs: -1 };
      this.counts.set(name, counts);
    }
    return counts;
  }

  fired(name: string, at: number): void {
    const counts = this.of(name);
    counts.fired++;
    if (counts.firstPs < 0) counts.firstPs = at;
    this.listener?.(0, name, at);
  }

  detected(name: string): void {
    this.of(name).detected++;
    this.listener?.(1, name, null);
  }

  /** Noticed and undone. */
  repaired(name: string): void {
    const counts = this.of(name);
    counts.detected++;
    counts.repaired++;
    this.listener?.(2, name, null);
  }

  tally(): FaultTally {
    return this.counts;
  }
}

/** One tally of all processes. */
export const joinTallies = (tallies: readonly FaultTally[]): FaultTally => {
  const joined = new Map<string, Counts>();
  for (const tally of tallies) {
    for (const [name, { fired, detected, repaired, firstPs }] of tally) {
      const known = joined.get(name);
      if (known === undefined) {
        joined.set(name, { fired, detected, repaired, firstPs });
        continue;
      }
      known.fired += fired;
      known.detected += detected;
      known.repaired += repaired;
      if (firstPs >= 0 && (known.firstPs < 0 || firstPs < known.firstPs)) known.firstPs = firstPs;
    }
  }
  return joined;
};
