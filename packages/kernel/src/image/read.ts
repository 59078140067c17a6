import { InputError, toVa, type Va } from '@numalab/base';
import { asciiBytes, asWords, indexOfBytes, stringAt } from './bytes.ts';
import { type Decompressors, type UnpackedKernel, unpackKernel } from './container.ts';
import { findFunctions } from './functions.ts';
import { hasImageMagic, readHeader, trimImage } from './header.ts';
import { findKallsyms, type RawKallsyms } from './kallsyms.ts';
import type { ImageHeader, KernelImage, Relocations, Span } from './kernel-image.ts';
import { findRegions, spanBetween } from './regions.ts';
import {
  baseFromPointers,
  baseFromRela,
  findRela,
  type RelaTable,
  readRelocations,
  relaAddend,
} from './relocations.ts';
import { NO_SYMBOLS, SymbolTable } from './symbol-table.ts';
import { checkMapMatches, type LinkBase, readSystemMap } from './system-map.ts';
import {
  NO_ALTERNATIVES,
  NO_FTRACE,
  NO_JUMP_ENTRIES,
  readAlternatives,
  readFtraceSites,
  readJumpEntries,
} from './tables.ts';

/** What {@link readKernelImage} needs besides the bytes. */
export interface ReadOptions {
  /** The file's name, which messages begin with. */
  readonly name: string;
  /** What can unpack gzip and zboot kernels. */
  readonly decompress: Decompressors;
  /** Text of the System.map of this build; its symbols then replace all others. */
  readonly map?: string;
  /** Name of that file, for messages; `System.map` if left out. */
  readonly mapName?: string;
  /** Ignore the ELF symbol table and kallsyms, so that everything is found by validation scans. For tests. */
  readonly ignoreSymbols?: boolean;
}

/** The state of reading: what is found step by step. */
interface Reading {
  readonly unpacked: UnpackedKernel;
  readonly bytes: Uint8Array;
  readonly words: Uint32Array;
  readonly header: ImageHeader;
  readonly imageSize: number;
  readonly rela: RelaTable | null;
  readonly relaBase: LinkBase | null;
  readonly unknown: Record<string, string>;
}

const VA_TOP = 0xffff_0000;
const LINK_ALIGNMENT = 0x20_0000;

const begin = (file: Uint8Array, options: ReadOptions): Reading => {
  const unpacked = unpackKernel(file, options.decompress, options.name);
  if (!hasImageMagic(unpacked.bytes)) {
    throw new InputError(options.name, 'is an arm64 ELF file but no kernel: no Image header at its lowest address');
  }
  const header = readHeader(unpacked.bytes, options.name);
  const trimmed = unpacked.elf === null ? trimImage(unpacked.bytes, header, options.name) : unpacked.bytes;
  const { bytes, words } = asWords(trimmed);
  const imageSize = Math.max(header.imageSize, bytes.length);
  const rela = findRela(words);
  const relaBase = rela === null ? null : baseFromRela(words, rela, imageSize, header.textOffset);
  return { unpacked, bytes, words, header, imageSize, rela, relaBase, unknown: {} };
};

/** The VA that a slot of 8 bytes holds, or is relocated to; null if that is no kernel VA. */
const pointerAt = (reading: Reading, slot: number): LinkBase | null => {
  const { words, rela, relaBase } = reading;
  if (slot < 0 || slot % 8 !== 0 || slot / 4 + 1 >= words.length) return null;
  const stored: LinkBase = { lo: words[slot / 4]!, hi: words[slot / 4 + 1]! };
  if (stored.hi >= VA_TOP) return stored;
  if ((stored.lo | stored.hi) !== 0 || rela === null || relaBase === null) return null;
  const addend = relaAddend(words, rela, relaBase, slot);
  return addend !== null && addend.hi >= VA_TOP ? addend : null;
};

/** VA - base in bytes. */
const minus = (va: LinkBase, base: LinkBase): number => (va.hi - base.hi) * 0x1_0000_0000 + (va.lo - base.lo);

/** kallsyms as a table of offsets from `_text`, and the link VA that they imply if nothing else tells it. */
const placeKallsyms = (
  reading: Reading,
  raw: RawKallsyms,
  known: LinkBase | null,
): { symbols: SymbolTable; base: LinkBase | null } => {
  let shift = 0;
  let base = known;
  if (raw.tables.relativeBase >= 0) {
    const relative = pointerAt(reading, raw.tables.relativeBase)!;
    if (base === null) {
      // The lowest kept symbol is _text, or _stext within the first 2 MiB.
      const { textOffset } = reading.header;
      const lo = relative.lo - textOffset;
      base = { hi: relative.hi, lo: lo - (lo % LINK_ALIGNMENT) + textOffset };
    }
    shift = minus(relative, base);
  }
  const kept: number[] = [];
  raw.addresses.forEach((address, i) => {
    if (address + shift >= 0 && address + shift <= reading.imageSize) kept.push(i);
  });
  const symbols = new SymbolTable(
    Int32Array.from(kept, (i) => raw.addresses[i]! + shift),
    kept.length === raw.addresses.length ? raw.types : kept.map((i) => raw.types[i]!).join(''),
    kept.length === raw.addresses.length ? raw.names : kept.map((i) => raw.names[i]!),
  );
  return { symbols, base };
};

interface FoundSymbols {
  readonly symbols: SymbolTable;
  readonly raw: RawKallsyms | null;
  readonly base: LinkBase | null;
}

const findSymbols = (reading: Reading, options: ReadOptions): FoundSymbols => {
  const { unpacked, bytes, relaBase, imageSize, unknown } = reading;
  const elf = options.ignoreSymbols === true ? null : unpacked.elf;
  const found =
    options.ignoreSymbols === true
      ? 'symbols were not looked for'
      : findKallsyms(bytes, (slot) => pointerAt(reading, slot) !== null);
  if (typeof found === 'string') unknown.symbols = found;
  const raw = typeof found === 'string' ? null : found;
  const mapName = options.mapName ?? 'System.map';
  const map = options.map === undefined ? null : readSystemMap(options.map, imageSize, mapName);
  const known = unpacked.elf?.base ?? relaBase ?? map?.base ?? null;
  const own = raw === null ? null : placeKallsyms(reading, raw, known);
  if (map !== null && own !== null) checkMapMatches(map.symbols, own.symbols, mapName);
  return { symbols: map?.symbols ?? elf?.symbols ?? own?.symbols ?? NO_SYMBOLS, raw, base: known ?? own?.base ?? null };
};

const findTables = (
  reading: Reading,
  symbols: SymbolTable,
  relocations: Relocations,
): Pick<KernelImage, 'jumpEntries' | 'alternatives' | 'ftrace'> => {
  const { words, imageSize, bytes, unknown } = reading;
  const bounds = (start: string, end: string): Span | null => {
    const span = spanBetween(symbols, [start], [end], bytes.length);
    return typeof span === 'string' ? null : span;
  };
  const known = <Table>(field: string, found: Table | string, none: Table): Table => {
    if (typeof found !== 'string') return found;
    unknown[field] = found;
    return none;
  };
  return {
    jumpEntries: known(
      'jumpLabels',
      readJumpEntries(words, imageSize, bounds('__start___jump_table', '__stop___jump_table')),
      NO_JUMP_ENTRIES,
    ),
    alternatives: known(
      'alternatives',
      readAlternatives(words, bounds('__alt_instructions', '__alt_instructions_end')),
      NO_ALTERNATIVES,
    ),
    ftrace: known(
      'ftraceSites',
      readFtraceSites(words, relocations, bounds('__start_mcount_loc', '__stop_mcount_loc')),
      NO_FTRACE,
    ),
  };
};

/** The release in the banner `Linux version 6.1.0-… (…)`, of which format strings are no copy. */
const findVersion = (bytes: Uint8Array): string | null => {
  const banner = asciiBytes('Linux version ');
  for (let at = indexOfBytes(bytes, banner, 0); at >= 0; at = indexOfBytes(bytes, banner, at + 1)) {
    const release = stringAt(bytes, at + banner.length, 128).split(' ', 1)[0]!;
    if (/^\d+\.\d+/.test(release)) return release;
  }
  return null;
};

const NO_RELOCATIONS: Relocations = {
  slots: new Int32Array(0),
  targets: new Int32Array(0),
  end: -1,
  rela: 0,
  relr: 0,
};

const toLinkVa = (base: LinkBase): Va => toVa((base.hi & 0xf_ffff) * 0x1_0000_0000 + base.lo);

/**
 * Reads an arm64 kernel: a raw Image, one packed with gzip or as EFI zboot, or a vmlinux. Symbols come from System.map if
 * given, else from the ELF symbol table, else from the embedded kallsyms; the tables of patch sites are found with or without
 * them. What cannot be known is null (or an empty table) with a reason in `unknown`. Throws InputError, with one line that
 * starts with the file's name, if the file is truncated, corrupt, big-endian or no arm64 kernel.
 */
export const readKernelImage = (file: Uint8Array, options: ReadOptions): KernelImage => {
  const reading = begin(file, options);
  const { unpacked, bytes, words, header, imageSize, rela, unknown } = reading;
  const { symbols, raw, base: symbolBase } = findSymbols(reading, options);
  const edata = symbols.find('_edata');
  if (edata > bytes.length) {
    throw new InputError(options.name, `truncated: ${bytes.length} bytes, but its symbol _edata is at ${edata}`);
  }
  const base = symbolBase ?? baseFromPointers(words, imageSize, header.textOffset);
  if (base === null) unknown.linkVa = 'neither relocations, kallsyms nor pointers tell where the kernel is linked';
  const relocations = base === null ? NO_RELOCATIONS : readRelocations(words, rela, base, imageSize);
  const tables = findTables(reading, symbols, relocations);
  const kallsyms = raw?.tables ?? null;
  const { jumpEntries, ftrace } = tables;
  const found = findRegions({ symbols, fileBytes: bytes.length, imageSize, kallsyms, jumpEntries, relocations });
  const version = findVersion(bytes);
  if (version === null) unknown.version = "no banner 'Linux version …' in the image";
  if (header.pageSize === null) unknown.pageSize = 'the header leaves the page size open';
  return {
    name: options.name,
    format: unpacked.format,
    bytes,
    words,
    header,
    imageSize,
    pageSize: header.pageSize,
    version,
    linkVa: base === null ? null : toLinkVa(base),
    regions: found.regions,
    el2Text: found.el2Text,
    constantRodataEnd: found.constantRodataEnd,
    symbols,
    kallsyms,
    ...tables,
    ftraceSites: ftrace.sites,
    ftraceLiterals: ftrace.literals,
    relocations,
    functions: findFunctions(words, symbols, ftrace, found.regions.text, found.el2Text),
    unknown: { ...unknown, ...found.unknown },
    derived: found.derived,
  };
};
