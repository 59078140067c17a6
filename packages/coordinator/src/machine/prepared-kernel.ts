import { alignUp, formatVa, InputError, toVa } from '@numalab/base';
import { type KernelImage, type ReplicatedRange, replicatedRanges } from '@numalab/kernel';
import { GRANULES } from '@numalab/machine';
import { FIXMAP_TEXT_POKE, type KernelText } from '@numalab/node-worker';
import { displayPath } from '../scenario/files.ts';
import type { Scenario } from '../scenario/scenario.ts';
import { formatSize } from '../scenario/units.ts';
import { loadKernel } from './load-kernel.ts';
import { fieldOf } from './place.ts';
import { type PreparedTrace, prepareTrace } from './recorded-trace.ts';
import { shareArray } from './shared-array.ts';

const TWO_MIB = 2 ** 21;
const ASSUMED_PAGE_BYTES = 4096;
/** The largest page that the fixmap's slot can take. */
const FIXMAP_PAGE = 2 ** 16;
/** Where kernels with VAs of 48 bits were linked until Linux 6.9, bits 51:0. */
const ASSUMED_LINK_VA = 0xf_8000_0800_0000;

/** Everything about a scenario's kernel that does not depend on the seed. */
export interface PreparedKernel {
  readonly image: KernelImage;
  /** The image as it is when writers other than the recorded one begin: after the trace, if there is one. */
  readonly planned: KernelImage;
  readonly text: KernelText;
  readonly trace: PreparedTrace | undefined;
  /** What was assumed, for the report. */
  readonly notes: readonly string[];
}

const messageName = ({ kernel }: Scenario): string =>
  kernel.image === 'builtin' ? 'the builtin kernel' : displayPath(kernel.image);

const rangesOf = (scenario: Scenario, image: KernelImage): readonly ReplicatedRange[] => {
  const where = fieldOf(scenario, `kernel.image: ${messageName(scenario)}`);
  const { regions, unknown } = image;
  if (regions.text === null) {
    const why = unknown['regions.text'] ?? 'the bounds of its text are unknown';
    throw new InputError(where, `cannot be replicated: ${why}`);
  }
  const { granule } = scenario.machine.stage2;
  const loadIpa = scenario.machine.base + TWO_MIB;
  const ranges = replicatedRanges(image, GRANULES[granule].bytes, scenario.replication.range, loadIpa);
  if (!ranges.some(({ kind }) => kind === 'replica')) {
    throw new InputError(
      where,
      `cannot be replicated: its text fills no granule of ${granule} (machine.stage2.granule)`,
    );
  }
  return ranges;
};

/** Functions that lie in copies or in what EL2 shares: a walk may call them without leaving the replicated range. */
const functionsIn = (image: KernelImage, ranges: readonly ReplicatedRange[]): Int32Array =>
  image.functions.filter((start) =>
    ranges.some((range) => range.kind !== 'hole' && start >= range.start && start < range.end),
  );

const notesOf = (scenario: Scenario, image: KernelImage, trace: PreparedTrace | undefined): string[] => {
  const notes: string[] = [];
  const name = messageName(scenario);
  if (image.pageSize === null) notes.push(`${name} leaves its page size open: 4 KiB assumed`);
  if (image.linkVa === null) {
    notes.push(
      `${name} does not tell where it is linked (${image.unknown.linkVa ?? 'unknown'}): 0xffff800008000000 assumed`,
    );
  }
  if (image.header.textOffset !== 0) {
    notes.push(`${name} asks for text_offset ${image.header.textOffset}; it is loaded at base + 2 MiB all the same`);
  }
  if (scenario.replication.range === 'text+rodata' && image.constantRodataEnd === null) {
    notes.push(`rodata is not replicated: ${image.unknown.constantRodataEnd ?? 'its constant end is unknown'}`);
  }
  const derived = image.derived.constantRodataEnd;
  if (derived !== undefined) notes.push(`end of constant rodata: ${derived}`);
  if (trace !== undefined) notes.push(traceNote(trace));
  return notes;
};

const traceNote = ({ summary }: PreparedTrace): string => {
  const { file, protectAt, rows, trapped, atBoot, rowsAfterBoot, inHoles } = summary;
  const setting =
    protectAt === 0
      ? 'protectAt 0 is a stress setting: the text is protected before'
      : `protectAt ${protectAt}: the text is protected at`;
  const moment = protectAt === 0 ? 'the first store' : `sequence number ${protectAt}`;
  return `${file}: ${setting} ${moment}, so ${trapped} of ${rows} rows trap (${atBoot} at boot, ${inHoles} of them into EL2's own pages); a real pKVM could trap ${rowsAfterBoot} at most`;
};

/** The image a scenario names. Throws InputError naming the field, and the file that cannot be used. */
const imageOf = (scenario: Scenario): KernelImage => {
  try {
    return loadKernel(scenario.kernel);
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    throw new InputError(fieldOf(scenario, 'kernel.image'), error.message);
  }
};

/** VA of `_text`, bits 51:0. Throws InputError if `kernel.kaslrOffset` moves the image onto the fixmap or beyond the last VA. */
const linkVaOf = (scenario: Scenario, image: KernelImage): number => {
  const { kaslrOffset } = scenario.kernel;
  const linkVa = (image.linkVa ?? ASSUMED_LINK_VA) + kaslrOffset;
  const end = linkVa + image.imageSize;
  if (end <= FIXMAP_TEXT_POKE || (linkVa > FIXMAP_TEXT_POKE + FIXMAP_PAGE && end <= 2 ** 52)) return linkVa;
  throw new InputError(
    fieldOf(scenario, 'kernel.kaslrOffset'),
    `${formatSize(kaslrOffset)} moves the kernel from ${formatVa(toVa(linkVa - kaslrOffset))} out of the range that kernels have`,
  );
};

const prepare = (scenario: Scenario): PreparedKernel => {
  const image = imageOf(scenario);
  const ranges = rangesOf(scenario, image);
  const functions = functionsIn(image, ranges);
  if (functions.length === 0) {
    const where = fieldOf(scenario, `kernel.image: ${messageName(scenario)}`);
    throw new InputError(where, 'cannot be walked: no function is known (kernel.map names a System.map)');
  }
  const trace = prepareTrace(scenario, image, ranges);
  const text: KernelText = {
    words: image.words,
    imageBytes: alignUp(image.imageSize, 4),
    pageBytes: image.pageSize ?? ASSUMED_PAGE_BYTES,
    linkVa: linkVaOf(scenario, image),
    text: image.regions.text!,
    ranges: ranges.map(({ start, end, kind }) => ({ start, end, kind })),
    functions: shareArray(functions),
  };
  const planned = trace === undefined ? image : { ...image, words: trace.after };
  return { image, planned, text, trace, notes: notesOf(scenario, image, trace) };
};

const known = new WeakMap<Scenario, PreparedKernel>();

/**
 * What a scenario's runs have in common whatever their seed: the kernel, what is replicated of it, the recorded trace. Worked
 * out once per scenario object. Throws InputError.
 */
export const preparedKernel = (scenario: Scenario): PreparedKernel => {
  let prepared = known.get(scenario);
  if (prepared === undefined) {
    prepared = prepare(scenario);
    known.set(scenario, prepared);
  }
  return prepared;
};
