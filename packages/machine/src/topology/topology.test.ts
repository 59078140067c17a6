import { InputError } from '@numalab/base';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BUILTIN_TOPOLOGIES, builtinTopology } from './builtin.ts';
import { checkDistances, deriveSockets, resizeTopology, topologyFromMatrix } from './topology.ts';

const refused = (matrix: number[][]): string => {
  try {
    checkDistances(matrix, 'm.txt');
    return '';
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    return error.message;
  }
};

describe('a distance matrix', () => {
  it.each([
    ['no rows', [], /0 rows/],
    ['too many rows', Array.from({ length: 129 }, () => []), /129 rows/],
    ['a short row', [[10, 20], [20]], /row 1 has 1 entries/],
    [
      'a long row',
      [
        [10, 20, 20],
        [20, 10],
      ],
      /row 0 has 3 entries/,
    ],
    [
      'a distance below 10',
      [
        [10, 9],
        [20, 10],
      ],
      /row 0, column 1: 9 is not an integer from 10 to 255/,
    ],
    [
      'a distance above 255',
      [
        [10, 20],
        [256, 10],
      ],
      /row 1, column 0: 256/,
    ],
    [
      'a fraction',
      [
        [10, 20.5],
        [20, 10],
      ],
      /20\.5 is not an integer/,
    ],
    [
      'no number',
      [
        [10, Number.NaN],
        [20, 10],
      ],
      /NaN is not an integer/,
    ],
    [
      'a far diagonal',
      [
        [10, 20],
        [20, 11],
      ],
      /row 1, column 1: the diagonal must be 10, not 11/,
    ],
  ])('with %s is refused', (_, matrix, message) => {
    expect(refused(matrix as number[][])).toMatch(message);
    expect(refused(matrix as number[][])).toMatch(/^m\.txt: /);
  });

  it('may be asymmetric, and may have one node or 128', () => {
    expect(
      refused([
        [10, 254],
        [11, 10],
      ]),
    ).toBe('');
    expect(refused([[10]])).toBe('');
    expect(
      refused(Array.from({ length: 128 }, (_, i) => Array.from({ length: 128 }, (__, j) => (i === j ? 10 : 20)))),
    ).toBe('');
  });
});

describe('sockets', () => {
  it('group nodes that are near in both directions, through others too', () => {
    expect(
      deriveSockets([
        [10, 12, 20, 22],
        [12, 10, 22, 24],
        [20, 22, 10, 12],
        [22, 24, 12, 10],
      ]),
    ).toEqual([0, 0, 1, 1]);
    expect(
      deriveSockets([
        [10, 16, 30],
        [16, 10, 16],
        [30, 16, 10],
      ]),
    ).toEqual([0, 0, 0]);
    expect(
      deriveSockets([
        [10, 12],
        [17, 10],
      ]),
    ).toEqual([0, 1]);
    expect(
      deriveSockets([
        [10, 20, 12],
        [20, 10, 20],
        [12, 20, 10],
      ]),
    ).toEqual([0, 1, 0]);
  });
});

describe('built-in machines', () => {
  it('are valid, and their sockets are known for every node', () => {
    for (const { name, distances, sockets } of BUILTIN_TOPOLOGIES) {
      checkDistances(distances, name);
      expect(sockets).toHaveLength(distances.length);
      expect(new Set(BUILTIN_TOPOLOGIES.map((t) => t.name)).size).toBe(BUILTIN_TOPOLOGIES.length);
    }
  });

  it('have the published values', () => {
    expect(builtinTopology('kunpeng920')?.distances[1]).toEqual([12, 10, 22, 24]);
    expect(builtinTopology('xeon8-glueless')?.distances[0]).toEqual([10, 21, 21, 31, 21, 31, 31, 31]);
    expect(builtinTopology('two-boxes')?.distances[2]).toEqual([31, 21, 10, 21, 51, 51, 41, 41]);
    expect(builtinTopology('two-boxes')?.distances[6]).toEqual([51, 51, 41, 41, 31, 21, 10, 21]);
    const arm = builtinTopology('arm64-16node')!.distances;
    expect(arm[1]![4]).toBeGreaterThan(arm[1]![0]! + arm[0]![4]!);
    expect(arm[1]![4]).toBe(50);
    expect(arm[9]![12]).toBe(50);
    expect(arm[0]![8]).toBe(100);
  });

  it('know uniform-N, and no machine that does not exist', () => {
    expect(builtinTopology('uniform-7')?.distances).toHaveLength(7);
    expect(builtinTopology('uniform', 3)?.distances).toHaveLength(3);
    for (const name of ['uniform-0', 'uniform-129', 'uniform-', 'kunpeng', '']) {
      expect(builtinTopology(name)).toBeUndefined();
    }
  });
});

describe('another number of nodes', () => {
  it('is valid for every machine and every size', () => {
    const machine = fc.constantFrom(...BUILTIN_TOPOLOGIES.map(({ name }) => name));
    fc.assert(
      fc.property(machine, fc.integer({ min: 1, max: 128 }), (name, nodes) => {
        const topology = builtinTopology(name, nodes)!;
        checkDistances(topology.distances, name);
        expect(topology.distances).toHaveLength(nodes);
        expect(topology.sockets).toHaveLength(nodes);
      }),
      { numRuns: 100 },
    );
  });

  it('keeps the leading nodes, and repeats the machine at its largest distance', () => {
    const three = builtinTopology('kunpeng920', 3)!;
    expect(three.distances).toEqual([
      [10, 12, 20],
      [12, 10, 22],
      [20, 22, 10],
    ]);
    expect(three.sockets).toEqual([0, 0, 1]);
    const six = builtinTopology('kunpeng920', 6)!;
    expect(six.distances[5]).toEqual([24, 24, 24, 24, 12, 10]);
    expect(six.sockets).toEqual([0, 0, 1, 1, 2, 2]);
  });

  it('puts copies of a single node 20 apart', () => {
    expect(resizeTopology(topologyFromMatrix([[10]], 'one'), 2).distances).toEqual([
      [10, 20],
      [20, 10],
    ]);
  });
});
