import { type Instant, Random } from '@numalab/base';
import { jitterPs, type Latencies } from '@numalab/machine';
import { linkDelayPs, type Stall, stallsOfLink } from './schedule.ts';

/**
 * The outgoing links of one process. A message takes its base latency, plus what jitter and bandwidth add, never less; and it
 * never overtakes an earlier one of the same link. All links of a machine together are `nodes + 1` objects of this class.
 */
export class Links {
  private readonly last: number[];
  private readonly jitter: readonly Random[];
  private readonly scale1024: number;
  private readonly latencies: Latencies;
  /** By receiver; null: no schedule holds anything up. */
  private readonly stalls: readonly (readonly Stall[] | null)[] | null;

  /** `from` is the sending process of `processes`; `jitterScale` 0 switches jitter off, 1 is the profile's. */
  constructor(
    latencies: Latencies,
    from: number,
    processes: number,
    seed: number,
    jitterScale: number,
    schedule: readonly Stall[] | null = null,
  ) {
    const stalls: (readonly Stall[] | null)[] = [];
    const jitter: Random[] = [];
    const last: number[] = [];
    for (let to = 0; to < processes; to++) {
      if (schedule !== null) stalls.push(stallsOfLink(schedule, from, to));
      jitter.push(new Random(seed, 'jitter', from * 256 + to));
      last.push(0);
    }
    this.stalls = stalls.some((list) => list !== null) ? stalls : null;
    this.latencies = latencies;
    this.last = last;
    this.scale1024 = Math.round(jitterScale * 1024);
    this.jitter = jitter;
  }

  /**
   * When a message that leaves at `at` arrives. `fromNode` and `toNode` say where the two processes are: links are counted by
   * process, latencies by node.
   */
  arrival(to: number, at: Instant, basePs: number, fromNode: number, toNode: number, bytes: number): Instant {
    const jitter = this.scale1024 === 0 ? 0 : jitterPs(basePs, this.jitter[to]!.next() & 255, this.scale1024);
    const time = at + basePs + jitter + (bytes > 64 ? this.latencies.transferPs(fromNode, toNode, bytes - 64) : 0);
    const held = this.stalls?.[to] ?? null;
    const delay = held === null ? 0 : linkDelayPs(held, at, basePs);
    const arrival = Math.max(time + delay, this.last[to]!);
    this.last[to] = arrival;
    return arrival as Instant;
  }
}
