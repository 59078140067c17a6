import { existsSync } from 'node:fs';
import { hex } from '@numalab/base';
import {
  BUILTIN_TOPOLOGIES,
  builtinTopology,
  checkDistances,
  importTopology,
  latencyProfile,
  type Topology,
  topologyFromMatrix,
} from '@numalab/machine';
import { displayPath, readInputFile } from './files.ts';
import { didYouMean } from './problems.ts';
import type { ResolveContext } from './resolve.ts';
import type { CacheSize, Caches, MachineScenario } from './scenario.ts';
import type { CachesInput, MachineInput } from './scenario-input.ts';
import { formatSize } from './units.ts';

const MIB = 2 ** 20;
const MAX_TABLE_BYTES = 2 ** 20;
const DISTANCES = ['machine', 'distances'] as const;
const IPA_BITS = ['machine', 'stage2', 'ipaBits'] as const;

interface FoundTopology {
  readonly topology: Topology;
  readonly distances: MachineScenario['distances'];
  readonly profile: string;
}

const fromFile = (name: string, context: ResolveContext): FoundTopology => {
  const path = context.path(DISTANCES, name);
  if (!existsSync(path)) {
    const known = BUILTIN_TOPOLOGIES.map((topology) => topology.name);
    return context.fail(DISTANCES, `${name}: no built-in machine and no such file${didYouMean(name, known)}`);
  }
  const where = `${context.where(DISTANCES)}: ${displayPath(path)}`;
  const { topology } = importTopology(readInputFile(path, where, MAX_TABLE_BYTES), displayPath(path), where);
  return { topology, distances: path, profile: 'generic' };
};

const fromMatrix = (matrix: readonly (readonly number[])[], context: ResolveContext): FoundTopology => {
  const where = context.where(DISTANCES);
  checkDistances(matrix, where);
  return { topology: topologyFromMatrix(matrix, 'matrix', where), distances: matrix, profile: 'generic' };
};

const findTopology = ({ distances, nodes }: MachineInput, context: ResolveContext): FoundTopology => {
  const builtin = typeof distances === 'string' ? builtinTopology(distances, nodes) : undefined;
  if (builtin !== undefined) {
    const { name, source, sockets } = builtin;
    return {
      topology: { name, source, sockets, distances: builtin.distances },
      distances: name,
      profile: builtin.profile,
    };
  }
  const found = typeof distances === 'string' ? fromFile(distances, context) : fromMatrix(distances, context);
  const size = found.topology.distances.length;
  if (nodes !== undefined && nodes !== size) {
    context.fail(['machine', 'nodes'], `is ${nodes}, but machine.distances has ${size} rows`);
  }
  return found;
};

/** Bits needed to write `value`. */
const bitsOf = (value: number): number => {
  let bits = 0;
  while (2 ** bits <= value) bits++;
  return bits;
};

const checkMemory = (input: MachineInput, nodes: number, context: ResolveContext): void => {
  if (input.base % (2 * MIB) !== 0) context.fail(['machine', 'base'], `${hex(input.base)} is no multiple of 2MiB`);
  if (input.memoryPerNode % (2 * MIB) !== 0) {
    context.fail(['machine', 'memoryPerNode'], `${input.memoryPerNode} bytes are no multiple of 2MiB`);
  }
  if (input.base + nodes * input.memoryPerNode > 2 ** 52) {
    context.fail(
      ['machine', 'memoryPerNode'],
      `${formatSize(input.memoryPerNode)} times machine.nodes ${nodes} from machine.base ${hex(input.base)} does not fit in 52 bits of PA`,
    );
  }
};

const resolveIpaBits = (input: MachineInput, nodes: number, context: ResolveContext): number => {
  const { granule, lpa2, ipaBits } = input.stage2;
  const lastPa = input.base + nodes * input.memoryPerNode - 1;
  const needed = bitsOf(lastPa);
  if (lpa2 && granule === '64K') {
    context.fail(['machine', 'stage2', 'lpa2'], 'is for granules 4K and 16K; 64K has 52 bits without it');
  }
  if (ipaBits !== undefined && ipaBits < needed) {
    context.fail(
      IPA_BITS,
      `${ipaBits} is too small: machine.nodes ${nodes} × machine.memoryPerNode ${formatSize(input.memoryPerNode)} from machine.base ${hex(input.base)} end at ${hex(lastPa)}, which needs ${needed}`,
    );
  }
  const bits = ipaBits ?? Math.max(40, needed);
  if (bits > 48 && granule !== '64K' && !lpa2) {
    context.fail(IPA_BITS, `${bits} bits with machine.stage2.granule ${granule} need machine.stage2.lpa2: true`);
  }
  return bits;
};

const resolveCaches = (input: CachesInput, profileName: string, context: ResolveContext): Caches => {
  const profile = latencyProfile(profileName);
  if (profile === undefined) return context.fail(['machine', 'profile'], `no profile ${profileName}`);
  const { caches } = profile;
  const cache = (of: CachesInput['l1i'], geometry: CacheSize): CacheSize => ({
    bytes: of.bytes ?? geometry.bytes,
    ways: of.ways ?? geometry.ways,
  });
  return {
    l1i: cache(input.l1i, caches.l1i),
    l2: cache(input.l2, caches.l2),
    llc: { ...cache(input.llc, caches.llc), sharedBy: input.llc.sharedBy ?? caches.llc.sharedBy },
    tlbEntries: input.tlbEntries ?? caches.tlbEntries[0],
    walkCacheEntries: input.walkCacheEntries ?? caches.walkCacheEntries[0],
    nested: input.nested,
    fetchAhead: input.fetchAhead,
  };
};

/** Works out what depends on other keys of `machine` or on files. Throws InputError. */
export const resolveMachine = (input: MachineInput, context: ResolveContext): MachineScenario => {
  const { topology, distances, profile } = findTopology(input, context);
  const nodes = topology.distances.length;
  checkMemory(input, nodes, context);
  const profileName = input.profile ?? profile;
  return {
    nodes,
    coresPerNode: input.coresPerNode,
    memoryPerNode: input.memoryPerNode,
    base: input.base,
    distances,
    topology,
    profile: profileName,
    stage2: {
      granule: input.stage2.granule,
      ipaBits: resolveIpaBits(input, nodes, context),
      lpa2: input.stage2.lpa2,
      population: input.stage2.population,
    },
    caches: resolveCaches(input.caches, profileName, context),
    ctr: input.ctr,
    ecc: input.ecc,
  };
};
