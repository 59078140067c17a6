import { type Instant, Random } from '@numalab/base';
import { jitterPs, type Latencies } from '@numalab/machine';
import { linkDelayPs, type Stall, stallsOfLink } from './schedule.ts';

/**
 * The outgoing links of one process. A message takes its base latency, plus what jitter and bandwidth add, never less; and it
 * never overtakes an earlier one of the same link. All links of a machine together are `nodes + 1` objects of this class.
 */
export class Links {
  private readonly last: Float64Array;
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
    const stalls =
      schedule === null ? [] : Array.from({ length: processes }, (_, to) => stallsOfLink(schedule, from, to));
    this.stalls = stalls.some((list) => list !== null) ? stalls : null;
    this.latencies = latencies;
    this.last = new Float64Array(processes);
    this.scale1024 = Math.round(jitterScale * 1024);
    this.jitter = Array.from({ length: processes }, (_, to) => new Random(seed, 'jitter', from * 256 + to));
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

  /** As at power-on, for another seed. */
  reset(from: number, seed: number): void {
    this.last.fill(0);
    for (const [to, random] of this.jitter.entries()) random.reseed(seed, 'jitter', from * 256 + to);
  }
}
