import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { alignUp, toIpa } from '@numalab/base';
import { BUILTIN_LAYOUT, buildBuiltinKernel, type PatchWriter, type SyntheticWriter } from '@numalab/kernel';
import { ACCESS_EXECUTE, GRANULES } from '@numalab/machine';
import { layOut } from '@numalab/node-worker';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadScenario, parseScenario } from '../scenario/load.ts';
import type { Scenario } from '../scenario/scenario.ts';
import { buildSpec } from './build-spec.ts';
import { BUILTIN_KERNEL_SEED } from './load-kernel.ts';
import { bootNodeTables } from './node-tables.ts';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'numalab-spec-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const image = buildBuiltinKernel(BUILTIN_KERNEL_SEED);
const hexWord = (word: number): string => word.toString(16).padStart(8, '0');

/** A scenario of YAML text whose files lie in the scratch folder. */
const scenarioOf = (text: string): Scenario => parseScenario(text, {}, 'test.yaml', folder);
const write = (name: string, content: string | Uint8Array): string => {
  writeFileSync(join(folder, name), content);
  return name;
};

/** The offsets of watched words, from the map alone. */
const watched = (map: Uint8Array): number[] =>
  Array.from(map).flatMap((bits, group) => [0, 1, 2, 3].filter((i) => (bits >> i) & 1).map((i) => 16 * group + 4 * i));

const sorted = (offsets: Iterable<number>): number[] => [...new Set(offsets)].sort((a, b) => a - b);

describe('a spec', () => {
  it('has the same kernel for every seed, in the same memory, and plans of its own', () => {
    const scenario = loadScenario('default');
    const [one, again, other] = [buildSpec(scenario, 1), buildSpec(scenario, 1), buildSpec(scenario, 2)];
    expect(again.spec).toEqual(one.spec);
    expect(other.spec.kernel).toBe(one.spec.kernel);
    expect(other.spec.writers).not.toEqual(one.spec.writers);
    expect(one.spec.kernel.words).toEqual(image.words);
    expect(one.spec.kernel.words.buffer).toBeInstanceOf(SharedArrayBuffer);
    expect([one.spec.seed, other.spec.seed]).toEqual([1, 2]);
  });

  it('carries what the scenario says, caches and jitter included', () => {
    const { spec } = buildSpec(
      scenarioOf(`
machine: { nodes: 2, stage2: { granule: 16K, ipaBits: 42 }, ctr: { idc: true }, caches: { l2: { bytes: 64KiB }, tlbEntries: 99 } }
kernel: { kaslrOffset: 4MiB }
hypervisor: { node: 1, serialisation: lock }
interconnect: { jitter: 0.5 }
replication: { protocol: post, range: text }
workload: { duration: 7us, duty: 0.25, probe: false }
`),
      1,
    );
    expect(spec).toMatchObject({ nodes: 2, granule: '16K', ipaBits: 42, idc: true, dic: false, jitter: 0.5 });
    expect(spec).toMatchObject({ hypervisorNode: 1, serialisation: 'lock', protocol: 'post', guarantee: 'ordered' });
    expect(spec.workload).toMatchObject({ durationPs: 7_000_000, duty: 0.25, probe: false });
    expect(spec.profile.caches.l2.bytes).toBe(65_536);
    expect(spec.profile.caches.tlbEntries[0]).toBe(99);
    expect(spec.kernel.linkVa).toBe(image.linkVa! + 2 ** 22);
    expect(spec.kernel.ranges.every(({ start, end }) => start % 16384 === 0 && end % 16384 === 0)).toBe(true);
    expect(spec.kernel.ranges.at(-1)!.end).toBeLessThanOrEqual(BUILTIN_LAYOUT.etext);
  });

  it('refuses an offset that moves the kernel out of its addresses', () => {
    const moved = scenarioOf('kernel: { kaslrOffset: 1GiB }');
    expect(buildSpec(moved, 1).spec.kernel.linkVa).toBe(image.linkVa! + 2 ** 30);
    const far = { ...moved, kernel: { ...moved.kernel, kaslrOffset: 2 ** 47 } };
    expect(() => buildSpec(far, 1)).toThrow('kernel.kaslrOffset: 128TiB moves the kernel from 0xffff8000');
  });

  it('maps constants behind the text by leaves that nobody can execute', () => {
    const { spec } = buildSpec(loadScenario('small'), 1);
    const { tables } = bootNodeTables(spec, 1);
    const { imageIpa } = layOut(spec);
    const walk = (offset: number): number => tables.walker.walk(toIpa(imageIpa + offset), ACCESS_EXECUTE);
    const { text, ranges } = spec.kernel;
    expect(walk(text.start)).toBe(0);
    expect(walk(text.end - 4)).toBe(0);
    expect(walk(alignUp(text.end, GRANULES[spec.granule].bytes))).not.toBe(0);
    expect(ranges.some(({ start, end }) => start < text.end && end > text.end)).toBe(true);
  });

  it('without replication declares no level', () => {
    const { spec } = buildSpec(loadScenario('default'), 1, { strategy: 'none' });
    expect([spec.strategy, spec.guarantee]).toEqual(['none', null]);
  });

  it('lets walks call functions of the replicated range only', () => {
    for (const granule of ['4K', '16K', '64K']) {
      const { spec } = buildSpec(scenarioOf(`machine: { stage2: { granule: ${granule} } }`), 1);
      const { functions, ranges } = spec.kernel;
      expect(functions.length).toBeGreaterThan(1000);
      const astray = [...functions].filter(
        (at) => !ranges.some(({ start, end, kind }) => kind !== 'hole' && at >= start && at < end),
      );
      expect(astray).toEqual([]);
    }
  });

  it('is as fast for a thousand seeds as a hunt needs', () => {
    const scenario = loadScenario('small');
    buildSpec(scenario, 1);
    const started = performance.now();
    for (let seed = 2; seed < 52; seed++) buildSpec(scenario, seed);
    // 2 to 3 ms each when measured; 300 ms if the text is searched every time.
    expect((performance.now() - started) / 50).toBeLessThan(50);
  });
});

describe('the watch map', () => {
  it('has exactly the words of all patch stores, both of 8-byte ones', () => {
    const writers = ['jump-label', 'ftrace', 'ftrace-literal', 'kprobe', 'alternatives'];
    const text = `kernel: { writers: [${writers.map((kind) => `{ kind: ${kind} }`).join(', ')}] }`;
    const { spec, watch } = buildSpec(scenarioOf(text), 3);
    const stores = spec.writers.flatMap((writer) => (writer as PatchWriter).items.flatMap((item) => item.stores));
    expect(stores.filter(({ size }) => size === 8).length).toBeGreaterThan(100);
    const offsets = stores.flatMap(({ offset, size }) => (size === 8 ? [offset, offset + 4] : [offset]));
    expect(watched(watch)).toEqual(sorted(offsets));
    expect(watch.length).toBe(Math.ceil(image.words.length / 4));
    expect(watch.buffer).toBeInstanceOf(SharedArrayBuffer);
  });

  it('leaves out what a finite writer never reaches', () => {
    const { spec, watch } = buildSpec(scenarioOf('kernel: { writers: [{ kind: kprobe, writes: 3 }] }'), 1);
    const [first] = spec.writers as PatchWriter[];
    expect(first!.actions).toBe(3);
    expect(watched(watch)).toEqual(sorted(first!.items.slice(0, 3).map((item) => item.stores[0]!.offset)));
  });

  it('has all of the places of synthetic writers, 64 bytes where lines are zeroed', () => {
    for (const [forms, bytes] of [
      ['[str_w, stp_x]', 16],
      ['[dc_zva, str_w]', 64],
    ] as const) {
      const text = `kernel: { writers: [{ kind: synthetic, sites: 5, forms: ${forms} }] }`;
      const { spec, watch } = buildSpec(scenarioOf(text), 1);
      const { places } = spec.writers[0] as SyntheticWriter;
      expect(places.length).toBe(5);
      const offsets = places.flatMap((place) => Array.from({ length: bytes / 4 }, (_, i) => place + 4 * i));
      expect(watched(watch)).toEqual(sorted(offsets));
    }
  });
});

const HEADER = 'seq,vcpu,writer,offset,size,old,new,table';
const IN_COPY = BUILTIN_LAYOUT.stext + 0x1_0000;
const IN_HOLE = BUILTIN_LAYOUT.hypText + 0x4000;
const IN_INIT = BUILTIN_LAYOUT.initText;

/** A row that finds what the image (and earlier rows, through `old`) left there. */
const row = (sequence: number, vcpu: number, offset: number, size: 4 | 8, value: string, old?: string): string => {
  const word = offset >> 2;
  const found = (size === 8 ? hexWord(image.words[word + 1]!) : '') + hexWord(image.words[word]!);
  return `${sequence},${vcpu},writer,${offset.toString(16)},${size},${old ?? found},${value},jump`;
};

const ROWS = [
  row(10, 0, IN_COPY, 4, 'd503201f'),
  row(11, 1, IN_HOLE, 8, '1111111122222222'),
  row(12, 2, IN_COPY + 8, 8, '3333333344444444'),
  row(13, 3, IN_INIT, 4, 'd503201f'),
  row(14, 20, IN_COPY, 4, '14000001', 'd503201f'),
];
const recorded = (file: string, more = ''): Scenario =>
  scenarioOf(`kernel: { writers: [{ kind: recorded, file: ${file}${more} }] }`);
const trace = (rows: readonly string[]): string => `${[HEADER, ...rows].join('\n')}\n`;

describe('a recorded trace', () => {
  it('traps where copies are, and stores at boot where EL2 or nobody has them', () => {
    const { spec, recorded: summary, watch, outsideStores } = buildSpec(recorded(write('a.csv', trace(ROWS))), 1);
    expect(summary).toMatchObject({ rows: 5, atBoot: 2, inHoles: 2, trapped: 3, protectAt: 0 });
    const [writer] = spec.writers;
    if (writer?.kind !== 'recorded') throw new Error('not the recorded writer');
    expect([...writer.rows]).toEqual([0, 2, 4]);
    // vCPU v of the trace is vCPU v mod the machine's 16.
    expect([...writer.cpus]).toEqual([0, 2, 4]);
    expect([...spec.bootStores.words]).toEqual([IN_HOLE / 4, IN_HOLE / 4 + 1]);
    expect([...spec.bootStores.values]).toEqual([0x2222_2222, 0x1111_1111]);
    expect([...outsideStores.words]).toEqual([IN_INIT / 4]);
    expect(watched(watch)).toEqual([IN_COPY, IN_COPY + 8, IN_COPY + 12]);
  });

  it('is read from gzip as from plain text', () => {
    const plain = buildSpec(recorded(write('b.csv', trace(ROWS))), 1);
    const packed = buildSpec(recorded(write('b.csv.gz', gzipSync(trace(ROWS)))), 1);
    expect(packed.spec.writers).toEqual(plain.spec.writers);
  });

  it('is split by protectAt: earlier rows are applied at boot, in order', () => {
    const { spec, recorded: summary, notes } = buildSpec(recorded(write('c.csv', trace(ROWS)), ', protectAt: 12'), 1);
    expect(summary).toMatchObject({ rows: 5, atBoot: 3, inHoles: 2, trapped: 2, protectAt: 12 });
    expect([...spec.bootStores.words]).toEqual([IN_COPY / 4, IN_HOLE / 4, IN_HOLE / 4 + 1]);
    expect(notes.join('\n')).toMatch(/protectAt 12.* 2 of 5 rows trap/);
    const none = buildSpec(recorded('c.csv', ', protectAt: 99'), 1);
    expect(none.recorded).toMatchObject({ atBoot: 5, trapped: 0 });
  });

  it('says that protectAt 0 is a stress setting', () => {
    const { notes } = buildSpec(recorded(write('d.csv', trace(ROWS))), 1);
    expect(notes.join('\n')).toMatch(/protectAt 0 is a stress setting.*a real pKVM could trap 5 at most/);
  });

  it.each([
    [
      'a wrong old word',
      [ROWS[0]!, row(14, 0, IN_COPY, 4, '14000001', 'deadbeef')],
      /e\.csv: seq 14: old does not match/,
    ],
    ['a wrong high word', [row(7, 0, IN_COPY, 8, '0', '1')], /seq 7: old does not match/],
    ['an offset behind the image', ['5,0,w,fffff0,4,0,0,jump'], /seq 5: the offset lies outside/],
    ['sequence numbers that fall', [ROWS[1]!, ROWS[0]!], /e\.csv:3: seq must grow/],
    ['a row with too few fields', ['1,2,3'], /e\.csv:2: a row has 8 fields/],
  ])('with %s is refused by row', (_, rows, message) => {
    expect(() => buildSpec(recorded(write('e.csv', trace(rows))), 1)).toThrowError(message);
    expect(() => buildSpec(recorded('e.csv'), 1)).toThrowError(expect.objectContaining({ name: 'InputError' }));
  });

  it('that is no whole gzip file is refused', () => {
    const file = write('cut.gz', gzipSync(trace(ROWS)).subarray(0, 60));
    expect(() => buildSpec(recorded(file), 1)).toThrowError(/cut\.gz: is no whole gzip file/);
  });

  it('takes no bounds of its own, and does not come twice', () => {
    const file = write('f.csv', trace(ROWS));
    expect(() => buildSpec(recorded(file, ', writes: 3'), 1)).toThrowError(/kernel\.writers\.0\.writes: does not go/);
    const twice = `{ kind: recorded, file: ${file} }`;
    const both = scenarioOf(`kernel: { writers: [${twice}, ${twice}] }`);
    expect(() => buildSpec(both, 1)).toThrowError(/kernel\.writers: has several/);
  });

  it('is what other writers find when they begin', () => {
    const jump = image.jumpEntries.code.find((at) => at >= IN_COPY && at < BUILTIN_LAYOUT.hypText)!;
    const file = write('g.csv', trace([row(1, 0, jump, 4, 'd4200000')]));
    const { spec } = buildSpec(
      scenarioOf(`kernel: { writers: [{ kind: recorded, file: ${file} }, { kind: jump-label }] }`),
      1,
    );
    const stores = (spec.writers[1] as PatchWriter).items.flatMap((item) => item.stores);
    expect(stores.find(({ offset }) => offset === jump)!.off).toEqual([0xd420_0000]);
  });
});

describe('workload.writes', () => {
  it('ends endless writers after about so many stores, those that are due first', () => {
    const writers = '[{ kind: kprobe, rate: 30k/s }, { kind: kprobe, rate: 10k/s }, { kind: kprobe, writes: 2 }]';
    const { spec } = buildSpec(
      scenarioOf(`{ kernel: { writers: ${writers} }, workload: { writes: 40, duration: 1s } }`),
      1,
    );
    expect(spec.writers.map((writer) => (writer as PatchWriter).actions)).toEqual([30, 10, 2]);
  });

  it('does not outlast the duration', () => {
    const text = '{ kernel: { writers: [{ kind: kprobe, rate: 10k/s }] }, workload: { writes: 40, duration: 1ms } }';
    expect((buildSpec(scenarioOf(text), 1).spec.writers[0] as PatchWriter).actions).toBe(10);
  });
});

describe('a kernel that cannot be used', () => {
  /** The builtin Image with one 32-bit word of its header changed. */
  const altered = (name: string, at: number, value: number, bytes = image.bytes.slice()): string => {
    new DataView(bytes.buffer).setUint32(at, value, true);
    return write(name, bytes);
  };

  it('is too large for the memory of a node: the message names both keys', () => {
    // RELA addends would tell that the size is wrong.
    const { bytes } = buildBuiltinKernel(BUILTIN_KERNEL_SEED, { relocations: 'relr' });
    const file = altered('large.Image', 0x10, 0x1400_0000, bytes.slice());
    const scenario = scenarioOf(`{ kernel: { image: ${file} }, machine: { memoryPerNode: 256MiB } }`);
    const message =
      /test\.yaml: machine\.memoryPerNode: 256MiB is too small: kernel\.image takes 320MiB.*machine\.nodes 4/;
    expect(() => buildSpec(scenario, 1)).toThrowError(message);
  });

  it('leaves its page size open: 4 KiB is assumed, and said', () => {
    const file = altered('open.Image', 0x18, image.header.flags & ~6);
    const { spec, notes } = buildSpec(scenarioOf(`kernel: { image: ${file} }`), 1);
    expect(spec.kernel.pageBytes).toBe(4096);
    expect(notes.join('\n')).toMatch(/leaves its page size open: 4 KiB assumed/);
  });

  it('has no text that could be found', () => {
    const bytes = new Uint8Array(2 ** 20);
    bytes.set(image.bytes.subarray(0, 64));
    new DataView(bytes.buffer).setUint32(0x3c, 0, true);
    new DataView(bytes.buffer).setUint32(0x10, bytes.length, true);
    const file = write('empty.Image', bytes);
    expect(() => buildSpec(scenarioOf(`kernel: { image: ${file} }`), 1)).toThrowError(
      /kernel\.image: .*empty\.Image: cannot be replicated/,
    );
  });
});

describe('eager population', () => {
  it('of MMIO that the pool cannot map is refused, naming the base', () => {
    const machine = 'nodes: 1, distances: [[10]], base: 0x400000000000';
    const stage2 = 'stage2: { granule: 16K, ipaBits: 48, population: eager }';
    expect(() => buildSpec(scenarioOf(`machine: { ${machine}, ${stage2} }`), 1)).toThrowError(
      /machine\.base: eager population maps all 64TiB below/,
    );
  });
});
