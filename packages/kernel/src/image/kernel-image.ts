import type { Va } from '@numalab/base';
import type { SymbolTable } from './symbol-table.ts';

/** How the Image was packed in its file; `builtin` is the generated one. */
export type KernelFormat = 'raw' | 'gzip' | 'zboot' | 'elf' | 'builtin';

/** A half-open range of bytes, as offsets from `_text`. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** The 64-byte header at `_text` (booting.rst). */
export interface ImageHeader {
  /** Bytes from a 2 MiB aligned base at which the Image asks to be loaded; 0 in current kernels. */
  readonly textOffset: number;
  /** Bytes of memory from `_text` to `_end`, .bss included; 0 in kernels before 3.17. */
  readonly imageSize: number;
  /** The low word of the flags. */
  readonly flags: number;
  /** Page size in bytes; null if the flags leave it open. */
  readonly pageSize: number | null;
  /** Flag bit 3: the 2 MiB aligned base may lie anywhere in physical memory. */
  readonly placeAnywhere: boolean;
}

/** Names of the regions that a report shows. */
export type RegionName = 'text' | 'rodata' | 'hypText' | 'roAfterInit' | 'init' | 'data' | 'bss';

/** Regions by name. A null says that the bounds cannot be known; `unknown['regions.NAME']` says why. */
export type KernelRegions = Readonly<Record<RegionName, Span | null>>;

/** Static-key entries in link order, one column per field; offsets from `_text`. */
export interface JumpEntries {
  readonly count: number;
  /** Where the table lies; -1 if there is none. */
  readonly table: number;
  /** The patched word: NOP, or B to `target`. */
  readonly code: Int32Array;
  readonly target: Int32Array;
  /** The static key (in .data, or in ro_after_init). */
  readonly key: Int32Array;
  /** Bit 0: the branch that the key's default takes; bit 1: the entry belongs to init text. */
  readonly flags: Uint8Array;
}

/** Alternatives in link order, one column per field; offsets from `_text`, lengths in bytes. */
export interface Alternatives {
  readonly count: number;
  /** Where the table lies; -1 if there is none. */
  readonly table: number;
  readonly orig: Int32Array;
  /** Replacement code, or the callback that makes it. */
  readonly replacement: Int32Array;
  /** Number of the CPU capability that selects the replacement. */
  readonly capability: Uint16Array;
  /** 1 where `replacement` is a callback. */
  readonly callback: Uint8Array;
  readonly origLength: Uint8Array;
  readonly replacementLength: Uint8Array;
}

/** What `__mcount_loc` lists. */
export interface FtraceSites {
  /** Slots of the table, those that the build emptied included: `__stop_mcount_loc - __start_mcount_loc` over 8. */
  readonly slots: number;
  /** Leading slots that the build's sorter set to zero (functions that no longer exist). */
  readonly emptySlots: number;
  /** Where the table lies; -1 if there is none. */
  readonly table: number;
  /** The address that each live slot names, in table order. */
  readonly entries: Int32Array;
  /** The word that becomes MOV X9,X30; the word after it is the NOP that becomes BL. One for each entry. */
  readonly sites: Int32Array;
  /** The 8-byte literal of each entry (`ftrace_ops` pointer, CALL_OPS); empty if the kernel has none. */
  readonly literals: Int32Array;
}

/** Where the kallsyms tables lie, in bytes from `_text`. */
export interface KallsymsTables {
  /** `6.1`: offsets before names; `6.4`: offsets after the token index; `7.0`: offsets relative to their own place. */
  readonly layout: '6.1' | '6.4' | '7.0';
  readonly count: number;
  readonly names: number;
  readonly markers: number;
  readonly tokenTable: number;
  readonly tokenIndex: number;
  readonly offsets: number;
  /** -1 in layout 7.0. */
  readonly relativeBase: number;
  /** End of the last of these tables. */
  readonly end: number;
}

/** Dynamic relocations as parallel columns, sorted by slot. */
export interface Relocations {
  /** Offset of each 8-byte slot from `_text`. */
  readonly slots: Int32Array;
  /** What the slot holds once relocated, as an offset from `_text`; {@link TARGET_ZERO} or {@link TARGET_OUTSIDE}. */
  readonly targets: Int32Array;
  /** End of the last table (RELA or RELR); -1 if there is none. */
  readonly end: number;
  readonly rela: number;
  readonly relr: number;
}

/** A relocated slot whose value is 0. */
export const TARGET_ZERO = -1;
/** A relocated slot whose value lies outside the image. */
export const TARGET_OUTSIDE = -2;

/** An arm64 kernel: the bytes of its Image from `_text`, and what was found in them. All offsets are from `_text`. */
export interface KernelImage {
  /** The file it came from, for messages. */
  readonly name: string;
  readonly format: KernelFormat;
  /** The Image from `_text` to `_edata`, not relocated. */
  readonly bytes: Uint8Array;
  /** The same bytes as little-endian words. */
  readonly words: Uint32Array;
  readonly header: ImageHeader;
  /** Bytes of memory from `_text` to `_end`. At least `bytes.length`. */
  readonly imageSize: number;
  /** Page size in bytes; null if the header leaves it open. */
  readonly pageSize: number | null;
  /** Release from the banner, such as `6.1.0-50-cloud-arm64`. */
  readonly version: string | null;
  /** Link-time VA of `_text` (bits 51:0); null if it cannot be known. */
  readonly linkVa: Va | null;
  readonly regions: KernelRegions;
  /** EL2's own text, idmap part included: it lies inside `regions.text`. Null if there is none, or text is unknown. */
  readonly el2Text: Span | null;
  /** End of what is constant of rodata, where replication stops; null if it cannot be known. */
  readonly constantRodataEnd: number | null;
  /** From System.map, else from the ELF symbol table, else from kallsyms. */
  readonly symbols: SymbolTable;
  readonly kallsyms: KallsymsTables | null;
  readonly jumpEntries: JumpEntries;
  readonly alternatives: Alternatives;
  readonly ftrace: FtraceSites;
  /** The word of each live ftrace entry that becomes MOV X9,X30: `ftrace.sites`. */
  readonly ftraceSites: Int32Array;
  /** The 8-byte literal of each live ftrace entry: `ftrace.literals`. */
  readonly ftraceLiterals: Int32Array;
  readonly relocations: Relocations;
  /** Sorted starts of the functions in `regions.text`, EL2's own excluded. */
  readonly functions: Int32Array;
  /** Why a figure is null: `{'regions.bss': '…', jumpLabels: '…'}`. */
  readonly unknown: Readonly<Record<string, string>>;
  /** Figures that no symbol gives but the image's structure does, with the rule used. */
  readonly derived: Readonly<Record<string, string>>;
}
