import { assert } from '@numalab/base';
import { NodeMemory } from '@numalab/machine';
import type { NodeReport } from '@numalab/node-worker';
import { imageWords, layOut } from '@numalab/node-worker';
import type { PreparedMachine } from '../machine/build-spec.ts';

/** The words of the replicated span in a node's memory: its own copy, or the primary on node 0. */
const copyWords = ({ spec }: PreparedMachine, report: NodeReport): ((offset: number) => number) => {
  const layout = layOut(spec);
  const memory = NodeMemory.attach(report.memory);
  const start = layout.copyPa[report.id]! - layout.spanStart;
  assert(memory.textAt(layout.copyPa[report.id]!) !== null, `node ${report.id} has a copy of the text`);
  return (offset) => memory.load32(start + offset);
};

/**
 * The bytes of [_stext, _etext) as the cores of node `id` see them at the end of a run: its copy where it has one, the primary
 * where granules are shared or nothing is replicated, EL2's memory in holes, and the image, with what boot stored there,
 * outside the replicated span. Callers pass the reports of all nodes.
 */
export const textAsSeen = (prepared: PreparedMachine, reports: readonly NodeReport[], id: number): Uint8Array => {
  const { spec, outsideStores } = prepared;
  const { text, ranges } = spec.kernel;
  const layout = layOut(spec);
  const words = spec.kernel.words.slice(text.start >> 2, text.end >> 2);
  const put = (offset: number, value: number): void => {
    if (offset >= text.start && offset < text.end) words[(offset - text.start) >> 2] = value;
  };
  for (let i = 0; i < outsideStores.words.length; i++) put(outsideStores.words[i]! * 4, outsideStores.values[i]!);
  const primary = copyWords(prepared, reports[0]!);
  const own = spec.strategy === 'none' ? primary : copyWords(prepared, reports[id]!);
  const atBoot = imageWords(spec, layout);
  const inHole = (offset: number): number => atBoot[(offset - layout.spanStart) >> 2]!;
  for (const { start, end, kind } of ranges) {
    const isOwn = kind === 'replica' || (kind === 'shared' && spec.strategy === 'stage1');
    const wordAt = kind === 'hole' ? inHole : isOwn ? own : primary;
    for (let offset = start; offset < Math.min(end, text.end); offset += 4) put(offset, wordAt(offset));
  }
  const bytes = new Uint8Array(words.length * 4);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < words.length; i++) view.setUint32(4 * i, words[i]!, true);
  return bytes;
};
