/**
 * Where the parts of the generated kernel lie, as offsets from `_text`, in the order of vmlinux.lds.S (Linux 6.12). The
 * sizes are chosen so that with `_text` at 2 MiB plus a multiple of 2 MiB every case occurs that a replica must handle: the
 * replicated range spans one whole 2 MiB block and parts of two more; EL2's own text begins inside a 16 KiB granule and a
 * 64 KiB granule, ends inside a 4 KiB granule, and fills whole granules of every size between.
 */
export const LAYOUT = {
  stext: 0x1_0000,
  hypText: 0x11_d000,
  hypTextEnd: 0x13_3400,
  etext: 0x14_0000,
  /** rodata begins where text ends. */
  constants: 0x14_0000,
  kallsyms: 0x3b_0000,
  /** Deliberately no page boundary: the last constant granule is shared with written data. */
  roAfterInit: 0x40_8f00,
  jumpTable: 0x40_c000,
  endRodata: 0x41_4000,
  hypRodataEnd: 0x41_6000,
  rodataText: 0x41_6000,
  pageTables: 0x41_8000,
  initBegin: 0x42_0000,
  initText: 0x42_0000,
  exitText: 0x43_0000,
  alternatives: 0x43_1000,
  initData: 0x44_0000,
  mcount: 0x44_8000,
  perCpu: 0x46_0000,
  /** Either table ends in the last 64 KiB of init memory, as a linker's does. */
  rela: 0x48_1000,
  relr: 0x49_8000,
  initEnd: 0x4a_0000,
  data: 0x4a_0000,
  edata: 0x4b_0200,
  bss: 0x4b_1000,
  bssEnd: 0x4b_a880,
  end: 0x4c_0000,
} as const;

/** Link VA of `_text`, as words: where Linux 6.12 with 48-bit VAs is linked. */
export const LINK_BASE: { readonly hi: number; readonly lo: number } = { hi: 0xffff_8000, lo: 0x8000_0000 };

/** The release in the generated banner. */
export const BUILTIN_VERSION = '6.12.0-numalab';
