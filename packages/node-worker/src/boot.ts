import { alignUp, assert } from '@numalab/base';
import {
  allocRoot,
  drain,
  GRANULES,
  HostStage2,
  type IpaRange,
  MEMATTR_NORMAL,
  makeStage2Config,
  NO_OBSERVER,
  OWNER_HYP,
  PagePool,
  type Stage2Config,
  Stage2Editor,
  Stage2Walker,
  stage2Attributes,
  type TableObserver,
} from '@numalab/machine';
import type { MachineLayout } from './layout.ts';
import type { KernelText, MachineSpec } from './spec.ts';

/** Attributes of replicated text: read-only, executable by EL1 alone; of constants: read-only. DBM is clear in both. */
export const TEXT_ATTRS: number = stage2Attributes({
  read: true,
  write: false,
  execute: 'el1',
  memAttr: MEMATTR_NORMAL,
});
export const RODATA_ATTRS: number = stage2Attributes({
  read: true,
  write: false,
  execute: 'none',
  memAttr: MEMATTR_NORMAL,
});

/** Stage-2 attributes of the replicated range at `offset` from `_text`. */
export const attrsOf = (spec: MachineSpec, offset: number): number =>
  offset < spec.kernel.text.end ? TEXT_ATTRS : RODATA_ATTRS;

/** As the range must never be mapped: bug 33. */
export const WRITABLE_ATTRS: number = stage2Attributes({
  read: true,
  write: true,
  execute: 'el1',
  memAttr: MEMATTR_NORMAL,
});

type TextRange = MachineSpec['kernel']['ranges'][number];

/** A range as the parts that differ in {@link attrsOf}: a granule that holds the end of text stays executable. */
const splitAtRodata = (spec: MachineSpec, range: TextRange): TextRange[] => {
  const rodata = alignUp(spec.kernel.text.end, GRANULES[spec.granule].bytes);
  if (rodata <= range.start || rodata >= range.end) return [range];
  return [
    { ...range, end: rodata },
    { ...range, start: rodata },
  ];
};

/** A node's stage-2 tables and the EL2 software that edits them. */
export interface BootedTables {
  readonly config: Stage2Config;
  readonly pool: PagePool;
  readonly editor: Stage2Editor;
  readonly host: HostStage2;
  readonly walker: Stage2Walker;
}

/** Boot images by the kernel and what boot stores to it. */
const bootImages = new WeakMap<KernelText, WeakMap<MachineSpec['bootStores'], Uint32Array>>();

/** The words of the replicated span as they are when replication begins; made once for all seeds, never changed. */
export const imageWords = (spec: MachineSpec, layout: MachineLayout): Uint32Array => {
  const ofKernel = bootImages.get(spec.kernel) ?? new WeakMap<MachineSpec['bootStores'], Uint32Array>();
  bootImages.set(spec.kernel, ofKernel);
  const known = ofKernel.get(spec.bootStores);
  if (known !== undefined) return known;
  const words = spec.kernel.words.slice(layout.spanStart >> 2, layout.spanEnd >> 2);
  const { words: at, values } = spec.bootStores;
  for (let i = 0; i < at.length; i++) words[at[i]! - (layout.spanStart >> 2)] = values[i]!;
  ofKernel.set(spec.bootStores, words);
  return words;
};

const bootKernels = new WeakMap<MachineSpec['bootStores'], Uint32Array>();

/** The Image's words from `_text` on, with what boot stores to the replicated span; never changed. */
export const kernelWords = (spec: MachineSpec): Uint32Array => {
  const { words: at, values } = spec.bootStores;
  if (at.length === 0) return spec.kernel.words;
  const known = bootKernels.get(spec.bootStores);
  if (known !== undefined) return known;
  const words = spec.kernel.words.slice();
  for (let i = 0; i < at.length; i++) words[at[i]!] = values[i]!;
  bootKernels.set(spec.bootStores, words);
  return words;
};

/** Ranges of IPA that belong to EL2 on every node: pools and replicas, at their own PA, and holes. */
export const ownedRanges = (spec: MachineSpec, layout: MachineLayout): IpaRange[] => {
  const ranges: IpaRange[] = [];
  const { copyPa, poolPa, poolBytes, spanStart, spanEnd, imageIpa } = layout;
  for (let node = 0; node < spec.nodes; node++) {
    if (node > 0) ranges.push({ start: copyPa[node]!, end: copyPa[node]! + spanEnd - spanStart });
    ranges.push({ start: poolPa[node]!, end: poolPa[node]! + poolBytes });
  }
  for (const range of spec.kernel.ranges) {
    if (range.kind === 'hole') ranges.push({ start: imageIpa + range.start, end: imageIpa + range.end });
  }
  return ranges;
};

/** IPA ranges that faults never map: what EL2 owns, and the replicated range. */
const protectedRanges = (spec: MachineSpec, layout: MachineLayout): IpaRange[] => [
  ...ownedRanges(spec, layout),
  ...spec.kernel.ranges
    .filter((range) => range.kind !== 'hole')
    .map((range) => ({ start: layout.imageIpa + range.start, end: layout.imageIpa + range.end })),
];

/**
 * Builds a node's stage-2 tables before HCR_EL2.VM is set, so that no break-before-make is due: annotations first, so that
 * no lazy mapping can ever cover what EL2 took; then the replicated range, read-only, onto the node's own copy; with eager
 * population all memory of all nodes and the MMIO below it. Linux's own order is the same ([arm64 reference 0.15, 2.2]).
 */
export const buildTables = (
  id: number,
  spec: MachineSpec,
  layout: MachineLayout,
  memory: ConstructorParameters<typeof Stage2Editor>[0],
  observe: (config: Stage2Config) => TableObserver = () => NO_OBSERVER,
): BootedTables => {
  const granule = GRANULES[spec.granule];
  const options = { granule: spec.granule, ipaBits: spec.ipaBits, lpa2: spec.lpa2 };
  const probe = makeStage2Config({ ...options, rootPa: 0 });
  const pool = new PagePool(granule.bytes, layout.poolPa[id]!, layout.poolPages);
  const rootPa = allocRoot(pool, probe);
  assert(rootPa >= 0, 'the pool holds the root');
  const config = makeStage2Config({ ...options, rootPa });
  const editor = new Stage2Editor(memory, config, pool, observe(config), spec.bugs);
  for (const { start, end } of ownedRanges(spec, layout)) {
    assert(drain(editor.annotate(start, end - start, OWNER_HYP)) === 0, 'annotating at boot');
  }
  for (const { start, end, kind } of spec.kernel.ranges.flatMap((range) => splitAtRodata(spec, range))) {
    if (kind === 'hole') continue;
    const copy = kind === 'shared' ? 0 : id;
    const pa = layout.copyPa[copy]! + start - layout.spanStart;
    const status = drain(editor.map(layout.imageIpa + start, end - start, pa, attrsOf(spec, start)));
    assert(status === 0, `mapping the replicated range at boot: ${status}`);
  }
  const host = hostOf(editor, spec, layout);
  if (spec.population === 'eager') assert(drain(host.populate()) === 0, 'eager population at boot');
  return { config, pool, editor, host, walker: new Stage2Walker(memory, config) };
};

const hostOf = (editor: Stage2Editor, spec: MachineSpec, layout: MachineLayout): HostStage2 =>
  new HostStage2(editor, {
    regions: [{ base: spec.base, bytes: spec.nodes * spec.memoryPerNode }],
    protectedRanges: protectedRanges(spec, layout),
  });

/** New software over tables that are there already, in `memory` under `config` with pages from `pool`. */
export const reopenTables = (
  { config, pool, walker, host }: BootedTables,
  spec: MachineSpec,
  memory: ConstructorParameters<typeof Stage2Editor>[0],
  observer: TableObserver,
): BootedTables => {
  const editor = new Stage2Editor(memory, config, pool, observer, spec.bugs);
  return { config, pool, editor, host: new HostStage2(editor, host), walker };
};
