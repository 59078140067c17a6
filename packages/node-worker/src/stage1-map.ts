import { alignDown, assert } from '@numalab/base';
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
import { FIXMAP_TEXT_POKE, LINEAR_MAP, type MachineLayout } from './layout.ts';
import type { MachineSpec } from './spec.ts';

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

  /** Maps [va, va + bytes) to `ipa` on, by the largest leaves and contiguous groups that fit, as Linux maps its image. */
  map(va: number, ipa: number, bytes: number, attributes: typeof DATA): void {
    const { granule, config } = this;
    for (let at = 0; at < bytes; ) {
      let level = config.startLevel;
      const fits = (size: number): boolean => (va + at) % size === 0 && (ipa + at) % size === 0 && at + size <= bytes;
      while (level < 3 && !(blockAllowed(granule, level, config) && fits(levelBytes(granule, level)))) level++;
      const size = levelBytes(granule, level);
      const group = contiguousEntries(granule, level);
      const contiguous = group > 1 && fits(size * group);
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

/**
 * Builds the kernel's stage-1 tables: the image (text read-only and executable, constants read-only, the rest writable), the
 * linear map around it, and a fixmap slot. `memory` is node 0's, or null on other nodes, which only learn where things are.
 */
export const buildStage1 = (spec: MachineSpec, layout: MachineLayout, memory: WordMemory | null): Stage1Map => {
  const { kernel } = spec;
  const config = makeStage1Config({
    granule: granuleOf(kernel.pageBytes),
    vaBits: 48,
    rootPa: layout.stage1Pa,
    lpa2: false,
  });
  const builder = new Builder(memory, config);
  const page = kernel.pageBytes;
  const map = (start: number, end: number, attributes: typeof DATA): void =>
    builder.map(kernel.linkVa + start, layout.imageIpa + start, end - start, attributes);
  const textStart = alignDown(kernel.text.start, page);
  const constantEnd = Math.max(kernel.text.end, alignDown(layout.spanEnd, page));
  if (textStart > 0) map(0, textStart, DATA);
  map(textStart, kernel.text.end, spec.writers.some(storesByImageAlias) ? EARLY_TEXT : TEXT);
  if (constantEnd > kernel.text.end) map(kernel.text.end, constantEnd, RODATA);
  map(constantEnd, Math.ceil(kernel.imageBytes / page) * page, DATA);
  const linear = 2 ** 21;
  builder.map(LINEAR_MAP, spec.base, Math.ceil((2 * linear + kernel.imageBytes) / linear) * linear, DATA);
  const fixmapEntry = builder.entry(FIXMAP_TEXT_POKE, 3);
  assert(builder.next <= layout.stage1Pa + layout.stage1Bytes, 'the stage-1 tables outgrow their place');
  return { config, fixmapEntry, bytes: builder.next - layout.stage1Pa };
};
