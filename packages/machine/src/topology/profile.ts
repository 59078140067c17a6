/** A number and where it comes from: a publication, or `assumed`. */
export type Figure = readonly [value: number, source: string];

/**
 * Points of a curve: distance relative to the smallest distance of the class in 1/1000 (1000: the nearest other node of
 * that class), value, source. Ascending by distance.
 */
export type Curve = readonly (readonly [ratio: number, value: number, source: string])[];

/** A quantity by how far apart two nodes are: within a node, to another node of the socket, to another socket. */
export interface ByClass {
  readonly local: Figure;
  readonly sameSocket: Curve;
  readonly otherSocket: Curve;
}

/** Times that do not depend on the distance, in picoseconds. */
export interface CoreTimes {
  /** One core cycle; also the cost of an instruction in the emulated front end. */
  readonly cyclePs: Figure;
  /** A hit in the L2 of the core. */
  readonly l2Ps: Figure;
  /** A hit in the last-level cache of the node or socket. */
  readonly llcPs: Figure;
  /** Exception entry to EL2 and ERET, together, with the state EL2 saves. */
  readonly trapPs: Figure;
  /** AT S1E1R, ISB and the read of PAR_EL1. */
  readonly atPs: Figure;
  /** Decoding and performing a trapped store in EL2, without memory latency. */
  readonly emulatePs: Figure;
  /** Taking a message off a queue and acting on it. */
  readonly handlePs: Figure;
  /** A store to a line the core owns. */
  readonly storePs: Figure;
  /** DC CVAU of one line, until its DSB can end, within the node. */
  readonly dcCvauPs: Figure;
  /** IC IVAU of one line, until its DSB can end, within the node. */
  readonly icIvauPs: Figure;
  /** ISB: refilling the pipeline. */
  readonly isbPs: Figure;
  /** Raising an interrupt on another core, without the way there. */
  readonly ipiPs: Figure;
  /** Taking an interrupt, an empty handler, and returning. */
  readonly ipiHandlePs: Figure;
  /** A broadcast TLBI in each core that receives it. */
  readonly tlbiPs: Figure;
  /** DSB ISH with nothing outstanding. */
  readonly dsbPs: Figure;
  /** What DSB ISH after a broadcast takes longer for each core that must answer. */
  readonly dsbPerCpuPs: Figure;
}

/** Sizes of a cache in bytes; lines are 64 bytes. */
export interface CacheGeometry {
  readonly bytes: number;
  readonly ways: number;
  readonly source: string;
}

/** Caches and TLBs of a machine. */
export interface CacheProfile {
  readonly l1i: CacheGeometry;
  readonly l2: CacheGeometry;
  /** Shared by the cores of one node or of one socket. */
  readonly llc: CacheGeometry & { readonly sharedBy: 'node' | 'socket' };
  readonly tlbEntries: Figure;
  readonly walkCacheEntries: Figure;
}

/** Everything about a machine that is time or size; which nodes it has is its topology. */
export interface LatencyProfile {
  readonly name: string;
  readonly description: string;
  /** Load that misses every cache, picoseconds, there and back. */
  readonly dram: ByClass;
  /** A cache line from core to core, picoseconds, one way: also the latency of a message. */
  readonly line: ByClass;
  /** Bytes per nanosecond of the link between two nodes; 0: without bound. */
  readonly bandwidth: ByClass;
  readonly core: CoreTimes;
  readonly caches: CacheProfile;
}
