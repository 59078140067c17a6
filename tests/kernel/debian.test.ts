import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { deflateRawSync, gunzipSync, gzipSync, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import {
  type KernelImage,
  readKernelImage,
  replicatedRanges,
  SITE_KIND_NAMES,
  siteKinds,
  summariseKernel,
} from '@numalab/kernel';
import { beforeAll, describe, expect, it } from 'vitest';

/**
 * Reads the real kernel whose facts lie in data/ and compares every table and count. It cannot be committed:
 * scripts/fetch-debian-kernel.sh puts it into kernels/. Where it is missing the suite is skipped and says so.
 */

const RELEASE = '6.1.0-50-cloud-arm64';
const FILE = new URL(`../../kernels/debian-${RELEASE}.Image`, import.meta.url);
const isThere = existsSync(FILE);
if (!isThere) {
  console.warn(`skipped: kernels/debian-${RELEASE}.Image is missing (scripts/fetch-debian-kernel.sh downloads it)`);
}

const dataFile = (name: string): URL => new URL(name, import.meta.url);

/** Rows of a gzipped CSV file, without the header. */
const rows = (name: string): string[][] =>
  gunzipSync(readFileSync(dataFile(name)))
    .toString('latin1')
    .trimEnd()
    .split('\n')
    .slice(1)
    .map((line) => line.split(','));

interface Layout {
  image_sha256: string;
  image_file_bytes: number;
  header: { text_offset: number; image_size: number; flags: number };
  link_va_of_text: string;
  regions: Record<string, number>;
  sizes: Record<string, number>;
  counts: {
    jump_entries: number;
    jump_initial: { nop: number; b: number };
    jump_where: Record<string, number>;
    jump_keys: number;
    alt_entries: number;
    alt_where: Record<string, number>;
    alt_patchable_words: number;
    alt_callbacks: number;
    alt_lengths: Record<string, number>;
    alt_by_capability: Record<string, number>;
    mcount_entries: number;
    mcount_first_words: Record<string, number>;
    mcount_vs_symbol: Record<string, number>;
  };
  kallsyms: { num_syms: number; file_offsets: Record<string, string>; first_symbol: string; last_symbol: string };
  rela_relative_entries: number;
  scan_without_symbols: Record<string, { offset: number; entries: number }>;
}

const layout = JSON.parse(readFileSync(dataFile('data/kernel-layout.json'), 'utf8')) as Layout;
const decompress = {
  gzip: (data: Uint8Array): Uint8Array => gunzipSync(data),
  zstd: (data: Uint8Array): Uint8Array => zstdDecompressSync(data),
};
const read = (bytes: Uint8Array, ignoreSymbols = false): KernelImage =>
  readKernelImage(bytes, { name: 'debian', decompress, ignoreSymbols });

/** How often each value occurs. */
const tally = (values: Iterable<string>): Record<string, number> => {
  const counts: Record<string, number> = {};
  for (const value of values) counts[value] = (counts[value] ?? 0) + 1;
  return counts;
};

const hex = (value: number): string => value.toString(16);

describe.skipIf(!isThere)(`Debian's ${RELEASE}`, () => {
  let file: Uint8Array;
  let image: KernelImage;
  /** The name of the part that an offset lies in. */
  const where = (offset: number): string => {
    const r = layout.regions;
    if (offset >= r._stext! && offset < r._etext!) return 'text';
    if (offset >= r._sinittext! && offset < r._einittext!) return 'init.text';
    return offset >= r.__exittext_begin! && offset < r.__exittext_end! ? 'exit.text' : 'other';
  };

  beforeAll(() => {
    file = new Uint8Array(readFileSync(FILE));
    image = read(file);
  });

  it('is the kernel that the facts were measured on', () => {
    expect(createHash('sha256').update(file).digest('hex')).toBe(layout.image_sha256);
    expect(file.length).toBe(layout.image_file_bytes);
  });

  it('has its header, version and link address', () => {
    expect(image).toMatchObject({
      format: 'raw',
      version: RELEASE,
      pageSize: 4096,
      imageSize: layout.header.image_size,
    });
    expect(image.header).toMatchObject({ textOffset: layout.header.text_offset, flags: layout.header.flags });
    expect((0xfff0_0000_0000_0000n + BigInt(image.linkVa!)).toString(16)).toBe(layout.link_va_of_text.slice(2));
  });

  it('has its kallsyms, and their tables where vmlinux has them', () => {
    const at = Object.fromEntries(Object.entries(layout.kallsyms.file_offsets).map(([k, v]) => [k, Number(v)]));
    expect(image.kallsyms).toEqual({
      layout: '6.1',
      count: layout.kallsyms.num_syms,
      names: at.names,
      markers: at.markers,
      tokenTable: at.token_table,
      tokenIndex: at.token_index,
      offsets: at.offsets,
      relativeBase: at.relative_base,
      end: at.token_index! + 512,
    });
    expect(image.symbols.count).toBe(layout.kallsyms.num_syms);
    expect(image.symbols.names[0]).toBe(layout.kallsyms.first_symbol);
    expect(image.symbols.names.at(-1)).toBe(layout.kallsyms.last_symbol);
  });

  it('has every symbol that it keeps at its place', () => {
    const found = Object.keys(layout.regions).filter((name) => image.symbols.find(name) >= 0);
    expect(found.length).toBeGreaterThan(25);
    for (const name of found) expect([name, image.symbols.find(name)]).toEqual([name, layout.regions[name]]);
  });

  it('has its regions, or null and a reason', () => {
    const r = layout.regions;
    expect(image.regions).toEqual({
      text: { start: r._stext, end: r._etext },
      rodata: null,
      hypText: { start: r.__hyp_text_start, end: r.__hyp_text_end },
      roAfterInit: null,
      init: { start: r.__init_begin, end: r.__init_end },
      data: { start: r._sdata, end: r._edata },
      bss: null,
    });
    expect(Object.keys(image.unknown)).toEqual(['regions.rodata', 'regions.roAfterInit', 'regions.bss']);
    expect(image.el2Text).toEqual({ start: r.__hyp_idmap_text_start, end: r.__hyp_text_end });
    // It must lie before what boot writes, and it is the start of the page in which kallsyms end.
    expect(image.constantRodataEnd).toBe(0xdf_7000);
    expect(image.constantRodataEnd).toBeLessThan(r.__start_ro_after_init!);
  });

  it.each([false, true])('has its jump table (symbols ignored: %s)', (ignoreSymbols) => {
    const { jumpEntries: j, words } = ignoreSymbols ? read(file, true) : image;
    const { jump_initial, jump_keys, jump_where } = layout.counts;
    expect({ offset: j.table, entries: j.count }).toEqual(layout.scan_without_symbols.jump_table);
    const found = Array.from(j.code, (code, i) =>
      [hex(code), hex(j.target[i]!), hex(j.key[i]!), String(j.flags[i]), hex(words[code / 4]!)].join(),
    );
    expect(found).toEqual(rows('data/jump-entries.csv.gz').map((row) => row.join()));
    expect(tally(Array.from(j.code, where))).toEqual(jump_where);
    expect(new Set(j.key).size).toBe(jump_keys);
    expect(tally(Array.from(j.code, (code) => (words[code / 4] === 0xd503_201f ? 'nop' : 'b')))).toEqual(jump_initial);
  });

  it.each([false, true])('has its alternatives (symbols ignored: %s)', (ignoreSymbols) => {
    const a = (ignoreSymbols ? read(file, true) : image).alternatives;
    const { counts } = layout;
    expect({ offset: a.table, entries: a.count }).toEqual(layout.scan_without_symbols.alt_instructions);
    const found = Array.from(a.orig, (orig, i) =>
      [
        hex(orig),
        hex(a.replacement[i]!),
        a.capability[i],
        a.callback[i],
        a.origLength[i],
        a.replacementLength[i],
      ].join(),
    );
    expect(found).toEqual(rows('data/alt-entries.csv.gz').map((row) => row.join()));
    expect(tally(Array.from(a.orig, where))).toEqual(counts.alt_where);
    expect(a.origLength.reduce((sum, length) => sum + length / 4, 0)).toBe(counts.alt_patchable_words);
    expect(a.callback.reduce((sum, callback) => sum + callback, 0)).toBe(counts.alt_callbacks);
    const lengths = Array.from(a.origLength, (length, i) => `${length}->${a.replacementLength[i]}`);
    expect(tally(lengths)).toEqual(counts.alt_lengths);
    const capabilities = Array.from(a.capability, (cap, i) => `${cap}${a.callback[i] === 1 ? '+cb' : ''}`);
    expect(tally(capabilities)).toEqual(counts.alt_by_capability);
  });

  it.each([false, true])('has its ftrace sites (symbols ignored: %s)', (ignoreSymbols) => {
    const { ftrace, ftraceSites, words, relocations } = ignoreSymbols ? read(file, true) : image;
    expect({ offset: ftrace.table, entries: ftrace.slots }).toEqual(layout.scan_without_symbols.mcount_loc);
    expect(ftrace.emptySlots).toBe(0);
    expect(ftrace.literals.length).toBe(0);
    expect(Array.from(ftraceSites, hex)).toEqual(rows('data/mcount-sites.csv.gz').map((row) => row[0]));
    const firstWords = Array.from(ftraceSites, (s) => `${where(s)}:${hex(words[s / 4]!)} ${hex(words[s / 4 + 1]!)}`);
    expect(tally(firstWords)).toEqual(layout.counts.mcount_first_words);
    expect(relocations.rela).toBe(layout.rela_relative_entries);
  });

  it('explains every word that boot changes by the table that the facts name', () => {
    const kinds = siteKinds(image);
    const misses = rows('data/boot-patches.csv.gz').filter(([offset, old, , table]) => {
      const index = Number.parseInt(offset!, 16) / 4;
      return image.words[index] !== Number.parseInt(old!, 16) || SITE_KIND_NAMES[kinds[index]!] !== table;
    });
    expect(misses).toEqual([]);
  });

  it('has 446 rows of the recorded boot in the holes of its replicated range at 4K, and no row outside of it', () => {
    const ranges = replicatedRanges(image, 4096, 'text+rodata');
    const kindAt = (offset: number): string =>
      ranges.find((range) => offset >= range.start && offset < range.end)?.kind ?? 'outside';
    const trace = rows('../../scenarios/data/text-pokes-ordered.csv.gz');
    expect(trace.length).toBe(57_328);
    expect(tally(trace.map((row) => kindAt(Number.parseInt(row[3]!, 16))))).toEqual({ replica: 56_882, hole: 446 });
  });

  it('replicates text without EL2 text, and rodata up to the end of kallsyms', () => {
    const r = layout.regions;
    expect(summariseKernel(image).replicated['4K']!.map(({ start, end }) => [start, end])).toEqual([
      [r._stext, r.__hyp_idmap_text_start],
      [r.__hyp_text_end, 0xdf_7000],
    ]);
    expect(replicatedRanges(image, 65536, 'text+rodata').map(({ start, end, kind }) => [start, end, kind])).toEqual([
      [0x1_0000, 0xbb_0000, 'replica'],
      [0xbb_0000, 0xbd_0000, 'shared'],
      [0xbd_0000, 0xdf_0000, 'replica'],
    ]);
  });

  it('lists functions that lie in kernel text and begin with an instruction', () => {
    const { functions, el2Text } = image;
    expect(functions.length).toBeGreaterThan(40_000);
    for (const start of functions) {
      if (where(start) !== 'text' || (start >= el2Text!.start && start < el2Text!.end)) expect.fail(hex(start));
    }
  });

  it('is read in less than two seconds', () => {
    const began = performance.now();
    read(file);
    expect(performance.now() - began).toBeLessThan(2000);
  });

  it('is the same kernel when packed with gzip, or as EFI zboot with gzip or zstd', () => {
    const zboot = (method: string, payload: Uint8Array): Uint8Array => {
      const packed = Buffer.alloc(0x400 + payload.length);
      packed.write('MZ\0\0zimg', 0, 'latin1');
      packed.writeUInt32LE(0x400, 8);
      packed.writeUInt32LE(payload.length, 12);
      packed.write(method, 0x18, 'latin1');
      packed.set(payload, 0x400);
      return packed;
    };
    const gzip = gzipSync(file, { level: 1 });
    for (const [format, packed] of [
      ['gzip', gzip],
      ['zboot', zboot('gzip', gzip)],
      ['zboot', zboot('zstd22', zstdCompressSync(file))],
    ] as const) {
      const summary = summariseKernel(read(packed));
      expect(summary).toEqual({ ...summariseKernel(image), format });
    }
    expect(() => read(gzip.subarray(0, 1_000_000))).toThrow(/^debian: truncated or corrupt gzip data: /);
    expect(() => read(deflateRawSync(file, { level: 1 }))).toThrow(/^debian: is not an arm64 kernel/);
  });

  it('is refused when bytes are missing at its end', () => {
    expect(() => read(file.subarray(0, file.length - 1))).toThrow(/^debian: truncated: 27234815 bytes/);
    expect(() => read(file.subarray(0, 1 << 20))).toThrow(/^debian: truncated: 1048576 bytes/);
  });
});
