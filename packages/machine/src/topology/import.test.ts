import { InputError } from '@numalab/base';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { builtinTopology } from './builtin.ts';
import { importTopology } from './import.ts';
import { parseNumactlHardware } from './numactl.ts';
import { parseSlit } from './slit.ts';

const refused = (run: () => unknown): string => {
  try {
    run();
    return '';
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    return error.message;
  }
};

const bytesOf = (text: string): Uint8Array => Uint8Array.from(text, (character) => character.charCodeAt(0));

const KUNPENG = `available: 4 nodes (0-3)
node 0 cpus: 0 1 2 3
node 0 size: 65123 MB
node 0 free: 60000 MB
node 1 cpus: 4 5 6 7
node 2 cpus: 8 9
node 3 cpus: 10 11
node distances:
node   0   1   2   3 
  0:  10  12  20  22 
  1:  12  10  22  24 
  2:  20  22  10  12 
  3:  22  24  12  10 
`;

describe('numactl --hardware', () => {
  it('gives the matrix that it prints', () => {
    const { topology, nodeIds, cpulessNodes } = parseNumactlHardware(KUNPENG, 'k.txt');
    expect(topology.distances).toEqual(builtinTopology('kunpeng920')!.distances);
    expect(topology.sockets).toEqual([0, 0, 1, 1]);
    expect(nodeIds).toEqual([0, 1, 2, 3]);
    expect(cpulessNodes).toEqual([]);
  });

  it('may have gaps in its numbers, nodes without CPUs, rows out of order and DOS line ends', () => {
    const text =
      'available: 3 nodes (0,2,8)\r\nnode 0 cpus: 0 1\r\nnode 2 cpus: 2\r\nnode 8 cpus:\r\nnode 8 size: 9 MB\r\n' +
      'node distances:\r\nnode   0   2   8\r\n  8:  17  28  10\r\n  0:  10  21  17\r\n  2:  21  10  28\r\n';
    const { topology, nodeIds, cpulessNodes } = parseNumactlHardware(text, 'k.txt');
    expect(topology.distances).toEqual([
      [10, 21, 17],
      [21, 10, 28],
      [17, 28, 10],
    ]);
    expect(nodeIds).toEqual([0, 2, 8]);
    expect(cpulessNodes).toEqual([2]);
    expect(importTopology(bytesOf(text), 'k.txt').notes.join()).toMatch(/renumbered.*without CPUs: 2/);
  });

  it('needs no more than the table of distances', () => {
    const table = KUNPENG.slice(KUNPENG.indexOf('node   0'));
    expect(parseNumactlHardware(table, 'k.txt').topology.distances[3]).toEqual([22, 24, 12, 10]);
  });

  it.each([
    ['no table', 'available: 1 nodes (0)\nNo distance information available.\n', /^k\.txt: node distances: no table/],
    ['a missing row', KUNPENG.replace(/ {2}3: .*\n/, ''), /^k\.txt: node distances: node 3 has no row/],
    ['a short row', KUNPENG.replace('12  10  22  24', '12  10  22'), /^k\.txt:11: node distances: row 1 has 3 entries/],
    ['a doubled row', KUNPENG.replace('  3:  22', '  2:  22'), /^k\.txt:13: node distances: node 2 has two rows/],
    [
      'a row of no node',
      KUNPENG.replace('  3:  22', '  9:  22'),
      /^k\.txt:13: node distances: node 9 is not in the header/,
    ],
    [
      'a doubled node',
      KUNPENG.replace('node   0   1   2   3', 'node   0   1   2   2'),
      /^k\.txt:9: a node is listed twice/,
    ],
    ['a word for a number', KUNPENG.replace('24 ', 'xx '), /row 1, column 3: NaN/],
  ])('is refused with %s', (_, text, message) => {
    expect(refused(() => parseNumactlHardware(text, 'k.txt'))).toMatch(message);
  });
});

describe('a matrix in a text file', () => {
  const two = [
    [10, 20],
    [20, 10],
  ];

  it.each([
    ['a row a line', '# mine\n10 20\n20 10\n'],
    ['one line, in brackets', '[[10, 20], [20, 10]]'],
    ['one line, with semicolons', '10 20; 20 10\n'],
    ['YAML', '- [10, 20]\n- [20, 10]\n'],
    ['brackets over several lines', '[[10, 20],\n [20, 10]]\n'],
    ['commas', '10,20\r\n20,10\r\n'],
  ])('is read from %s', (_, text) => {
    expect(importTopology(bytesOf(text), 'm.txt')).toMatchObject({
      format: 'matrix',
      notes: [],
      topology: { distances: two },
    });
  });

  it('is not made of one row', () => {
    expect(refused(() => importTopology(bytesOf('\n10 20 20 10\n'), 'm.txt'))).toMatch(
      /^m\.txt:2: distances: one row of 4 numbers is no matrix; each row/,
    );
    expect(importTopology(bytesOf('10'), 'm.txt').topology.distances).toEqual([[10]]);
  });

  it('may hold 255, with a note: firmware would mean something else', () => {
    const { topology, notes } = importTopology(bytesOf('10 255\n255 10\n'), 'm.txt');
    expect(topology.distances[0]).toEqual([10, 255]);
    expect(notes.join()).toMatch(/255/);
  });
});

/** A SLIT table as firmware builds it. */
const slit = (matrix: readonly (readonly number[])[]): Uint8Array => {
  const bytes = new Uint8Array(44 + matrix.length * matrix.length);
  bytes.set(bytesOf('SLIT'));
  const view = new DataView(bytes.buffer);
  view.setUint32(4, bytes.length, true);
  bytes[8] = 1;
  bytes.set(bytesOf('OEMID TABLEID '), 10);
  view.setUint32(36, matrix.length, true);
  for (const [i, row] of matrix.entries()) bytes.set(row, 44 + i * matrix.length);
  return seal(bytes);
};

/** Puts the checksum right. */
const seal = (bytes: Uint8Array): Uint8Array => {
  bytes[9] = 0;
  bytes[9] = (256 - (bytes.reduce((sum, byte) => sum + byte, 0) & 255)) & 255;
  return bytes;
};

describe('a raw SLIT table', () => {
  it('gives the matrix that it holds', () => {
    const { distances } = builtinTopology('xeon8-glueless')!;
    const bytes = slit(distances);
    expect(parseSlit(bytes, 's').distances).toEqual(distances);
    expect(importTopology(bytes, 's').format).toBe('slit');
  });

  it.each([
    [
      'a wrong length',
      (bytes: Uint8Array) => bytes.subarray(0, bytes.length - 1),
      /^s: length: the header says 60 bytes/,
    ],
    ['a few bytes only', (bytes: Uint8Array) => bytes.subarray(0, 20), /^s: length: 20 bytes are too few/],
    ['a wrong checksum', (bytes: Uint8Array) => bytes.fill(7, 9, 10), /^s: checksum/],
    ['no localities', (bytes: Uint8Array) => seal(bytes.fill(0, 36, 44)), /^s: localities: 0;/],
    ['2^40 localities', (bytes: Uint8Array) => seal(bytes.fill(1, 41, 42)), /^s: localities: 1099511627780;/],
    [
      'fewer localities than entries',
      (bytes: Uint8Array) => seal(bytes.fill(3, 36, 37)),
      /^s: length: 3 localities need 53/,
    ],
    ['a reserved distance', (bytes: Uint8Array) => seal(bytes.fill(5, 45, 46)), /^s: matrix: row 0, column 1: 5/],
  ])('is refused with %s', (_, spoil, message) => {
    const bytes = spoil(slit(builtinTopology('kunpeng920')!.distances));
    expect(refused(() => parseSlit(bytes, 's'))).toMatch(message);
  });
});

describe('distances in a file', () => {
  it('may be a plain matrix, with brackets and comments or not', () => {
    const expected = [
      [10, 21],
      [20, 10],
    ];
    for (const text of [
      '10 21\n20 10\n',
      '# two\n[[10, 21],\n [20, 10]]\n',
      '- [10, 21]\n- [20, 10]',
      '10,21\r\n20,10',
    ]) {
      const { topology, format } = importTopology(bytesOf(text), 'm.txt');
      expect(topology.distances).toEqual(expected);
      expect(format).toBe('matrix');
    }
  });

  it.each([
    ['', /^m\.txt: distances: the file holds no matrix/],
    ['10 21\n20\n', /^m\.txt: distances: row 1 has 1 entries/],
    ['10 21\n20 ten\n', /^m\.txt:2: distances: ten is not a number/],
    ['\u0001\u0002', /^m\.txt: signature: neither/],
  ])('%j is refused', (text, message) => {
    expect(refused(() => importTopology(bytesOf(text), 'm.txt'))).toMatch(message);
  });

  it('never breaks the reader, whatever the bytes', () => {
    const prefix = fc.constantFrom('', 'SLIT', 'node distances:\nnode 0 1\n', '10 ');
    fc.assert(
      fc.property(prefix, fc.uint8Array({ maxLength: 200 }), (start, rest) => {
        const bytes = Uint8Array.from([...bytesOf(start), ...rest]);
        const message = refused(() => importTopology(bytes, 'f'));
        expect(message === '' || message.startsWith('f')).toBe(true);
      }),
    );
  });
});
