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

/** In a table of owners: lives in another process of the operating system. */
export const ELSEWHERE = -1;

/** A machine spread over processes of the operating system ("members" of a cluster), and these over threads. */
export interface Spread {
  /** Member of each process of the machine: nodes, then the hypervisor. */
  readonly memberOf: Int32Array;
  /** Thread of each, counted within its member. */
  readonly threadOf: Int32Array;
  /** Threads of each member. */
  readonly threads: Int32Array;
}

/**
 * Spreads a machine over at most `members` members with some `threads` threads in all, and at least one each. With
 * `ownHypervisor` the hypervisor has the last member to itself; else it lives with its node.
 */
export const spreadMachine = (
  spec: Pick<MachineSpec, 'nodes' | 'serialisation' | 'hypervisorNode'>,
  members: number,
  threads: number,
  ownHypervisor: boolean,
): Spread => {
  const { nodes } = spec;
  const hosts = Math.max(1, Math.min(nodes, ownHypervisor ? members - 1 : members));
  const memberOf = dealProcesses(spec, hosts);
  if (ownHypervisor) memberOf[nodes] = hosts;
  const counts = new Int32Array(ownHypervisor ? hosts + 1 : hosts);
  for (let node = 0; node < nodes; node++) counts[memberOf[node]!]!++;
  const perMember = counts.map((count, member) => {
    const share = Math.floor(((member + 1) * threads) / hosts) - Math.floor((member * threads) / hosts);
    return Math.max(1, Math.min(count, share));
  });
  const threadOf = new Int32Array(nodes + 1);
  for (let node = 0, place = 0; node < nodes; node++) {
    const member = memberOf[node]!;
    place = node > 0 && memberOf[node - 1] === member ? place + 1 : 0;
    threadOf[node] = Math.floor((place * perMember[member]!) / counts[member]!);
  }
  const withNode = spec.serialisation === 'central' && memberOf[nodes] === memberOf[spec.hypervisorNode];
  if (withNode) threadOf[nodes] = threadOf[spec.hypervisorNode]!;
  return { memberOf, threadOf, threads: perMember };
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
      if (owners[from] === owners[to] || owners[from]! < 0 || owners[to]! < 0) continue;
      const at = owners[from]! * threads + owners[to]!;
      for (const i of froms) for (const j of tos) hops[at] = Math.min(hops[at]!, between(i, j));
    }
  }
  return hops;
};

/**
 * By thread, and thread that it reaches (or by member, if `owners` are members): how long after something happens on the one the other can first receive a message
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
