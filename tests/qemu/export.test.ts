/**
 * The tables that `export-tables` writes, loaded into QEMU's EL2, against the answers of `translate`: no difference is
 * acceptable. The IPAs are those where something can be wrong: both ends of every entry of every table, all of RAM, the
 * replicated range page by page, MMIO, and everything beyond the IPA size.
 */
import { spawn } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Random } from '@numalab/base';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type EntryVisitor, forEachEntry, PS_BITS } from './exported-entries.ts';
import {
  type Answer,
  type ExportedTables,
  type FaultKind,
  qemuSkipReason,
  readExportedTables,
  type TableImage,
  type TranslationRequest,
  translateInQemu,
} from './rig.ts';

const skipReason = qemuSkipReason();
if (skipReason !== null) console.warn(`tests/qemu skipped: ${skipReason}`);

const CLI = fileURLToPath(new URL('../../packages/coordinator/src/cli.ts', import.meta.url));
const BASE = 0x4000_0000;
const GIB = 2 ** 30;
/** At most this many entries are probed; a seeded choice if there are more. */
const ENTRY_LIMIT = 4000;

interface Combination {
  readonly name: string;
  readonly granule: '4K' | '16K' | '64K';
  readonly ipaBits: number;
  readonly lpa2?: boolean;
  readonly population: 'lazy' | 'eager';
  readonly node: number;
  /** Size of a node's memory in GiB, 2 if left out. */
  readonly nodeGiB?: number;
  readonly atEnd?: boolean;
}

const FORMATS = [
  ['4K', 40],
  ['4K', 44],
  ['4K', 48],
  ['16K', 40],
  ['16K', 48],
  ['64K', 48],
  ['64K', 52],
  ['4K', 52],
] as const;

const COMBINATIONS: readonly Combination[] = [
  ...FORMATS.flatMap(([granule, ipaBits], i) =>
    (['lazy', 'eager'] as const).map((population, j): Combination => {
      const lpa2 = granule === '4K' && ipaBits === 52;
      // Every node gets its turn; node 0 holds the primary and so has other tables than the rest.
      const node = (i + j) % 4;
      const name = `${granule}${lpa2 ? ' LPA2' : ''} with ${ipaBits} IPA bits, ${population}, node ${node}`;
      return { name, granule, ipaBits, lpa2, population, node };
    }),
  ),
  { name: '4K, 256 GiB a node, eager, node 3', granule: '4K', ipaBits: 44, population: 'eager', node: 3, nodeGiB: 256 },
  { name: '4K at the end of a run, node 1', granule: '4K', ipaBits: 40, population: 'lazy', node: 1, atEnd: true },
];

const options = (combination: Combination): string[] => {
  const { granule, ipaBits, lpa2 = false, population, node, nodeGiB = 2, atEnd = false } = combination;
  const set = [
    `machine.stage2.granule=${granule}`,
    `machine.stage2.ipaBits=${ipaBits}`,
    `machine.stage2.lpa2=${lpa2}`,
    `machine.stage2.population=${population}`,
    `machine.memoryPerNode=${nodeGiB}GiB`,
  ];
  return [
    'default',
    '--node',
    `${node}`,
    ...(atEnd ? ['--at', 'end', '--duration', '100us'] : []),
    ...set.flatMap((value) => ['--set', value]),
  ];
};

const ramBytes = ({ nodeGiB = 2 }: Combination): number => 4 * nodeGiB * GIB;

const numalab = (args: readonly string[], input = ''): Promise<string> =>
  new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [CLI, ...args], { stdio: ['pipe', 'pipe', 'pipe'] });
    let [out, err] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (chunk) => (out += chunk));
    child.stderr.setEncoding('utf8').on('data', (chunk) => (err += chunk));
    child.on('error', reject);
    child.on('close', (code) => {
      if (code === 0) resolve(out);
      else reject(new Error(`numalab ${args.join(' ')} ended with ${code}: ${err.trim()}`));
    });
    child.stdin.on('error', () => {}).end(input);
  });

/** A line of `translate`. */
interface TranslateLine {
  readonly ipa: string;
  readonly access: 'read' | 'write';
  readonly pa?: string;
  readonly fault?: FaultKind;
  readonly level?: number;
}

/** The answers of `translate` for `ipas`, one per IPA, checked line by line for belonging to its question. */
const translateByCli = async (
  combination: Combination,
  ipas: readonly number[],
  access: 'read' | 'write',
): Promise<Answer[]> => {
  const input = ipas.map((ipa) => `0x${ipa.toString(16)}\n`).join('');
  const output = await numalab(['translate', ...options(combination), '--access', access], input);
  const lines = output.trimEnd().split('\n');
  expect(lines.length).toBe(ipas.length);
  return lines.map((text, i) => {
    const line = JSON.parse(text) as TranslateLine;
    if (Number(line.ipa) !== ipas[i] || line.access !== access) throw new Error(`line ${i + 1} does not fit: ${text}`);
    if (line.pa !== undefined) return { pa: Number(line.pa) };
    return { fault: line.fault!, level: line.level! };
  });
};

/** First and last byte of every entry, or of a seeded choice of them; entries above the last level always. */
const entryProbes = (json: ExportedTables, image: TableImage, random: Random): number[] => {
  const wanted: number[] = [];
  const pages: number[] = [];
  const visit: EntryVisitor = ({ ipa, bytes, level, descriptor }) => {
    // Runs of empty entries are probed at their ends only, through their neighbours' ends plus and minus one byte.
    if (descriptor === 0n) return;
    const target = level === 3 ? pages : wanted;
    if (!(level < 3 && (descriptor & 3n) === 3n)) target.push(ipa, ipa + bytes - 1);
    target.push(Math.max(0, ipa - 1), ipa + bytes);
  };
  forEachEntry(json, image, visit);
  const room = ENTRY_LIMIT;
  const chosen = pages.length <= room ? pages : Array.from({ length: room }, () => pages[random.below(pages.length)]!);
  const rest =
    wanted.length <= room ? wanted : Array.from({ length: room }, () => wanted[random.below(wanted.length)]!);
  return [...rest, ...chosen];
};

const probesFor = (combination: Combination, json: ExportedTables, image: TableImage): number[] => {
  const random = new Random(1, combination.name);
  const ram = ramBytes(combination);
  const below = (bound: number): number => Math.floor((random.next() / 2 ** 32) * bound);
  const many = (count: number, make: (i: number) => number): number[] =>
    Array.from({ length: count }, (_, i) => make(i));
  const limit = 2 ** combination.ipaBits;
  const probes = [
    ...entryProbes(json, image, random),
    // The start of RAM page by page: the kernel image, its holes, and the edges of what is replicated.
    ...many(2048, (i) => BASE + i * 4096 + (random.next() % 4096)),
    ...many(1500, () => BASE + below(ram)),
    ...many(400, () => below(BASE)),
    ...[0, BASE - 1, BASE, BASE + ram - 1, BASE + ram],
    ...many(300, () => BASE + ram + below(limit - BASE - ram)),
    ...many(200, () => below(limit)),
    ...many(100, () => limit + below(2 ** 52 - limit)),
    ...[limit - 1, limit, limit + BASE, 2 ** 52 - 1],
    ...many(52, (bit) => 2 ** bit),
  ];
  return [...new Set(probes)].filter((ipa) => ipa >= 0 && ipa < 2 ** 52);
};

interface Outcome {
  readonly json: ExportedTables;
  readonly image: TableImage;
  readonly ipas: readonly number[];
  readonly read: readonly Answer[];
  readonly write: readonly Answer[];
  readonly mismatches: readonly string[];
}

const text = (answer: Answer): string =>
  'pa' in answer ? `0x${answer.pa.toString(16)}` : `${answer.fault} fault, level ${answer.level}`;

const compare = (
  ipas: readonly number[],
  access: 'read' | 'write',
  numalabSays: readonly Answer[],
  qemuSays: readonly Answer[],
): string[] =>
  ipas.flatMap((ipa, i) => {
    const [ours, theirs] = [text(numalabSays[i]!), text(qemuSays[i]!)];
    return ours === theirs ? [] : [`${access} 0x${ipa.toString(16)}: translate says ${ours}, QEMU says ${theirs}`];
  });

const requestsOf = (ipas: readonly number[]): TranslationRequest[] => [
  ...ipas.map((ipa) => ({ ipa, access: 'read' }) as const),
  ...ipas.map((ipa) => ({ ipa, access: 'write' }) as const),
];

describe.skipIf(skipReason !== null)('exported tables in QEMU', () => {
  let scratch = '';
  beforeAll(async () => {
    scratch = await mkdtemp(join(tmpdir(), 'numalab-export-'));
  });
  afterAll(() => rm(scratch, { recursive: true, force: true }));

  const exportTo = async (combination: Combination, name: string): Promise<string> => {
    const out = join(scratch, name);
    await numalab(['export-tables', ...options(combination), '--out', out]);
    return out;
  };

  const runCombination = async (combination: Combination): Promise<Outcome> => {
    const directory = await exportTo(combination, `${COMBINATIONS.indexOf(combination)}`);
    const { json, image } = await readExportedTables(directory);
    const ipas = probesFor(combination, json, image);
    const [read, write, qemu] = await Promise.all([
      translateByCli(combination, ipas, 'read'),
      translateByCli(combination, ipas, 'write'),
      translateInQemu(directory, requestsOf(ipas)),
    ]);
    const mismatches = [
      ...compare(ipas, 'read', read, qemu.slice(0, ipas.length)),
      ...compare(ipas, 'write', write, qemu.slice(ipas.length)),
    ];
    return { json, image, ipas, read, write, mismatches };
  };

  /** The agreement must not be that of empty tables: each kind of memory has to be there, and to behave as its kind. */
  const expectMeaning = (combination: Combination, { json, image, ipas, read, write }: Outcome): void => {
    expect(json).toMatchObject({ granule: combination.granule, ipaBits: combination.ipaBits });
    expect(json.lpa2).toBe(combination.lpa2 ?? false);
    expect(PS_BITS[Number((image.vtcr >> 16n) & 7n)]).toBeGreaterThanOrEqual(combination.ipaBits);
    expect(image.vttbr >> 48n, 'VMID').toBe(0n);
    expect(image.vttbr & 1n, 'CnP').toBe(0n);
    const count = (test: (i: number) => boolean): number => ipas.filter((_, i) => test(i)).length;
    const reads = (i: number): boolean => 'pa' in read[i]!;
    const identity = (i: number): boolean => (read[i] as { pa?: number }).pa === ipas[i];
    const fault = (answer: Answer): string => ('fault' in answer ? answer.fault : '');
    const readOnly = (i: number): boolean => reads(i) && fault(write[i]!) === 'permission';
    expect(count(readOnly), 'read-only replicated addresses').toBeGreaterThan(10);
    const elsewhere = count((i) => reads(i) && !identity(i));
    if (combination.node === 0) expect(elsewhere, 'node 0 has the primary').toBe(0);
    else expect(elsewhere, 'addresses that lead to the replica').toBeGreaterThan(10);
    ipas.forEach((ipa, i) => {
      if (reads(i) && !identity(i)) expect(readOnly(i), `replica writable at 0x${ipa.toString(16)}`).toBe(true);
      if (ipa >= 2 ** combination.ipaBits) expect(read[i]).toEqual({ fault: 'translation', level: 0 });
    });
    const mmio = count((i) => ipas[i]! < BASE && identity(i) && 'pa' in write[i]!);
    const plainRam = count((i) => ipas[i]! >= BASE && identity(i) && 'pa' in write[i]!);
    if (combination.population === 'eager') {
      expect(mmio, 'MMIO').toBeGreaterThan(300);
      expect(plainRam, 'plain RAM').toBeGreaterThan(700);
      const inRam = (ipa: number): boolean => ipa >= BASE && ipa < BASE + ramBytes(combination);
      const owned = count((i) => inRam(ipas[i]!) && !reads(i));
      expect(owned, 'pools, replicas and holes').toBeGreaterThan(3);
    } else if (combination.atEnd !== true) {
      expect(mmio, 'MMIO before its first use').toBe(0);
      expect(plainRam, 'RAM before its first use').toBe(0);
    }
  };

  it.for(COMBINATIONS.map((combination) => [combination.name, combination] as const))(
    'translate as `translate` says: %s',
    async ([, combination]) => {
      const outcome = await runCombination(combination);
      expect(outcome.ipas.length).toBeGreaterThan(3000);
      expect(outcome.mismatches.length, outcome.mismatches.slice(0, 20).join('\n')).toBe(0);
      expectMeaning(combination, outcome);
    },
  );

  it('are the same bytes when exported twice', async () => {
    const [first, second] = await Promise.all(['a', 'b'].map((name) => exportTo(COMBINATIONS[0]!, name)));
    const { json } = await readExportedTables(first!);
    for (const file of ['stage2.json', ...json.segments.map((segment) => segment.file)]) {
      expect((await readFile(join(first!, file))).equals(await readFile(join(second!, file))), file).toBe(true);
    }
  });

  it('are seen to differ once a bit of one leaf is flipped', async () => {
    const combination = COMBINATIONS[1]!;
    const directory = await exportTo(combination, 'intact');
    const { json, image } = await readExportedTables(directory);
    let leaf: Parameters<EntryVisitor>[0] | undefined;
    forEachEntry(json, image, (entry) => {
      if (entry.level === 2 && (entry.descriptor & 3n) === 1n) leaf ??= entry;
    });
    const { ipa, segment, offset, descriptor } = leaf!;
    const damaged = join(scratch, 'damaged');
    await cp(directory, damaged, { recursive: true });
    const file = join(damaged, json.segments[segment]!.file);
    const bytes = await readFile(file);
    bytes.writeBigUInt64LE(descriptor ^ (1n << 30n), offset);
    await writeFile(file, bytes);
    const requests = requestsOf([ipa]);
    const [before, after] = await Promise.all([
      translateInQemu(directory, requests),
      translateInQemu(damaged, requests),
    ]);
    expect(await translateByCli(combination, [ipa], 'read')).toEqual(before.slice(0, 1));
    expect(after[0]).not.toEqual(before[0]);
  });
});
