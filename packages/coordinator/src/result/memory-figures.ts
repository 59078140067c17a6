import type { KernelImage } from '@numalab/kernel';
import { ACCESS_READ, decodeStage2Config, NodeMemory, Stage2Walker } from '@numalab/machine';
import { buildStage1, layOut, type MachineSpec, type NodeReport } from '@numalab/node-worker';
import { formatSize, parseSize } from '../scenario/units.ts';
import type { MemoryFigures } from './run-result.ts';

/** Bytes of the replicated range by the size of the leaf, contiguous group included, that maps them on one node. */
const leafBytesOf = (spec: MachineSpec, { memory, tables }: NodeReport): Record<string, number> => {
  const bytes: Record<string, number> = {};
  if (tables === null) return bytes;
  const walker = new Stage2Walker(
    NodeMemory.attach(memory),
    decodeStage2Config(tables.vtcr, tables.vttbr, tables.paMax),
  );
  const { imageIpa } = layOut(spec);
  for (const { start, end, kind } of spec.kernel.ranges) {
    if (kind === 'hole') continue;
    for (let ipa = imageIpa + start; ipa < imageIpa + end; ) {
      if (walker.walk(ipa, ACCESS_READ) !== 0) break;
      const next = Math.min(imageIpa + end, ipa - (ipa % walker.leafBytes) + walker.leafBytes);
      const size = formatSize(walker.leafBytes);
      bytes[size] = (bytes[size] ?? 0) + next - ipa;
      ipa = next;
    }
  }
  return bytes;
};

/** {@link leafBytesOf} of several nodes, largest leaves first. */
const sumLeaves = (all: readonly Readonly<Record<string, number>>[]): Record<string, number> => {
  const sums = new Map<string, number>();
  for (const one of all) for (const [size, bytes] of Object.entries(one)) sums.set(size, (sums.get(size) ?? 0) + bytes);
  return Object.fromEntries([...sums].sort(([a], [b]) => parseSize(b) - parseSize(a)));
};

const bytesOfKind = ({ kernel }: MachineSpec, wanted: string): number =>
  kernel.ranges.reduce((sum, { start, end, kind }) => sum + (kind === wanted ? end - start : 0), 0);

/** Constant bytes of the kernel's own text and rodata, as far as they are known to be constant. */
const constantBytes = ({ regions, el2Text, constantRodataEnd }: KernelImage): number => {
  const text = regions.text!;
  const el2 = el2Text === null ? 0 : el2Text.end - el2Text.start;
  return Math.max(text.end, constantRodataEnd ?? 0) - text.start - el2;
};

/** What one node takes for replication. `spec.strategy` none takes nothing. */
export const nodeMemoryFigures = (spec: MachineSpec, image: KernelImage, report: NodeReport): MemoryFigures => {
  const { strategy } = spec;
  const byStage2 = strategy === 'stage2';
  const layout = layOut(spec);
  const span = layout.spanEnd - layout.spanStart;
  // The kernel copies all of its span, EL2's text included.
  const replicatedBytes = byStage2 ? bytesOfKind(spec, 'replica') : strategy === 'stage1' ? span : 0;
  return {
    replicaBytes: strategy !== 'none' && report.id > 0 ? span : 0,
    replicatedBytes,
    holeBytes: byStage2 ? bytesOfKind(spec, 'hole') : 0,
    sharedBytes: byStage2 ? bytesOfKind(spec, 'shared') : 0,
    notReplicatedConstantBytes: Math.max(0, constantBytes(image) - replicatedBytes),
    stage2Bytes: report.stage2?.usedBytes ?? 0,
    stage2ReservedBytes: report.stage2?.reservedBytes ?? 0,
    stage1Bytes: strategy === 'stage1' && report.id > 0 ? buildStage1(spec, layout, report.id, null).bytes : 0,
    leafBytes: sumLeaves([leafBytesOf(spec, report)]),
    committedBytes: report.committedBytes,
  };
};

/** All nodes together; what is the same on every node (a copy's size) stays as it is. */
export const totalMemory = (nodes: readonly MemoryFigures[]): MemoryFigures => {
  const sum = (pick: (memory: MemoryFigures) => number): number => nodes.reduce((total, node) => total + pick(node), 0);
  return {
    ...nodes[0]!,
    replicaBytes: sum((memory) => memory.replicaBytes),
    stage2Bytes: sum((memory) => memory.stage2Bytes),
    stage2ReservedBytes: sum((memory) => memory.stage2ReservedBytes),
    stage1Bytes: sum((memory) => memory.stage1Bytes),
    committedBytes: sum((memory) => memory.committedBytes),
    leafBytes: sumLeaves(nodes.map((node) => node.leafBytes)),
  };
};
