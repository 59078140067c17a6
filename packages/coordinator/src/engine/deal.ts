import type { Latencies } from '@numalab/machine';
import type { MachineSpec } from '@numalab/node-worker';

/**
 * Which thread each process lives on: nodes first, the hypervisor last. Nodes are dealt in stretches, because neighbours are
 * close and the smallest latency *between* threads decides how long they can go without an exchange. For the same reason the
 * hypervisor lives with its node; where it has none (`lock` moves it) with the fewest nodes.
 */
export const dealProcesses = (
  spec: Pick<MachineSpec, 'nodes' | 'serialisation' | 'hypervisorNode'>,
  threads: number,
): Int32Array => {
  const { nodes } = spec;
  const owners = new Int32Array(nodes + 1);
  for (let node = 0; node < nodes; node++) owners[node] = Math.floor((node * threads) / nodes);
  owners[nodes] = spec.serialisation === 'central' ? owners[spec.hypervisorNode]! : leastLoaded(owners, threads);
  return owners;
};

const leastLoaded = (owners: Int32Array, threads: number): number => {
  const counts = new Int32Array(threads);
  for (let node = 0; node < owners.length - 1; node++) counts[owners[node]!]!++;
  return counts.indexOf(Math.min(...counts));
};

/** By sending and receiving thread, the smallest latency of a message between processes of the two, in picoseconds. */
const hopsPs = (spec: MachineSpec, latencies: Latencies, owners: Int32Array, threads: number): Float64Array => {
  // The places of a process: a node's own; the hypervisor's node, or any node if the lock moves it.
  const all = Array.from({ length: spec.nodes }, (_, node) => node);
  const places = [...all.map((node) => [node]), spec.serialisation === 'central' ? [spec.hypervisorNode] : all];
  const between = (i: number, j: number): number => {
    const line = latencies.linePs(i, j);
    return i === j ? line : Math.min(line, latencies.requestPs(i, j), latencies.responsePs(i, j));
  };
  const hops = new Float64Array(threads * threads).fill(Infinity);
  for (const [from, froms] of places.entries()) {
    for (const [to, tos] of places.entries()) {
      if (owners[from] === owners[to]) continue;
      const at = owners[from]! * threads + owners[to]!;
      for (const i of froms) for (const j of tos) hops[at] = Math.min(hops[at]!, between(i, j));
    }
  }
  return hops;
};

/**
 * By thread, and thread that it reaches: how long after something happens on the one the other can first receive a message
 * because of it, directly or through further threads. On the diagonal: how soon an answer comes back. In picoseconds,
 * Infinity if never.
 */
export const reachPs = (spec: MachineSpec, latencies: Latencies, owners: Int32Array, threads: number): Float64Array => {
  const reach = hopsPs(spec, latencies, owners, threads);
  for (let via = 0; via < threads; via++) {
    for (let from = 0; from < threads; from++) {
      for (let to = 0; to < threads; to++) {
        const around = reach[from * threads + via]! + reach[via * threads + to]!;
        if (around < reach[from * threads + to]!) reach[from * threads + to] = around;
      }
    }
  }
  return reach;
};
