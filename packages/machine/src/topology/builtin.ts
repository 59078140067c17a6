import type { Topology } from './topology.ts';
import { deriveSockets, MAX_NODES, resizeTopology } from './topology.ts';

/** A built-in machine: its distances, and the latency profile that fits it. */
export interface BuiltinTopology extends Topology {
  readonly description: string;
  /** Id of the latency profile used unless the scenario names another. */
  readonly profile: string;
}

const matrix = (text: string): number[][] =>
  text
    .trim()
    .split('\n')
    .map((row) => row.trim().split(/\s+/).map(Number));

/** A matrix whose entry depends on whether two nodes lie in the same group of `size`. */
const grouped = (nodes: number, size: number, inside: number, across: number): number[][] =>
  Array.from({ length: nodes }, (_, i) =>
    Array.from({ length: nodes }, (_, j) => {
      if (i === j) return 10;
      return Math.floor(i / size) === Math.floor(j / size) ? inside : across;
    }),
  );

const KUNPENG920 = matrix(`
  10 12 20 22
  12 10 22 24
  20 22 10 12
  22 24 12 10`);

const XEON4_RING = matrix(`
  10 21 31 21
  21 10 21 31
  31 21 10 21
  21 31 21 10`);

const XEON8_GLUELESS = matrix(`
  10 21 21 31 21 31 31 31
  21 10 31 21 31 21 31 31
  21 31 10 21 31 31 21 31
  31 21 21 10 31 31 31 21
  21 31 31 31 10 21 31 21
  31 21 31 31 21 10 21 31
  31 31 21 31 31 21 10 21
  31 31 31 21 21 31 21 10`);

const OPTERON8 = matrix(`
  10 16 16 22 16 22 16 22
  16 10 16 22 22 16 22 16
  16 16 10 16 16 16 16 22
  22 22 16 10 16 16 22 16
  16 22 16 16 10 16 16 16
  22 16 16 16 16 10 22 22
  16 22 16 22 16 22 10 16
  22 16 22 16 16 22 16 10`);

/** One socket of the 16-node machine; between its sockets the distance is 100 throughout. Not a metric: 1-4 is 50, 1-0-4 is 40. */
const ARM64_SOCKET = matrix(`
  10 20 40 30 20 30 50 40
  20 10 30 40 50 20 40 50
  40 30 10 20 40 50 20 30
  30 40 20 10 30 20 40 50
  20 50 40 30 10 50 30 20
  30 20 50 20 50 10 50 40
  50 40 20 40 30 50 10 30
  40 50 30 50 20 40 30 10`);

const arm64SixteenNodes = (): number[][] =>
  Array.from({ length: 16 }, (_, i) =>
    Array.from({ length: 16 }, (_, j) => (i >> 3 === j >> 3 ? ARM64_SOCKET[i & 7]![j & 7]! : 100)),
  );

/** Two four-socket rings: 41 between boxes for the facing halves, 51 for the others, as in published rows 0, 2, 4 and 6. */
const twoBoxes = (): number[][] =>
  Array.from({ length: 8 }, (_, i) =>
    Array.from({ length: 8 }, (_, j) => {
      if (i >> 2 === j >> 2) return XEON4_RING[i & 3]![j & 3]!;
      return (i & 3) >> 1 === (j & 3) >> 1 ? 41 : 51;
    }),
  );

interface Options {
  readonly description: string;
  readonly source: string;
  readonly profile: string;
  readonly sockets?: readonly number[];
}

const machine = (name: string, distances: number[][], options: Options): BuiltinTopology => ({
  name,
  distances,
  ...options,
  sockets: options.sockets ?? deriveSockets(distances),
});

const PUBLISHED = 'published numactl --hardware output';

/** Every machine built in, the default first. `uniform` stands for any number of equally distant nodes. */
export const BUILTIN_TOPOLOGIES: readonly BuiltinTopology[] = [
  machine('kunpeng920', KUNPENG920, {
    description: 'Huawei Kunpeng 920, 2 sockets of 2 dies, a line 1-0-2-3',
    source: `${PUBLISHED}, confirmed in several Linux list mails`,
    profile: 'kunpeng',
  }),
  machine('epyc-nps2', grouped(4, 2, 12, 32), {
    description: 'AMD EPYC, 2 sockets, 2 nodes per socket',
    source: PUBLISHED,
    profile: 'epyc',
  }),
  machine('epyc-nps4', grouped(8, 4, 12, 32), {
    description: 'AMD EPYC, 2 sockets, 4 nodes per socket',
    source: PUBLISHED,
    profile: 'epyc',
  }),
  machine('xeon2', grouped(2, 1, 10, 21), {
    description: 'Intel Xeon, 2 sockets',
    source: PUBLISHED,
    profile: 'xeon',
  }),
  machine('xeon4-ring', XEON4_RING, {
    description: 'Intel Xeon, 4 sockets in a ring',
    source: PUBLISHED,
    profile: 'xeon',
  }),
  machine('xeon8-glueless', XEON8_GLUELESS, {
    description: 'Intel Xeon, 8 sockets without node controllers',
    source: PUBLISHED,
    profile: 'xeon',
  }),
  machine('mesh4', grouped(4, 1, 10, 16), {
    description: 'an older 4-socket machine, fully meshed',
    source: PUBLISHED,
    profile: 'generic',
    // 16 is one hop between sockets here, so the general rule would take it for one socket.
    sockets: [0, 1, 2, 3],
  }),
  machine('opteron8', OPTERON8, {
    description: 'AMD Opteron 6100, 4 sockets of 2 dies',
    source: PUBLISHED,
    profile: 'generic',
    // 16 is both the other die and a neighbouring socket, so only the package layout tells them apart.
    sockets: [0, 0, 1, 1, 2, 2, 3, 3],
  }),
  machine('two-boxes', twoBoxes(), {
    description: 'two 4-socket boxes joined by an external link',
    source: `${PUBLISHED} (rows 0, 2, 4, 6; the odd rows follow the same pattern)`,
    profile: 'xeon',
  }),
  machine('altra2', grouped(2, 1, 10, 20), {
    description: 'Ampere Altra, 2 sockets',
    source: 'common 2-socket arm64 matrix (that it is this machine is unconfirmed)',
    profile: 'altra',
  }),
  machine('arm64-16node', arm64SixteenNodes(), {
    description: '128-CPU arm64, 2 sockets of 8 nodes (Phytium S2500 class)',
    source: `${PUBLISHED} (identity of the machine unconfirmed)`,
    profile: 'phytium',
    // Distances inside a socket reach 50 here; only the 100 leaves it.
    sockets: [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1],
  }),
  machine('uniform', grouped(4, 1, 10, 20), {
    description: 'N nodes, all 20 apart (write uniform or uniform-N)',
    source: 'the distances Linux assumes where the firmware gives none',
    profile: 'generic',
  }),
];

/**
 * The built-in machine `name` with `nodes` nodes (its own number if left out, see resizeTopology), or undefined if there is
 * none of that name. `uniform-N` has N nodes.
 */
export const builtinTopology = (name: string, nodes?: number): BuiltinTopology | undefined => {
  const uniform = /^uniform-([1-9]\d{0,2})$/.exec(name);
  if (uniform !== null && Number(uniform[1]) > MAX_NODES) return undefined;
  const found = BUILTIN_TOPOLOGIES.find((topology) => topology.name === (uniform === null ? name : 'uniform'));
  if (found === undefined) return undefined;
  const count = nodes ?? (uniform === null ? found.distances.length : Number(uniform[1]));
  const resized = resizeTopology(found, count);
  return { ...resized, name, description: found.description, profile: found.profile };
};
