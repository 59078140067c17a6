import type { KernelFormat, KernelImage, KernelRegions, RegionName, Span } from './kernel-image.ts';
import { type ReplicatedRange, replicatedRanges } from './replicated-range.ts';

/** Names and sizes of the stage-2 granules. */
const GRANULE_BYTES = { '4K': 4096, '16K': 16384, '64K': 65536 } as const;
type GranuleName = keyof typeof GRANULE_BYTES;
const GRANULE_NAMES = Object.keys(GRANULE_BYTES) as GranuleName[];

/** Granules inside the replicated range that have no copies, and why. */
export interface ExcludedRange extends Span {
  readonly kind: 'hole' | 'shared';
  readonly reason: string;
}

/** What `numalab kernel IMAGE --json` prints. Offsets are from `_text`; sizes are bytes; a null has its reason in `unknown`. */
export interface KernelSummary {
  readonly format: KernelFormat;
  readonly textOffset: number;
  /** From the header: memory from `_text` to `_end`. */
  readonly imageSize: number;
  readonly fileSize: number;
  readonly pageSize: number | null;
  readonly version: string | null;
  readonly regions: KernelRegions;
  /** Entries of the embedded kallsyms. */
  readonly symbols: number | null;
  readonly jumpLabels: number | null;
  readonly alternatives: number | null;
  /** Slots of `__mcount_loc`. */
  readonly ftraceSites: number | null;
  /** How many of those slots the build emptied. */
  readonly ftraceEmptySlots: number | null;
  /** Granules of which every node gets a copy; null if the bounds of text are unknown. */
  readonly replicated: Readonly<Record<GranuleName, readonly Span[] | null>>;
  /** Granules between them that are EL2's, or shared with it. */
  readonly notReplicated: Readonly<Record<GranuleName, readonly ExcludedRange[]>>;
  readonly unknown: Readonly<Record<string, string>>;
  readonly derived: Readonly<Record<string, string>>;
}

const perGranule = <Value>(make: (granule: number) => Value): Record<GranuleName, Value> => ({
  '4K': make(GRANULE_BYTES['4K']),
  '16K': make(GRANULE_BYTES['16K']),
  '64K': make(GRANULE_BYTES['64K']),
});

/** Gathers what there is to say about a kernel, for a load address that is a multiple of 2 MiB plus text_offset. */
export const summariseKernel = (image: KernelImage): KernelSummary => {
  const isKnown = image.regions.text !== null;
  const ranges = (granule: number): readonly ReplicatedRange[] =>
    replicatedRanges(image, granule, 'text+rodata', image.header.textOffset);
  const replicas = (granule: number): Span[] =>
    ranges(granule).flatMap(({ start, end, kind }) => (kind === 'replica' ? [{ start, end }] : []));
  const excluded = (granule: number): ExcludedRange[] =>
    ranges(granule).flatMap(({ start, end, kind, reason }) =>
      kind === 'replica' ? [] : [{ start, end, kind, reason: reason ?? '' }],
    );
  const { unknown, kallsyms, jumpEntries, alternatives, ftrace } = image;
  return {
    format: image.format,
    textOffset: image.header.textOffset,
    imageSize: image.header.imageSize,
    fileSize: image.bytes.length,
    pageSize: image.pageSize,
    version: image.version,
    regions: image.regions,
    symbols: kallsyms?.count ?? null,
    jumpLabels: jumpEntries.table < 0 ? null : jumpEntries.count,
    alternatives: alternatives.table < 0 ? null : alternatives.count,
    ftraceSites: ftrace.table < 0 ? null : ftrace.slots,
    ftraceEmptySlots: ftrace.table < 0 ? null : ftrace.emptySlots,
    replicated: perGranule((granule) => (isKnown ? replicas(granule) : null)),
    notReplicated: perGranule(excluded),
    unknown: isKnown ? unknown : { ...unknown, replicated: 'the bounds of text are unknown' },
    derived: image.derived,
  };
};

const REGION_LABELS: Record<RegionName, string> = {
  text: 'text',
  rodata: 'rodata',
  hypText: 'hyp text',
  roAfterInit: 'ro_after_init',
  init: 'init',
  data: 'data',
  bss: 'bss',
};

const hex = (value: number): string => `0x${value.toString(16).padStart(8, '0')}`;
const size = (bytes: number): string =>
  bytes >= 0x10_0000 ? `${(bytes / 0x10_0000).toFixed(2)} MiB` : `${(bytes / 1024).toFixed(1)} KiB`;
const span = ({ start, end }: Span): string => `${hex(start)}  ${hex(end)}  ${size(end - start).padStart(10)}`;
const row = (label: string, value: string): string => `  ${label.padEnd(14)}  ${value}`;

const countLines = (summary: KernelSummary): string[] => {
  const count = (value: number | null, field: string): string =>
    value === null ? `unknown: ${summary.unknown[field] ?? 'no reason given'}` : value.toLocaleString('en-US');
  const empty = summary.ftraceEmptySlots ?? 0;
  const sites = count(summary.ftraceSites, 'ftraceSites');
  return [
    row('symbols', count(summary.symbols, 'symbols')),
    row('jump labels', count(summary.jumpLabels, 'jumpLabels')),
    row('alternatives', count(summary.alternatives, 'alternatives')),
    row('ftrace sites', empty === 0 ? sites : `${sites} slots, ${empty.toLocaleString('en-US')} of them empty`),
  ];
};

const rangeLines = (summary: KernelSummary): string[] =>
  GRANULE_NAMES.flatMap((granule) => {
    const replicas = summary.replicated[granule];
    if (replicas === null) return [`replicated with ${granule} granules: unknown: ${summary.unknown.replicated ?? ''}`];
    const all = [
      ...replicas.map((range) => ({ ...range, text: row('replica', span(range)) })),
      ...summary.notReplicated[granule].map((range) => ({
        ...range,
        text: row(range.kind, `${span(range)}  ${range.reason}`),
      })),
    ].sort((a, b) => a.start - b.start);
    const bytes = replicas.reduce((sum, range) => sum + range.end - range.start, 0);
    return [`replicated with ${granule} granules: ${size(bytes)}`, ...all.map((range) => range.text)];
  });

/** The same for people, as lines. */
export const formatKernelSummary = (summary: KernelSummary, name: string): string[] => {
  const { unknown, derived, regions } = summary;
  const regionLines = (Object.keys(REGION_LABELS) as RegionName[]).map((region) => {
    const found = regions[region];
    const note = derived[`regions.${region}`];
    if (found === null)
      return row(REGION_LABELS[region], `unknown: ${unknown[`regions.${region}`] ?? 'no reason given'}`);
    return row(REGION_LABELS[region], `${span(found)}${note === undefined ? '' : `  (${note})`}`);
  });
  return [
    `${name}: arm64 kernel ${summary.version ?? 'of unknown version'} (${summary.format})`,
    row('page size', summary.pageSize === null ? 'unknown' : size(summary.pageSize)),
    row('text offset', hex(summary.textOffset)),
    row('image size', `${size(summary.imageSize)} in memory, ${size(summary.fileSize)} in the file`),
    ...countLines(summary),
    'regions (offsets from _text)',
    ...regionLines,
    ...rangeLines(summary),
    ...(derived.constantRodataEnd === undefined ? [] : [`rodata is replicated up to: ${derived.constantRodataEnd}`]),
  ];
};
