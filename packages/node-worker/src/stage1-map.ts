import { alignDown, alignUp, assert } from '@numalab/base';
import { ALIAS_IMAGE, type WriterSpec } from '@numalab/kernel';
import {
  AP_EL1_RO,
  AP_EL1_RW,
  blockAllowed,
  contiguousEntries,
  GRANULES,
  type Granule,
  type GranuleName,
  levelBytes,
  levelShift,
  makeStage1Config,
  type Stage1Config,
  stage1Attributes,
  stage1LeafHi,
  stage1LeafLo,
  stage1TableHi,
  stage1TableLo,
  type WordMemory,
} from '@numalab/machine';
import { FIXMAP_TEXT_POKE, linearVa, type MachineLayout } from './layout.ts';
import type { MachineSpec } from './spec.ts';

const TWO_MIB = 2 ** 21;
const TEXT = { ap: AP_EL1_RO, pxn: false, uxn: true };
/** Text before the kernel protects it: relocation stores to it by its own VA. */
const EARLY_TEXT = { ap: AP_EL1_RW, pxn: false, uxn: true };
const RODATA = { ap: AP_EL1_RO, pxn: true, uxn: true };
const DATA = { ap: AP_EL1_RW, pxn: true, uxn: true };
/** Attributes of the page that a text poke maps. */
export const FIXMAP_ATTRS: number = stage1Attributes(DATA);

/** What the kernel's own tables are, and where its code finds the entry it changes at run time. */
export interface Stage1Map {
  readonly config: Stage1Config;
  /** IPA of the descriptor of {@link FIXMAP_TEXT_POKE}. */
  readonly fixmapEntry: number;
  /** Bytes of tables. */
  readonly bytes: number;
}

const storesByImageAlias = (writer: WriterSpec): boolean =>
  writer.kind === 'recorded' && writer.rows.some((row) => writer.trace.alias[row] === ALIAS_IMAGE);

const granuleOf = (pageBytes: number): GranuleName => {
  for (const name of Object.keys(GRANULES) as GranuleName[]) if (GRANULES[name].bytes === pageBytes) return name;
  throw new Error(`no granule of ${pageBytes} bytes`);
};

/** Builds tables by appending pages to one stretch of memory, which must read as zero. */
class Builder {
  readonly config: Stage1Config;
  next: number;
  private readonly memory: WordMemory | null;
  private readonly granule: Granule;
  private readonly children = new Map<number, number>();

  constructor(memory: WordMemory | null, config: Stage1Config) {
    this.memory = memory;
    this.config = config;
    this.granule = config.granule;
    this.next = config.rootPa + config.granule.bytes;
  }

  private store(pa: number, lo: number, hi: number): void {
    this.memory?.store32(pa, lo);
    this.memory?.store32(pa + 4, hi);
  }

  /** PA of the descriptor for `va` at `level`, making the tables on the way. */
  entry(va: number, level: number): number {
    let table = this.config.rootPa;
    const inRange = va % 2 ** this.config.vaBits;
    for (let l = this.config.startLevel; ; l++) {
      const index = Math.floor(inRange / 2 ** levelShift(this.granule, l)) % this.granule.entries;
      const pa = table + index * 8;
      if (l === level) return pa;
      let child = this.children.get(pa);
      if (child === undefined) {
        child = this.next;
        this.next += this.granule.bytes;
        this.children.set(pa, child);
        this.store(pa, stage1TableLo(this.config, child), stage1TableHi(this.config, child));
      }
      table = child;
    }
  }

  /**
   * Lets the tables of `other` translate `va` too, from the first level on where its entry is not on the way to `apartFrom`,
   * which these tables translate themselves.
   */
  share(other: Builder, va: number, apartFrom: number): void {
    let level = this.config.startLevel;
    const indexOf = (address: number): number => Math.floor(address / 2 ** levelShift(this.granule, level));
    while (indexOf(va) === indexOf(apartFrom)) level++;
    const child = other.children.get(other.entry(va, level));
    assert(child !== undefined, 'only what a table of its own translates can be shared');
    this.store(this.entry(va, level), stage1TableLo(this.config, child), stage1TableHi(this.config, child));
  }

  /**
   * Maps [va, va + bytes) to `ipa` on, by the largest leaves that fit and, with
   * `groups`, contiguous groups of them, as Linux maps its image.
   */
  map(va: number, ipa: number, bytes: number, attributes: typeof DATA, groups = true): void {
    const { granule, config } = this;
    for (let at = 0; at < bytes; ) {
      let level = config.startLevel;
      const fits = (size: number): boolean => (va + at) % size === 0 && (ipa + at) % size === 0 && at + size <= bytes;
      while (level < 3 && !(blockAllowed(granule, level, config) && fits(levelBytes(granule, level)))) level++;
      const size = levelBytes(granule, level);
      const group = contiguousEntries(granule, level);
      const contiguous = groups && group > 1 && fits(size * group);
      const attrs = stage1Attributes({ ...attributes, contiguous });
      for (let i = 0; i < (contiguous ? group : 1); i++, at += size) {
        const to = ipa + at;
        this.store(
          this.entry(va + at, level),
          stage1LeafLo(config, to, level, attrs),
          stage1LeafHi(config, to, level, attrs),
        );
      }
    }
  }
}

/** A mapping of the image: its bounds, and what may be done there. */
type ImagePart = readonly [start: number, end: number, attributes: typeof DATA];

/** Text read-only and executable, constants read-only, the rest writable, in whole pages. */
const imageParts = (spec: MachineSpec, layout: MachineLayout): readonly ImagePart[] => {
  const { text, pageBytes, imageBytes } = spec.kernel;
  const textStart = alignDown(text.start, pageBytes);
  const constantEnd = Math.max(text.end, alignDown(layout.spanEnd, pageBytes));
  const parts: readonly ImagePart[] = [
    [0, textStart, DATA],
    [textStart, text.end, spec.writers.some(storesByImageAlias) ? EARLY_TEXT : TEXT],
    [text.end, constantEnd, RODATA],
    [constantEnd, Math.ceil(imageBytes / pageBytes) * pageBytes, DATA],
  ];
  return parts.filter(([start, end]) => end > start);
};

const builderFor = (spec: MachineSpec, layout: MachineLayout, node: number, memory: WordMemory | null): Builder => {
  const rootPa = layout.stage1Pa[node]!;
  const granule = granuleOf(spec.kernel.pageBytes);
  return new Builder(memory, makeStage1Config({ granule, vaBits: 48, rootPa, lpa2: false }));
};

/** Node 0's tables, which all nodes share unless the kernel replicates its text. */
const buildPrimary = (spec: MachineSpec, layout: MachineLayout, memory: WordMemory | null): Builder => {
  const builder = builderFor(spec, layout, 0, memory);
  const { linkVa, imageBytes } = spec.kernel;
  for (const [start, end, attributes] of imageParts(spec, layout)) {
    builder.map(linkVa + start, layout.imageIpa + start, end - start, attributes);
  }
  const mapLinear = (from: number, to: number): void => {
    const start = alignDown(from, TWO_MIB);
    builder.map(linearVa(spec, start), start, alignUp(to, TWO_MIB) - start, DATA);
  };
  mapLinear(spec.base, layout.imageIpa + TWO_MIB + imageBytes);
  if (spec.strategy === 'stage1') {
    const bytes = layout.spanEnd - layout.spanStart;
    for (const copy of layout.copyPa.slice(1)) mapLinear(copy, copy + bytes);
  }
  builder.entry(FIXMAP_TEXT_POKE, 3);
  return builder;
};

/**
 * A node's own tables where the kernel replicates its text: the image's entries built anew, text and constants onto the node's
 * copy without contiguous groups, and constants left writable; all others lead into node 0's tables ([arm64 reference 1.2]).
 */
const buildOwn = (spec: MachineSpec, layout: MachineLayout, node: number, memory: WordMemory | null): Builder => {
  const builder = builderFor(spec, layout, node, memory);
  const { linkVa, pageBytes } = spec.kernel;
  const [copyStart, copyEnd] = [alignUp(layout.spanStart, pageBytes), alignDown(layout.spanEnd, pageBytes)];
  for (const [start, end, attributes] of imageParts(spec, layout)) {
    const cuts = [start, Math.min(Math.max(start, copyStart), end), Math.max(start, Math.min(end, copyEnd)), end];
    for (let i = 0; i < 3; i++) {
      const [from, to] = [cuts[i]!, cuts[i + 1]!];
      if (to <= from) continue;
      const pa = i === 1 ? layout.copyPa[node]! + from - layout.spanStart : layout.imageIpa + from;
      builder.map(linkVa + from, pa, to - from, attributes === RODATA ? DATA : attributes, false);
    }
  }
  const primary = buildPrimary(spec, layout, null);
  const last = layout.spanEnd - layout.spanStart - 1;
  const linear = [spec.base, ...layout.copyPa, ...layout.copyPa.map((pa) => pa + last)];
  for (const pa of linear) builder.share(primary, linearVa(spec, pa), linkVa);
  builder.share(primary, FIXMAP_TEXT_POKE, linkVa);
  return builder;
};

/**
 * Builds the kernel's stage-1 tables that `node` uses: the image, the linear map around it and around its copies, and a fixmap
 * slot. `memory` is the node's, or null where it only learns where things are.
 */
export const buildStage1 = (
  spec: MachineSpec,
  layout: MachineLayout,
  node: number,
  memory: WordMemory | null,
): Stage1Map => {
  const own = node > 0 && spec.strategy === 'stage1';
  const builder = own ? buildOwn(spec, layout, node, memory) : buildPrimary(spec, layout, node === 0 ? memory : null);
  const fixmapEntry = (own ? buildPrimary(spec, layout, null) : builder).entry(FIXMAP_TEXT_POKE, 3);
  const bytes = builder.next - builder.config.rootPa;
  assert(bytes <= layout.stage1Bytes, 'the stage-1 tables outgrow their place');
  return { config: builder.config, fixmapEntry, bytes };
};
