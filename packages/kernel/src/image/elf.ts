import { InputError } from '@numalab/base';
import { stringAt, u16At, u32At, u64At } from './bytes.ts';
import { SymbolTable } from './symbol-table.ts';
import type { LinkBase } from './system-map.ts';

const ELF_MAGIC = 0x464c_457f;
const EM_AARCH64 = 183;
const PT_LOAD = 1;
const SHT_SYMTAB = 2;
const SHN_LORESERVE = 0xff00;
const SECTION_WRITE = 1;
const SECTION_EXECUTE = 4;
/** More than any kernel's memory image. */
const SIZE_LIMIT = 0x4000_0000;

/** A vmlinux laid out as it would lie in an Image. */
export interface ElfKernel {
  /** From `_text` to the last byte of the last segment's file data. */
  readonly bytes: Uint8Array;
  readonly base: LinkBase;
  /** Null if the file has no symbol table. */
  readonly symbols: SymbolTable | null;
}

/** Whether the bytes start like an ELF file. */
export const isElf = (bytes: Uint8Array): boolean => bytes.length >= 20 && u32At(bytes, 0) === ELF_MAGIC;

interface Segment {
  readonly fileOffset: number;
  readonly hi: number;
  readonly lo: number;
  readonly fileSize: number;
  readonly memorySize: number;
}

const checkIdentity = (bytes: Uint8Array, name: string): void => {
  if (bytes[4] !== 2) throw new InputError(name, 'is a 32-bit ELF file, not an arm64 kernel');
  if (bytes[5] !== 1) throw new InputError(name, 'is a big-endian ELF file; only little-endian kernels are supported');
  const machine = u16At(bytes, 18);
  if (machine !== EM_AARCH64) throw new InputError(name, `is not an arm64 kernel: its ELF machine is ${machine}`);
  if (bytes.length < 64) throw new InputError(name, `truncated: ${bytes.length} bytes, inside the ELF header`);
};

const readSegments = (bytes: Uint8Array, name: string): Segment[] => {
  const table = u64At(bytes, 0x20);
  const entryBytes = u16At(bytes, 0x36);
  const count = u16At(bytes, 0x38);
  if (entryBytes < 56 || table + entryBytes * count > bytes.length) {
    throw new InputError(name, 'truncated or corrupt ELF file: its program headers lie outside the file');
  }
  const segments: Segment[] = [];
  for (let at = table; at < table + entryBytes * count; at += entryBytes) {
    if (u32At(bytes, at) !== PT_LOAD) continue;
    const segment: Segment = {
      fileOffset: u64At(bytes, at + 8),
      lo: u32At(bytes, at + 16),
      hi: u32At(bytes, at + 20),
      fileSize: u64At(bytes, at + 32),
      memorySize: u64At(bytes, at + 40),
    };
    if (segment.fileOffset + segment.fileSize > bytes.length) {
      throw new InputError(
        name,
        `truncated: ${bytes.length} bytes, but a segment ends at ${segment.fileOffset + segment.fileSize}`,
      );
    }
    segments.push(segment);
  }
  if (segments.length === 0) throw new InputError(name, 'is an ELF file without a loadable segment, not a vmlinux');
  return segments;
};

const layOut = (bytes: Uint8Array, segments: Segment[], base: LinkBase, name: string): Uint8Array => {
  const places = segments.map((s) => (s.hi - base.hi) * 0x1_0000_0000 + (s.lo - base.lo));
  const size = Math.max(...segments.map((s, i) => places[i]! + s.fileSize));
  if (!(size < SIZE_LIMIT)) throw new InputError(name, 'corrupt ELF file: its segments are further apart than 1 GiB');
  const image = new Uint8Array(Math.ceil(size / 4) * 4);
  segments.forEach((s, i) => {
    image.set(bytes.subarray(s.fileOffset, s.fileOffset + s.fileSize), places[i]!);
  });
  return image;
};

/** The letter that nm would print, as far as section flags tell. */
const typeLetter = (sectionFlags: number, sectionType: number, binding: number): string => {
  const noBits = 8;
  let letter = 'r';
  if ((sectionFlags & SECTION_EXECUTE) !== 0) letter = 't';
  else if (sectionType === noBits) letter = 'b';
  else if ((sectionFlags & SECTION_WRITE) !== 0) letter = 'd';
  if (binding === 2) return 'W';
  return binding === 0 ? letter : letter.toUpperCase();
};

interface Section {
  readonly type: number;
  readonly flags: number;
  readonly offset: number;
  readonly size: number;
  readonly link: number;
}

const readSections = (bytes: Uint8Array, name: string): Section[] => {
  const table = u64At(bytes, 0x28);
  const entryBytes = u16At(bytes, 0x3a);
  const count = u16At(bytes, 0x3c);
  if (table === 0 || count === 0) return [];
  if (entryBytes < 64 || table + entryBytes * count > bytes.length) {
    throw new InputError(name, 'truncated or corrupt ELF file: its section headers lie outside the file');
  }
  return Array.from({ length: count }, (_, i) => {
    const at = table + entryBytes * i;
    return {
      type: u32At(bytes, at + 4),
      flags: u32At(bytes, at + 8),
      offset: u64At(bytes, at + 24),
      size: u64At(bytes, at + 32),
      link: u32At(bytes, at + 40),
    };
  });
};

const readSymbols = (bytes: Uint8Array, base: LinkBase, limit: number, name: string): SymbolTable | null => {
  const sections = readSections(bytes, name);
  const table = sections.find((section) => section.type === SHT_SYMTAB);
  const strings = table === undefined ? undefined : sections[table.link];
  if (table === undefined || strings === undefined) return null;
  if (table.offset + table.size > bytes.length || strings.offset + strings.size > bytes.length) {
    throw new InputError(name, 'truncated or corrupt ELF file: its symbol table lies outside the file');
  }
  const symbols: { offset: number; type: string; name: string }[] = [];
  for (let at = table.offset; at + 24 <= table.offset + table.size; at += 24) {
    const kind = bytes[at + 4]! & 15;
    const section = u16At(bytes, at + 6);
    // NOTYPE, OBJECT and FUNC only: section and file symbols name no place of their own.
    if (kind > 2 || section === 0 || section >= SHN_LORESERVE) continue;
    const offset = (u32At(bytes, at + 12) - base.hi) * 0x1_0000_0000 + (u32At(bytes, at + 8) - base.lo);
    if (offset < 0 || offset > limit) continue;
    const symbol = stringAt(bytes, strings.offset + u32At(bytes, at), 512);
    // Mapping symbols and assembler labels are not in System.map either.
    if (symbol === '' || symbol.startsWith('$') || symbol.startsWith('.L')) continue;
    const { flags, type } = sections[section] ?? { flags: 0, type: 1 };
    symbols.push({ offset, type: typeLetter(flags, type, bytes[at + 4]! >> 4), name: symbol });
  }
  return symbols.length === 0 ? null : SymbolTable.from(symbols);
};

/**
 * Lays out the segments of a vmlinux from `_text` (the lowest loadable address), which gives the bytes that objcopy would
 * put into the raw Image. Throws {@link InputError} for other machines, big-endian and truncated files.
 */
export const readElf = (bytes: Uint8Array, name: string): ElfKernel => {
  checkIdentity(bytes, name);
  const segments = readSegments(bytes, name);
  const first = segments.reduce((a, b) => (b.hi < a.hi || (b.hi === a.hi && b.lo < a.lo) ? b : a));
  const base: LinkBase = { hi: first.hi, lo: first.lo };
  const image = layOut(bytes, segments, base, name);
  const memory = Math.max(...segments.map((s) => (s.hi - base.hi) * 0x1_0000_0000 + (s.lo - base.lo) + s.memorySize));
  // Symbols such as _end lie behind the last segment, by less than its alignment to 2 MiB.
  return { bytes: image, base, symbols: readSymbols(bytes, base, memory + 0x20_0000, name) };
};
