import { InputError } from '@numalab/base';

/** Which nodes a machine has and how far apart its firmware says they are. */
export interface Topology {
  /** Id of the built-in machine, or the name of the file it came from. */
  readonly name: string;
  /** Where the matrix comes from. */
  readonly source: string;
  /** `distances[i][j]`: relative distance from node i to node j, 10 = local. Need not be symmetric. */
  readonly distances: readonly (readonly number[])[];
  /** Socket of each node, numbered from 0 in the order of their first nodes. */
  readonly sockets: readonly number[];
}

/** The largest number of nodes a machine may have. */
export const MAX_NODES = 128;
/** Distance of a node to itself (ACPI 6.5, 5.2.17). */
export const LOCAL_DISTANCE = 10;
/** The largest entry. The ACPI table means by it that there is no path; numalab, whose nodes all reach each other, a long one. */
export const LARGEST_DISTANCE = 255;
/** Nodes at most this far apart are taken for dies of one socket where nothing better is known. */
export const SAME_SOCKET_DISTANCE = 16;

const checkEntry = (value: number, row: number, column: number, where: string): void => {
  const place = `row ${row}, column ${column}`;
  if (!Number.isInteger(value) || value < LOCAL_DISTANCE || value > LARGEST_DISTANCE) {
    throw new InputError(where, `${place}: ${value} is not an integer from 10 to 255`);
  }
  if (row === column && value !== LOCAL_DISTANCE) {
    throw new InputError(where, `${place}: the diagonal must be 10, not ${value}`);
  }
};

/**
 * Checks a distance matrix: 1 to 128 rows, square, integers from 10 to 255, 10 on the diagonal. Asymmetric matrices are
 * legal. Throws InputError, whose message begins with `where`.
 */
export const checkDistances = (matrix: readonly (readonly number[])[], where: string): void => {
  const nodes = matrix.length;
  if (nodes < 1 || nodes > MAX_NODES) {
    throw new InputError(where, `the matrix has ${nodes} rows; a machine has 1 to ${MAX_NODES} nodes`);
  }
  for (const [row, entries] of matrix.entries()) {
    if (entries.length !== nodes) {
      throw new InputError(where, `row ${row} has ${entries.length} entries, but the matrix has ${nodes} rows`);
    }
    for (const [column, value] of entries.entries()) checkEntry(value, row, column, where);
  }
};

/**
 * Groups nodes into sockets: nodes at most {@link SAME_SOCKET_DISTANCE} apart in both directions, and all that are
 * connected through such pairs, share one.
 */
export const deriveSockets = (distances: readonly (readonly number[])[]): number[] => {
  const sockets = new Array<number>(distances.length).fill(-1);
  let count = 0;
  for (let first = 0; first < distances.length; first++) {
    if (sockets[first] !== -1) continue;
    const reached = [first];
    sockets[first] = count;
    for (let node = reached.pop(); node !== undefined; node = reached.pop()) {
      for (let other = 0; other < distances.length; other++) {
        const distance = Math.max(distances[node]![other]!, distances[other]![node]!);
        if (sockets[other] === -1 && distance <= SAME_SOCKET_DISTANCE) {
          sockets[other] = count;
          reached.push(other);
        }
      }
    }
    count++;
  }
  return sockets;
};

/** A topology from an explicit matrix. Throws InputError (see {@link checkDistances}). */
export const topologyFromMatrix = (
  matrix: readonly (readonly number[])[],
  name: string,
  where: string = name,
  source = 'explicit matrix',
): Topology => {
  checkDistances(matrix, where);
  return { name, source, distances: matrix.map((row) => [...row]), sockets: deriveSockets(matrix) };
};

/**
 * The same machine with another number of nodes. Fewer nodes: the leading ones. More: the machine is repeated, and between
 * two copies lies the largest distance of the original (20 where it has one node only). Copies share no sockets.
 */
export const resizeTopology = (topology: Topology, nodes: number): Topology => {
  const size = topology.distances.length;
  if (nodes === size) return topology;
  const largest = size === 1 ? 20 : Math.max(...topology.distances.map((row) => Math.max(...row)));
  const socketCount = Math.max(...topology.sockets) + 1;
  const indices = Array.from({ length: nodes }, (_, index) => index);
  const copyOf = (node: number): number => Math.floor(node / size);
  return {
    name: topology.name,
    source: `${topology.source}; ${nodes < size ? `the first ${nodes} of its ${size} nodes` : `${size} nodes repeated to ${nodes}`}`,
    distances: indices.map((i) =>
      indices.map((j) => (copyOf(i) === copyOf(j) ? topology.distances[i % size]![j % size]! : largest)),
    ),
    sockets: indices.map((i) => copyOf(i) * socketCount + topology.sockets[i % size]!),
  };
};
