import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { InputError } from '@numalab/base';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { builtinScenarioIds, SCENARIO_FOLDER } from './catalogue.ts';
import { scenarioYaml } from './describe.ts';
import { scenarioLatencies } from './latencies.ts';
import { type LoadOptions, loadScenario, parseScenario } from './load.ts';
import { scenarioSchemaText } from './schema.ts';

const refused = (run: () => unknown): string => {
  try {
    run();
    return '';
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    return error.message;
  }
};

const problem = (text: string, options: LoadOptions = {}): string =>
  refused(() => parseScenario(text, options, 'x.yaml'));

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'numalab-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('a scenario that says nothing', () => {
  it('has the published defaults', () => {
    const { machine, kernel, replication, workload, checks, faults, hypervisor } = parseScenario('');
    expect(machine).toMatchObject({
      nodes: 4,
      coresPerNode: 4,
      memoryPerNode: 2 ** 31,
      base: 0x4000_0000,
      distances: 'kunpeng920',
      profile: 'kunpeng',
      stage2: { granule: '4K', ipaBits: 40, lpa2: false, population: 'lazy' },
      ecc: 'secded',
    });
    expect(kernel).toMatchObject({ image: 'builtin', map: null, kaslrOffset: 0 });
    expect(replication).toMatchObject({ strategy: 'stage2', protocol: 'ack', range: 'text+rodata' });
    expect(workload).toMatchObject({ durationPs: 2e9, duty: 0.05, probe: true });
    expect(hypervisor).toMatchObject({ node: 0, serialisation: 'central' });
    expect(checks.minEvidence).toBe(1);
    expect(faults).toEqual([]);
  });

  it('is the same with empty sections', () => {
    expect(parseScenario('machine:\nworkload:\nkernel:\n')).toEqual(parseScenario(''));
  });

  it('writes as fast as it can in live, and at 10k/s in sim', () => {
    expect(parseScenario('').kernel.writers[0]?.rate).toBe(10_000);
    expect(parseScenario('', { mode: 'live' }).kernel.writers[0]?.rate).toBe('max');
  });
});

describe('what depends on other keys', () => {
  it('is the IPA size: 40 bits or what the last PA needs', () => {
    const bits = (text: string): number => parseScenario(text).machine.stage2.ipaBits;
    expect(bits('machine: { nodes: 1, memoryPerNode: 1023GiB }')).toBe(40);
    expect(bits('machine: { nodes: 1, memoryPerNode: 1024GiB }')).toBe(41);
    expect(bits('machine: { nodes: 64, memoryPerNode: 512GiB }')).toBe(46);
    expect(bits('machine: { stage2: { ipaBits: 34 } }')).toBe(34);
    expect(problem('machine: { stage2: { ipaBits: 33 } }')).toMatch(
      /^x\.yaml:1: machine\.stage2\.ipaBits: 33 is too small: .*machine\.nodes 4 .*machine\.memoryPerNode 2GiB.* needs 34$/,
    );
  });

  it('is whether 52 bits are legal', () => {
    const stage2 = (text: string): string => problem(`machine: { stage2: { ${text} } }`);
    expect(stage2('granule: 64K, ipaBits: 52')).toBe('');
    expect(stage2('granule: 4K, ipaBits: 52, lpa2: true')).toBe('');
    expect(stage2('granule: 16K, ipaBits: 49, lpa2: true')).toBe('');
    expect(stage2('granule: 16K, ipaBits: 49')).toMatch(/lpa2: true$/);
    expect(stage2('granule: 64K, lpa2: true')).toMatch(/machine\.stage2\.lpa2: is for granules 4K and 16K/);
    expect(stage2('ipaBits: 53')).toMatch(/machine\.stage2\.ipaBits: must be at most 52, not 53/);
    expect(stage2('ipaBits: 31')).toMatch(/must be at least 32/);
    expect(problem('machine: { nodes: 128, memoryPerNode: 64TiB }')).toMatch(/machine\.memoryPerNode: .*52 bits of PA/);
  });

  it('is the profile, which follows the machine', () => {
    expect(parseScenario('machine: { distances: xeon2 }').machine.profile).toBe('xeon');
    expect(parseScenario('machine: { distances: [[10, 20], [20, 10]] }').machine.profile).toBe('generic');
    const mixed = parseScenario('machine: { distances: xeon2, profile: phytium }\ninterconnect: { profile: epyc }');
    expect(mixed.machine.caches.l2.ways).toBe(16);
    expect(scenarioLatencies(mixed).dramPs(0, 0)).toBe(113_000);
    expect(scenarioLatencies(mixed).cyclePs).toBe(455);
  });

  it('is the number of nodes, which follows the distances', () => {
    expect(parseScenario('machine: { distances: epyc-nps4 }').machine.nodes).toBe(8);
    expect(parseScenario('machine: { nodes: 128 }').machine.topology.distances).toHaveLength(128);
    expect(parseScenario('machine: { distances: [[10]] }').machine.nodes).toBe(1);
    expect(problem('machine: { nodes: 3, distances: [[10]] }')).toMatch(
      /machine\.nodes: is 3, but machine\.distances has 1/,
    );
  });

  it('is the bandwidth of links', () => {
    const of = (text: string): number => scenarioLatencies(parseScenario(text)).bytesPerNanosecond(0, 2);
    expect(of('')).toBe(30);
    expect(of('interconnect: { bandwidth: none }')).toBe(0);
    expect(of('interconnect: { bandwidth: 500MB/s }')).toBe(0.5);
  });

  it('is what only live can do', () => {
    expect(problem('interconnect: { profile: zero }')).toMatch(/interconnect\.profile: zero has links without latency/);
    expect(problem('interconnect: { profile: zero }', { mode: 'live' })).toBe('');
    expect(problem('interconnect: { latencyScale: 0 }')).toMatch(/interconnect\.latencyScale: is for live only/);
    expect(problem('interconnect: { latencyScale: 0 }', { mode: 'live' })).toBe('');
  });
});

describe('bad input', () => {
  it.each([
    ['colour: blue', 'x.yaml:1: colour: unknown key'],
    ['machine:\n  nodse: 4', 'x.yaml:2: machine.nodse: unknown key; did you mean nodes?'],
    ['machine:\n  granule: 4K', 'x.yaml:2: machine.granule: unknown key; did you mean machine.stage2.granule?'],
    ['machine:\n  coresPerNode: 4\n  nodes: 0', 'x.yaml:3: machine.nodes: must be at least 1, not 0'],
    ['machine: { nodes: -3 }', 'x.yaml:1: machine.nodes: must be at least 1, not -3'],
    ['machine: { nodes: 1000 }', 'x.yaml:1: machine.nodes: must be at most 128, not 1000'],
    ['machine: { nodes: 2.5 }', 'x.yaml:1: machine.nodes: must be a whole number, not 2.5'],
    ['machine: { nodes: four }', 'x.yaml:1: machine.nodes: must be a number, not "four"'],
    ['machine: 7', 'x.yaml:1: machine: must be a mapping, not 7'],
    ['machine: { caches: { fetchAhead: 1 } }', 'machine.caches.fetchAhead: must be 0 or 4, not 1'],
    ['machine: { stage2: { granule: 32K } }', 'must be 4K, 16K or 64K, not 32K'],
    ['machine: { memoryPerNode: 3GB }', 'machine.memoryPerNode: must be a size such as 512MiB or 64GiB, not "3GB"'],
    ['machine: { memoryPerNode: 65M, base: 0 }', 'machine.memoryPerNode: 68157440 bytes are no multiple of 2MiB'],
    ['machine: { distances: kunpeng921 }', 'no built-in machine and no such file; did you mean kunpeng920?'],
    ['machine: { distances: [[10, 20], [20]] }', 'x.yaml:1: machine.distances: row 1 has 1 entries'],
    ['machine: { distances: [[10, far], [20, 10]] }', 'machine.distances.0.1: must be a number, not "far"'],
    ['kernel:\n  writers:\n    - kind: ftrace\n    - kind: ftrase', 'x.yaml:4: kernel.writers.1.kind: must be '],
    ['kernel: { writers: [{ rate: max }] }', 'kernel.writers.0.kind: is missing'],
    ['kernel: { writers: [{ kind: ftrace, spread: true }] }', 'kernel.writers.0.spread: unknown key'],
    ['kernel: { writers: [{ kind: ftrace, sitse: 1 }] }', 'kernel.writers.0.sitse: unknown key; did you mean sites?'],
    ['kernel: { writers: [{ kind: ftrace, cpus: [16] }] }', 'kernel.writers.0.cpus.0: vCPU 16 is beyond the last'],
    [
      'kernel: { writers: [{ kind: synthetic, forms: [str_w, srt_x] }] }',
      'forms.1: no store form srt_x; did you mean str x?',
    ],
    ['kernel: { writers: [{ kind: synthetic, width: 8, forms: [str_w] }] }', 'str w stores 4 bytes, but width is 8'],
    ['kernel: { image: nowhere/Image }', 'x.yaml:1: kernel.image: '],
    ['kernel: { map: System.map }', 'kernel.map: the builtin image has symbols of its own'],
    ['workload: { duration: 5 }', 'workload.duration: must be a time with a unit'],
    ['workload: { duty: 1.5 }', 'workload.duty: must be at most 1, not 1.5'],
    ['workload: { duty: .nan }', 'workload.duty: must be a number, not "NaN"'],
    ['hypervisor: { node: 4 }', 'hypervisor.node: 4 is beyond the last of 4 nodes'],
    ['replication: { protocol: akc }', 'no built-in protocol akc; did you mean ack?'],
    [
      'machine: { memoryPerNode: 40TiB }\nreplication: { strategy: stage1 }',
      'replication.strategy: stage1 reaches 2^47 bytes',
    ],
    ['faults: [{ kind: drop }]', 'x.yaml:1: faults.0.kind: drop needs one of at, nth, probability, during'],
    ['faults: [{ kind: drop, nth: 1, probability: 0.1 }]', 'faults.0.probability: excludes nth'],
    ['faults: [{ kind: drop, nth: 1, target: 9 }]', 'faults.0.target: node 9 is beyond the last of 4'],
    ['faults: [{ kind: drop, nth: 1, target: 0>0 }]', 'faults.0.target: 0>0 is no link: both ends are the same'],
    ['faults: [{ kind: drop, nth: 1, target: up }]', 'faults.0.target: up is no node, nor hyp, nor *'],
    ['faults: [{ kind: drop, nth: 1, match: submits }]', 'no message submits; did you mean submit?'],
    ['faults: [{ kind: partition, target: 1, during: [2us, 1us] }]', 'faults.0.during: must end after it begins'],
    ['faults: [{ kind: drop, nth: 1, for: 2us }]', 'faults.0.for: drop lasts no time'],
    ['faults: [{ kind: drop, nth: 1, memory: lost }]', 'faults.0.memory: is for crash, not drop'],
    ['faults: [{ kind: earthquake }]', 'faults.0.kind: must be '],
    ['checks: { expect: [Z9] }', 'checks.expect.0: must be R1, '],
    ['[1, 2]', 'x.yaml: must be a mapping'],
    ['a: 1\na: 2', 'x.yaml:2: no valid YAML: Map keys must be unique'],
    ['machine: [', 'x.yaml:1: no valid YAML'],
    ['machine: {}\n---\nkernel: {}', 'holds several YAML documents'],
    ['machine: !!binary aGVsbG8=', 'no valid YAML: Unresolved tag'],
    ['machine: a\u0000b', 'x.yaml:1: is not a text file (control character 0)'],
    ['[['.repeat(200_000), 'is nested too deeply'],
    ['a: &a [*a]', 'contains itself through an alias'],
    ['__proto__: { nodes: 3 }', '__proto__: unknown key'],
    [`a: "${'x'.repeat(2 ** 20)}"`, 'a scenario has at most 1 MiB'],
  ])('%.60j is refused', (text, message) => {
    const found = problem(text);
    expect(found).toContain(message);
    expect(found.startsWith('x.yaml')).toBe(true);
    expect(found).not.toContain('\n');
  });

  it('is an alias bomb', () => {
    const lines = ['a: &a [x, x, x, x, x, x, x, x, x]'];
    for (const [before, name] of ['ab', 'bc', 'cd', 'de', 'ef'].map((pair) => [pair[0], pair[1]])) {
      lines.push(`${name}: &${name} [${new Array(9).fill(`*${before}`).join(', ')}]`);
    }
    expect(problem(lines.join('\n'))).toBe('x.yaml: has too many aliases');
  });

  it('is bytes that are no text', () => {
    const file = join(folder, 'binary.yaml');
    writeFileSync(file, Uint8Array.of(0x6d, 0xff, 0xfe, 0x00));
    expect(refused(() => loadScenario(file))).toBe(`${file}: is not a text file (no UTF-8)`);
  });

  it('is a missing file, a folder, and a name near a built-in one', () => {
    expect(refused(() => loadScenario(join(folder, 'none.yaml')))).toContain('no such file');
    expect(refused(() => loadScenario(folder))).toBe(`${folder}: is not a regular file`);
    expect(refused(() => loadScenario('defualt'))).toMatch(/^defualt: no such file.*; did you mean default\?$/);
  });

  it('never breaks the reader, whatever the YAML', () => {
    const key = fc.constantFrom('machine', 'nodes', 'kernel', 'writers', 'kind', 'faults', 'stage2', 'distances', 'x');
    const value = fc.letrec((tie) => ({
      any: fc.oneof(
        { maxDepth: 4 },
        fc.constantFrom(null, true, 0, -1, 1.5, 1e300, '', '4K', 'max', 'ftrace', 'kunpeng920'),
        fc.array(tie('any'), { maxLength: 3 }),
        fc.dictionary(key, tie('any'), { maxKeys: 4 }),
      ),
    }));
    fc.assert(
      fc.property(value.any, (data) => {
        const message = problem(JSON.stringify(data), { checkFiles: false });
        expect(message === '' || message.startsWith('x.yaml')).toBe(true);
      }),
      { numRuns: 500 },
    );
  });
});

describe('options', () => {
  it('win over the file, the last of them over the others', () => {
    const { machine, workload, replication } = parseScenario('machine: { nodes: 2 }', {
      set: ['machine.nodes=3', 'machine.nodes=8', 'machine.stage2={granule: 64K}'],
      protocol: 'post',
      duration: '1us',
    });
    expect(machine.nodes).toBe(8);
    expect(machine.stage2.granule).toBe('64K');
    expect(replication.protocol).toBe('post');
    expect(workload.durationPs).toBe(1_000_000);
  });

  it('reach into lists', () => {
    const text = 'kernel: { writers: [{ kind: ftrace }] }';
    const { writers } = parseScenario(text, {
      set: ['kernel.writers.0.rate=5', 'kernel.writers.1.kind=kprobe'],
    }).kernel;
    expect(writers.map(({ kind, rate }) => [kind, rate])).toEqual([
      ['ftrace', 5],
      ['kprobe', 10_000],
    ]);
  });

  it('change one place, even if the file shares it through an alias', () => {
    const text = 'kernel: { writers: [&w { kind: ftrace }, *w] }';
    const { writers } = parseScenario(text, { set: ['kernel.writers.0.rate=5'] }).kernel;
    expect(writers.map(({ rate }) => rate)).toEqual([5, 10_000]);
  });

  it.each([
    ['machine.nodes=-1', '--set machine.nodes: must be at least 1, not -1'],
    ['machine.nodes', '--set machine.nodes: must be path=value'],
    ['=4', '--set : must be path=value'],
    ['machine..nodes=4', '--set machine..nodes: has an empty part'],
    ['machine.nodez=4', '--set machine.nodez: unknown key; did you mean nodes?'],
    ['machine.__proto__.x=4', '--set machine.__proto__.x: unknown key __proto__'],
    ['constructor.prototype.x=4', '--set constructor.prototype.x: unknown key constructor'],
    ['machine.nodes.x=4', '--set machine.nodes.x: machine.nodes has no keys of its own'],
    [
      'kernel.writers.5.kind=ftrace',
      '--set kernel.writers.5.kind: kernel.writers is a list; 5 is not one of its places',
    ],
    ['machine.nodes=[', '--set machine.nodes:1: no valid YAML'],
  ])('%s is refused', (set, message) => {
    expect(problem('machine: { nodes: 2 }\nkernel: { writers: [{ kind: ftrace }] }', { set: [set] })).toContain(
      message,
    );
    expect(({} as Record<string, unknown>).x).toBeUndefined();
  });
});

describe('paths', () => {
  it('are relative to the file, on the command line to the working directory', () => {
    mkdirSync(join(folder, 'sub'));
    writeFileSync(join(folder, 'sub', 'Image'), 'x');
    writeFileSync(join(folder, 'sub', 'near.txt'), '10 20\n20 10\n');
    const file = join(folder, 'sub', 's.yaml');
    writeFileSync(file, 'machine: { distances: near.txt }\nkernel: { image: Image }\n');
    const scenario = loadScenario(file);
    expect(scenario.kernel.image).toBe(join(folder, 'sub', 'Image'));
    expect(scenario.machine.topology.distances).toEqual([
      [10, 20],
      [20, 10],
    ]);
    const message = refused(() => loadScenario(file, { set: ['kernel.image=Image'] }));
    expect(message).toBe('--set kernel.image: Image: no such file');
  });

  it('of distances name the file that is wrong', () => {
    const slit = join(folder, 'slit.bin');
    writeFileSync(
      slit,
      Uint8Array.from({ length: 60 }, (_, index) => (index < 4 ? 'SLIT'.charCodeAt(index) : index * 7)),
    );
    expect(problem(`machine:\n  distances: ${slit}`)).toMatch(/^x\.yaml:2: machine\.distances: .*slit\.bin: length: /);
  });
});

describe('built-in scenarios', () => {
  /** `live` is the one that is not for virtual time. */
  const optionsFor = (id: string): LoadOptions => ({ checkFiles: false, mode: id === 'live' ? 'live' : 'sim' });

  it('are there, say how editors find the schema, and load', () => {
    const ids = builtinScenarioIds();
    const needed = [
      'default',
      'small',
      'debian-arm64',
      'epyc-nps4-8',
      'xeon8-glueless',
      'arm64-16node',
      'large-memory',
    ];
    expect(ids).toEqual(expect.arrayContaining(needed));
    for (const id of ids) {
      expect(loadScenario(id, optionsFor(id)).name).toBe(id);
      const [first] = readFileSync(join(SCENARIO_FOLDER, `${id}.yaml`), 'utf8').split('\n');
      expect(first).toBe('# yaml-language-server: $schema=./numalab.schema.json');
    }
    const small = loadScenario('small');
    const kinds = ['jump-label', 'ftrace', 'ftrace-literal', 'kprobe', 'alternatives', 'synthetic'];
    expect(small.kernel.writers.map(({ kind }) => kind)).toEqual(expect.arrayContaining(kinds));
    expect([small.machine.nodes, small.machine.coresPerNode]).toEqual([2, 2]);
  });

  it('printed with all defaults are the same scenarios', () => {
    for (const id of builtinScenarioIds()) {
      const scenario = loadScenario(id, optionsFor(id));
      const again = parseScenario(scenarioYaml(scenario), optionsFor(id));
      expect({ ...again, name: id, file: scenario.file }).toEqual(scenario);
    }
  });

  it('have a published schema that is current (run write-schema.ts if not)', () => {
    expect(readFileSync(join(SCENARIO_FOLDER, 'numalab.schema.json'), 'utf8')).toBe(scenarioSchemaText());
  });
});

describe('the published schema', () => {
  /** Every property, with the path that leads to it. */
  const properties = (schema: Record<string, unknown>, path: string): [string, Record<string, unknown>][] =>
    Object.entries((schema.properties ?? {}) as Record<string, Record<string, unknown>>).flatMap(([key, child]) => [
      [`${path}${key}`, child] as [string, Record<string, unknown>],
      ...properties(child, `${path}${key}.`),
    ]);

  it('describes every key', () => {
    const all = properties(JSON.parse(scenarioSchemaText()), '');
    expect(all.length).toBeGreaterThan(40);
    for (const [path, schema] of all) expect([path, typeof schema.description]).toEqual([path, 'string']);
  });
});
