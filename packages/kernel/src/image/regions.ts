import { alignDown, alignUp } from '@numalab/base';
import type { JumpEntries, KallsymsTables, KernelRegions, RegionName, Relocations, Span } from './kernel-image.ts';
import type { SymbolTable } from './symbol-table.ts';

/** Segments of an arm64 kernel are aligned to this, whatever its page size (SEGMENT_ALIGN). */
const SEGMENT_ALIGNMENT = 0x1_0000;
/** Alignment of the constant part of rodata where its end is not a symbol; the smallest page. */
const PAGE = 4096;

/** What the regions are found from. */
export interface RegionSources {
  readonly symbols: SymbolTable;
  /** Bytes of the Image: it ends at `_edata`. */
  readonly fileBytes: number;
  readonly imageSize: number;
  readonly kallsyms: KallsymsTables | null;
  readonly jumpEntries: JumpEntries;
  readonly relocations: Relocations;
}

/** Regions, what is known of the parts that matter to replication, and the reasons for what is not known. */
export interface FoundRegions {
  readonly regions: KernelRegions;
  readonly el2Text: Span | null;
  readonly constantRodataEnd: number | null;
  readonly unknown: Record<string, string>;
  readonly derived: Record<string, string>;
}

/** Names that delimit each region, the newest kernels' first. */
const BOUNDS: Record<RegionName, readonly [starts: readonly string[], ends: readonly string[]]> = {
  text: [['_stext'], ['_etext']],
  // RO_DATA follows .text at once, so that the end of text also marks its start.
  rodata: [['__start_rodata', '_etext'], ['__end_rodata']],
  hypText: [['__hyp_text_start'], ['__hyp_text_end']],
  roAfterInit: [['__start_ro_after_init'], ['__end_ro_after_init']],
  init: [['__init_begin'], ['__init_end']],
  data: [['_sdata', '_data'], ['_edata']],
  bss: [['__bss_start'], ['__bss_stop']],
};

const REGION_NAMES = Object.keys(BOUNDS) as RegionName[];

const firstOf = (symbols: SymbolTable, names: readonly string[]): number => {
  for (const name of names) {
    const offset = symbols.find(name);
    if (offset >= 0) return offset;
  }
  return -1;
};

/** The span between two symbols, or the reason why there is none. */
export const spanBetween = (
  symbols: SymbolTable,
  starts: readonly string[],
  ends: readonly string[],
  limit: number,
): Span | string => {
  if (symbols.count === 0) return 'the kernel has no symbols';
  const start = firstOf(symbols, starts);
  const end = firstOf(symbols, ends);
  if (start < 0) return `no symbol ${starts[0]}`;
  if (end < 0) return `no symbol ${ends[0]}`;
  if (start > end || end > limit) return `symbols ${starts[0]} and ${ends[0]} do not delimit a region of the image`;
  return { start, end };
};

/** Init memory ends, and data starts, at the first segment boundary after the relocation tables, which come last in it. */
const deriveInitEnd = (sources: RegionSources): number => {
  const { relocations, fileBytes } = sources;
  const end = alignUp(relocations.end, SEGMENT_ALIGNMENT);
  return relocations.end > 0 && end < fileBytes ? end : -1;
};

const INIT_END_RULE = 'first 64 KiB boundary after the relocation tables, which are the last part of init memory';

const deriveInitAndData = (
  sources: RegionSources,
  regions: Record<RegionName, Span | null>,
  derived: Record<string, string>,
): void => {
  const initEnd = deriveInitEnd(sources);
  const initBegin = sources.symbols.find('__init_begin');
  if (initEnd < 0) return;
  if (regions.init === null && initBegin >= 0 && initBegin < initEnd) {
    regions.init = { start: initBegin, end: initEnd };
    derived['regions.init'] = `end: ${INIT_END_RULE}`;
  }
  if (regions.data === null && sources.symbols.count > 0) {
    regions.data = { start: initEnd, end: sources.fileBytes };
    derived['regions.data'] = `start: ${INIT_END_RULE}; end: the end of the Image`;
  }
};

const findConstantEnd = (
  sources: RegionSources,
  rodata: number,
  unknown: Record<string, string>,
  derived: Record<string, string>,
): number | null => {
  const { symbols, kallsyms, jumpEntries } = sources;
  const start = symbols.find('__start_ro_after_init');
  if (start >= 0) return start;
  if (kallsyms !== null && jumpEntries.count > 0 && kallsyms.end <= jumpEntries.table && kallsyms.end > rodata) {
    derived.constantRodataEnd =
      'no symbol __start_ro_after_init: page_down(end of the last kallsyms table before the jump table)';
    return alignDown(kallsyms.end, PAGE);
  }
  unknown.constantRodataEnd = 'no symbol __start_ro_after_init, and no kallsyms table before a jump table';
  return null;
};

/** Finds the regions by their symbols, and by the structure of the Image where those are missing. */
export const findRegions = (sources: RegionSources): FoundRegions => {
  const { symbols, imageSize } = sources;
  const unknown: Record<string, string> = {};
  const derived: Record<string, string> = {};
  const regions = {} as Record<RegionName, Span | null>;
  const reasons = {} as Record<RegionName, string>;
  for (const name of REGION_NAMES) {
    const [starts, ends] = BOUNDS[name];
    const found = spanBetween(symbols, starts, ends, imageSize);
    regions[name] = typeof found === 'string' ? null : found;
    if (typeof found === 'string') reasons[name] = found;
  }
  deriveInitAndData(sources, regions, derived);
  for (const name of REGION_NAMES) if (regions[name] === null) unknown[`regions.${name}`] = reasons[name];
  const el2 = spanBetween(symbols, ['__hyp_idmap_text_start', '__hyp_text_start'], ['__hyp_text_end'], imageSize);
  const rodataStart = firstOf(symbols, BOUNDS.rodata[0]);
  return {
    regions,
    el2Text: typeof el2 === 'string' ? null : el2,
    constantRodataEnd: findConstantEnd(sources, rodataStart, unknown, derived),
    unknown,
    derived,
  };
};
