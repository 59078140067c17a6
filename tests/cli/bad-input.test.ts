import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { numalab } from './spawn.ts';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'numalab-cli-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Writes a file into the test's folder and returns its path. */
const file = (name: string, content: string | Uint8Array): string => {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
};

/** The run must end with 2, print nothing, and say one line that contains all of `parts`. */
const refuses = (args: readonly string[], ...parts: readonly string[]): void => {
  const { code, stdout, stderr } = numalab(args);
  expect(stderr).toMatch(/^[^\n]+\n$/);
  expect(stderr).not.toMatch(/\bat .*\.ts:\d+|Error:/);
  for (const part of parts) expect(stderr).toContain(part);
  expect([code, stdout]).toEqual([2, '']);
};

/** A 64-byte arm64 Image header that promises `imageSize` bytes. */
const imageHeader = (imageSize: number, magic = 0x644d_5241): Uint8Array => {
  const bytes = new Uint8Array(64);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0x1400_0010, true);
  view.setUint32(16, imageSize, true);
  view.setUint32(24, 0b0010, true);
  view.setUint32(56, magic, true);
  return bytes;
};

describe('a kernel image', () => {
  it('that is missing, a folder or empty is refused', () => {
    refuses(['kernel', join(folder, 'none')], 'none: no such file');
    refuses(['kernel', folder], 'is not a regular file');
    refuses(['kernel', file('empty.Image', '')], 'empty.Image: ');
  });

  it('that is truncated is refused', () => {
    refuses(['kernel', file('short.Image', imageHeader(0x10_0000).subarray(0, 40))], 'short.Image: ');
    // An EFI stub: the first word says MZ, and a PE header follows that says how long the file is.
    const stub = imageHeader(0x10_0000);
    stub.set([0x4d, 0x5a]);
    stub[60] = 64;
    refuses(['kernel', file('cut.Image', stub)], 'cut.Image: truncated');
    const packed = gzipSync(new Uint8Array(1 << 16));
    refuses(['kernel', file('cut.gz', packed.subarray(0, packed.length / 2))], 'cut.gz: ');
  });

  it('with a wrong magic number is refused', () => {
    const bytes = new Uint8Array(4096);
    bytes.set(imageHeader(4096, 0x1234_5678));
    refuses(['kernel', file('magic.Image', bytes)], 'magic.Image: ', 'magic');
    refuses(['kernel', file('text.Image', 'hello, world\n'.repeat(100))], 'text.Image: ');
  });

  it('with a System.map that is missing is refused', () => {
    const image = file('ok.Image', imageHeader(64));
    refuses(['kernel', image, '--map', join(folder, 'none.map')], 'none.map: no such file');
  });
});

/** Whether a command that boots a machine refuses this scenario, and names file and field. */
const refusesScenario = (name: string, content: string | Uint8Array, ...parts: readonly string[]): void => {
  const path = file(name, content);
  refuses(['run', path], name, ...parts);
};

describe('a scenario', () => {
  it('that is missing is refused', () => {
    refuses(['run', join(folder, 'none.yaml')], 'none.yaml: no such file');
    refuses(['scenarios', 'show', 'defualt'], 'defualt: no such file', 'did you mean default?');
  });

  it('with an unknown key is refused, with file, line and field', () => {
    refusesScenario(
      'key.yaml',
      'machine:\n  nodse: 4\n',
      'key.yaml:2: machine.nodse: unknown key; did you mean nodes?',
    );
  });

  it('with a number of nodes that cannot be is refused', () => {
    refusesScenario('minus.yaml', 'machine: { nodes: -4 }\n', 'minus.yaml:1: machine.nodes: must be at least 1');
    refusesScenario('many.yaml', 'machine: { nodes: 1000 }\n', 'many.yaml:1: machine.nodes: must be at most 128');
  });

  it('with a ragged matrix is refused', () => {
    const text = 'machine:\n  distances:\n    - [10, 20, 20]\n    - [20, 10]\n    - [20, 20, 10]\n';
    refusesScenario('ragged.yaml', text, 'ragged.yaml:2: machine.distances: row 1 has 2 entries');
  });

  it('with a random SLIT is refused', () => {
    const bytes = Uint8Array.from({ length: 300 }, (_, index) =>
      index < 4 ? 'SLIT'.charCodeAt(index) : (index * 37) & 255,
    );
    file('random.slit', bytes);
    refusesScenario('slit.yaml', 'machine: { distances: random.slit }\n', 'slit.yaml:1: machine.distances: ', 'length');
    refuses(['topology', join(folder, 'random.slit')], 'random.slit: length: ');
    refuses(['topology', file('noise.slit', bytes.subarray(4))], 'noise.slit: signature: ');
  });

  it('that is binary is refused', () => {
    refusesScenario('nul.yaml', Uint8Array.of(0x61, 0x3a, 0x20, 0, 1, 2), 'nul.yaml:1: is not a text file');
    refusesScenario('utf.yaml', Uint8Array.of(0xff, 0xfe, 0x61), 'utf.yaml: is not a text file');
    refusesScenario('tag.yaml', 'machine: !!binary aGVsbG8=\n', 'tag.yaml:1: no valid YAML');
  });

  it('that is an alias bomb is refused at once', () => {
    const lines = ['a: &a [x, x, x, x, x, x, x, x, x]'];
    for (const pair of ['ab', 'bc', 'cd', 'de', 'ef', 'fg', 'gh', 'hi']) {
      lines.push(`${pair[1]}: &${pair[1]} [${new Array(9).fill(`*${pair[0]}`).join(', ')}]`);
    }
    refusesScenario('bomb.yaml', lines.join('\n'), 'bomb.yaml: has too many aliases');
  });

  it('with tables that no hardware walks is refused', () => {
    refusesScenario('bits.yaml', 'machine:\n  stage2: { ipaBits: 53 }\n', 'bits.yaml:2: machine.stage2.ipaBits: ');
    refusesScenario(
      'granule.yaml',
      'machine:\n  stage2: { granule: 8K }\n',
      'machine.stage2.granule: must be 4K, 16K or 64K',
    );
    const small = 'machine:\n  memoryPerNode: 64GiB\n  stage2:\n    ipaBits: 36\n';
    refusesScenario(
      'small.yaml',
      small,
      'small.yaml:4: machine.stage2.ipaBits: 36 is too small',
      'machine.memoryPerNode',
    );
  });

  it('that names files that are missing is refused', () => {
    refusesScenario(
      'image.yaml',
      'kernel:\n  image: ./none.Image\n',
      'image.yaml:2: kernel.image: ',
      'none.Image: no such file',
    );
    const recorded = 'kernel:\n  writers:\n    - { kind: recorded, file: none.csv }\n';
    refusesScenario('trace.yaml', recorded, 'trace.yaml:3: kernel.writers.0.file: ', 'none.csv: no such file');
  });

  it('made wrong by an option is refused, and the option is named', () => {
    refuses(['run', '--set', 'machine.nodes=-1'], '--set machine.nodes: must be at least 1');
    refuses(['run', '--set', 'machin.nodes=3'], '--set machin.nodes: unknown key; did you mean machine?');
    const image = file('short.Image', imageHeader(0x10_0000).subarray(0, 40));
    refuses(['run', '--set', `kernel.image=${image}`], '--set kernel.image: ', 'short.Image: truncated');
    refuses(
      ['run', '--set', 'interconnect.bandwidth=0'],
      '--set interconnect.bandwidth: must be profile, none or',
      'not 0',
    );
    refuses(['run', '--out', '/proc/none/out'], '--out: ', 'cannot be written to');
    refuses(['run', '--duration', 'long'], '--duration: must be a time');
    refuses(['run', '--protocol', 'akc'], '--protocol: no built-in protocol akc; did you mean ack?');
    refuses(
      ['run', '--set', 'interconnect.profile=zero'],
      '--set interconnect.profile: zero has links without latency',
    );
  });
});

describe('distances in a file', () => {
  it('that are ragged, or no matrix, are refused', () => {
    refuses(['topology', file('ragged.txt', '10 20\n20\n')], 'ragged.txt: distances: row 1 has 1 entries');
    refuses(
      ['topology', file('line.txt', '10 20 20 10\n')],
      'line.txt:1: distances: one row of 4 numbers is no matrix',
    );
    refuses(['topology', file('words.txt', 'ten twenty\n')], 'words.txt:1: distances: ten is not a number');
    refuses(['topology', 'kunpeng921'], 'kunpeng921: no built-in machine', 'did you mean kunpeng920?');
    mkdirSync(join(folder, 'dir'));
    refuses(['topology', join(folder, 'dir')], 'dir: is not a regular file');
  });
});

describe('the command line', () => {
  it.each([
    [['frobnicate'], "unknown command 'frobnicate'"],
    [['rum'], "unknown command 'rum' (Did you mean run?)"],
    [['--frobnicate'], "unknown option '--frobnicate'"],
    [['run', '--seeed', '3'], "unknown option '--seeed' (Did you mean --seed?)"],
    [['run', 'default', 'small'], 'too many arguments'],
    [['run', '--seed', 'x'], "'--seed <n>' argument 'x' is invalid"],
    [['run', '--seed', '-1'], "'--seed <n>' argument '-1' is invalid"],
    [['run', '--threads', '0'], "'--threads <n>' argument '0' is invalid"],
    [['run', '--placement', 'cluster', '--processes', '0'], "'--processes <n>' argument '0' is invalid"],
    [['run', '--placement', 'cluster', '--processes', '999'], '--processes: 999 is too many: machine.nodes is 4'],
    [['run', 'live', '--mode', 'live', '--placement', 'cluster', '--processes', '5'], '--processes: 5 is too many'],
    [['run', 'live', '--mode', 'live', '--set', 'faults=[{kind: hyp-crash}]'], 'hyp-crash cannot be had in live'],
    [
      ['run', 'live', '--mode', 'live', '--set', 'replication.protocolOptions.multicast=true'],
      '--set replication.protocolOptions.multicast: must be false in live',
    ],
    [['run', '--placement', 'moon'], 'Allowed choices are inline, threads, cluster'],
    [['bugs', '--clean', '5'], '--clean: needs --measure'],
    [['bugs', '--measure', '--clean', 'x'], "'--clean <n>' argument 'x' is invalid"],
    [['run', '--bug', '99'], '--bug: there is no bug 99; there are 1, 2, 3'],
    [['kernel'], "missing required argument 'image'"],
    [['topology', 'kunpeng920', '--nodes', '1000'], "'--nodes <n>' argument '1000' is invalid"],
    [['translate', 'default'], "required option '--node <n>'"],
    [['translate', 'default', '--node', '4'], '--node: 4 is beyond the last of 4 nodes, 3'],
    [['export-tables', 'default', '--node', '0'], "required option '--out <dir>'"],
    [['help', 'frobnicate'], 'unknown command'],
  ])('%j is refused', (args, message) => {
    refuses(args, message);
  });
});
