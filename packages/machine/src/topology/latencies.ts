import { InputError } from '@numalab/base';
import type { ByClass, CoreTimes, Curve, LatencyProfile } from './profile.ts';
import type { Topology } from './topology.ts';

/** How far apart two nodes are. */
export type DistanceClass = 'local' | 'same-socket' | 'other-socket' | 'more-hops';

/** The value of a curve at `ratio`: linear between its points, rounded, and constant beyond the first and the last. */
const interpolate = (curve: Curve, ratio: number): number => {
  const [first] = curve;
  if (first === undefined) return 0;
  let [fromRatio, fromValue] = first;
  if (ratio <= fromRatio) return fromValue;
  for (const [toRatio, toValue] of curve) {
    if (ratio <= toRatio && toRatio > fromRatio) {
      return fromValue + Math.round(((toValue - fromValue) * (ratio - fromRatio)) / (toRatio - fromRatio));
    }
    fromRatio = toRatio;
    fromValue = toValue;
  }
  return fromValue;
};

const coreTimes = (times: CoreTimes): Record<keyof CoreTimes, number> => {
  const result: Partial<Record<keyof CoreTimes, number>> = {};
  for (const [name, figure] of Object.entries(times) as [keyof CoreTimes, CoreTimes[keyof CoreTimes]][]) {
    result[name] = figure[0];
  }
  return result as Record<keyof CoreTimes, number>;
};

/**
 * Latencies of one machine, as whole picoseconds: a topology says how nodes lie, a profile what that costs. Firmware
 * distances are vendors' guesses, not measurements, so nanoseconds are never distance/10 times something. The distance only
 * picks the class (the node itself, its socket, another socket) and, within the class, a place on the profile's measured
 * points: the ratio of the distance to the smallest one of that class on this machine, linear between points, constant
 * beyond them.
 */
export class Latencies {
  readonly topology: Topology;
  readonly profile: LatencyProfile;
  readonly nodes: number;
  readonly cyclePs: number;
  readonly l2Ps: number;
  readonly llcPs: number;
  readonly trapPs: number;
  readonly atPs: number;
  readonly emulatePs: number;
  readonly handlePs: number;
  readonly storePs: number;
  readonly dcCvauPs: number;
  readonly icIvauPs: number;
  readonly isbPs: number;
  readonly ipiBasePs: number;
  readonly ipiHandlePs: number;
  readonly tlbiPs: number;
  readonly dsbBasePs: number;
  readonly dsbPerCpuPs: number;
  private readonly dram: Float64Array;
  private readonly line: Float64Array;
  private readonly bytesPerNs: Float64Array;
  private readonly nearestSame: number;
  private readonly nearestOther: number;

  constructor(topology: Topology, profile: LatencyProfile) {
    this.topology = topology;
    this.profile = profile;
    this.nodes = topology.distances.length;
    const core = coreTimes(profile.core);
    this.cyclePs = core.cyclePs;
    this.l2Ps = core.l2Ps;
    this.llcPs = core.llcPs;
    this.trapPs = core.trapPs;
    this.atPs = core.atPs;
    this.emulatePs = core.emulatePs;
    this.handlePs = core.handlePs;
    this.storePs = core.storePs;
    this.dcCvauPs = core.dcCvauPs;
    this.icIvauPs = core.icIvauPs;
    this.isbPs = core.isbPs;
    this.ipiBasePs = core.ipiPs;
    this.ipiHandlePs = core.ipiHandlePs;
    this.tlbiPs = core.tlbiPs;
    this.dsbBasePs = core.dsbPs;
    this.dsbPerCpuPs = core.dsbPerCpuPs;
    this.nearestSame = this.nearest(true);
    this.nearestOther = this.nearest(false);
    this.dram = this.tabulate(profile.dram);
    this.line = this.tabulate(profile.line);
    this.bytesPerNs = this.tabulate(profile.bandwidth);
  }

  private nearest(sameSocket: boolean): number {
    const { distances, sockets } = this.topology;
    let smallest = Infinity;
    for (let i = 0; i < this.nodes; i++) {
      for (let j = 0; j < this.nodes; j++) {
        if (i !== j && (sockets[i] === sockets[j]) === sameSocket) smallest = Math.min(smallest, distances[i]![j]!);
      }
    }
    return smallest;
  }

  private tabulate(by: ByClass): Float64Array {
    const { distances, sockets } = this.topology;
    const table = new Float64Array(this.nodes * this.nodes);
    for (let i = 0; i < this.nodes; i++) {
      for (let j = 0; j < this.nodes; j++) {
        const same = sockets[i] === sockets[j];
        const ratio = Math.round((distances[i]![j]! * 1000) / (same ? this.nearestSame : this.nearestOther));
        const value = i === j ? by.local[0] : interpolate(same ? by.sameSocket : by.otherSocket, ratio);
        table[i * this.nodes + j] = value;
      }
    }
    return table;
  }

  /** How far `to` is from `from`; `more-hops` is a socket farther away than the nearest other one. */
  classOf(from: number, to: number): DistanceClass {
    if (from === to) return 'local';
    if (this.topology.sockets[from] === this.topology.sockets[to]) return 'same-socket';
    return this.topology.distances[from]![to]! > this.nearestOther ? 'more-hops' : 'other-socket';
  }

  /** A load by a core of `from` that is served by the DRAM of `to`: there and back, without bandwidth. */
  dramPs(from: number, to: number): number {
    return this.dram[from * this.nodes + to]!;
  }

  /** One way of a cache line between two cores of these nodes, and so of a message. */
  linePs(from: number, to: number): number {
    return this.line[from * this.nodes + to]!;
  }

  /** The way of a DRAM request from `from` to `to`; with {@link responsePs} it makes up {@link dramPs}. */
  requestPs(from: number, to: number): number {
    return Math.floor(this.dramPs(from, to) / 2);
  }

  /** The way of the data back from `to` to `from`. */
  responsePs(from: number, to: number): number {
    return this.dramPs(from, to) - this.requestPs(from, to);
  }

  /** From the write of ICC_SGI1R to the moment at which the interrupt is pending at the target; taking it costs ipiHandlePs. */
  ipiPs(from: number, to: number): number {
    return this.ipiBasePs + this.linePs(from, to);
  }

  /** A broadcast TLBI or cache maintenance by address on its way to the cores of `to`. */
  dvmPs(from: number, to: number): number {
    return this.linePs(from, to);
  }

  /** What `bytes` add to a latency because the link carries only so many at a time. */
  transferPs(from: number, to: number, bytes: number): number {
    const rate = this.bytesPerNs[from * this.nodes + to]!;
    return rate === 0 ? 0 : Math.ceil((bytes * 1000) / rate);
  }

  /** Bytes per nanosecond of the link; 0: without bound. */
  bytesPerNanosecond(from: number, to: number): number {
    return this.bytesPerNs[from * this.nodes + to]!;
  }

  /** {@link minLinkPs}, or 0 instead of the error. */
  minLinkOrZeroPs(): number {
    let smallest = Infinity;
    for (let i = 0; i < this.nodes; i++) {
      for (let j = 0; j < this.nodes; j++) {
        smallest = Math.min(smallest, this.linePs(i, j));
        if (i !== j) smallest = Math.min(smallest, this.requestPs(i, j), this.responsePs(i, j));
      }
    }
    return smallest;
  }

  /**
   * The smallest latency that anything sent from one process to another can have, the way inside a node included: messages,
   * DRAM requests and responses between nodes. Windows are at most this long. Throws InputError if it is 0.
   */
  minLinkPs(): number {
    const smallest = this.minLinkOrZeroPs();
    if (smallest > 0) return smallest;
    throw new InputError(
      'interconnect.profile',
      `${this.profile.name} has links without latency, which sim cannot run`,
    );
  }
}
