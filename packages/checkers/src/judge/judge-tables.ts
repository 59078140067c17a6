import { decodeStage2Config, GRANULES, NodeMemory, type Stage2Config } from '@numalab/machine';
import { type Finding, layOut, type MachineLayout, type MachineSpec, type NodeReport } from '@numalab/node-worker';
import {
  checkTables,
  type DesignatedCopy,
  type DonatedRange,
  type TableExpectations,
  type TableJudgement,
  type TableMemo,
} from '../tables/index.ts';

/** What EL2 has taken from the host: pools, replicas, holes. */
const donatedRanges = (spec: MachineSpec, layout: MachineLayout): DonatedRange[] => {
  const donated: DonatedRange[] = [];
  for (let node = 0; node < spec.nodes; node++) {
    const pool = layout.poolPa[node]!;
    donated.push({ start: pool, end: pool + layout.poolBytes, what: `the pool of node ${node}` });
    if (node === 0) continue;
    const start = layout.copyPa[node]!;
    const end = start + layout.spanEnd - layout.spanStart;
    donated.push({ start, end, what: `the replica of node ${node}` });
  }
  for (const { kind, start, end } of spec.kernel.ranges) {
    const { imageIpa } = layout;
    if (kind === 'hole') donated.push({ start: imageIpa + start, end: imageIpa + end, what: 'a hole' });
  }
  return donated;
};

/** Which copy a node's tables should map for each part of the replicated text. */
const designatedCopies = (spec: MachineSpec, layout: MachineLayout, { id, pages }: NodeReport): DesignatedCopy[] => {
  const pageBytes = GRANULES[spec.granule].bytes;
  const copies: DesignatedCopy[] = [];
  const add = (from: number, to: number, node: number): void => {
    const pa = layout.copyPa[node]! + from - layout.spanStart;
    copies.push({ start: layout.imageIpa + from, end: layout.imageIpa + to, pa });
  };
  for (const { start, end, kind } of spec.kernel.ranges) {
    if (kind === 'hole') continue;
    const node = kind === 'shared' ? 0 : id;
    let from = start;
    for (const { page, state } of pages) {
      const at = page * pageBytes;
      if (at < start || at >= end) continue;
      if (at > from) add(from, at, node);
      if (state === 'primary') add(at, at + pageBytes, 0);
      from = at + pageBytes;
    }
    if (from < end) add(from, end, node);
  }
  return copies;
};

/** The ranges are derived from the layout here once more, not asked of the code that built the tables. */
const expectationsOf = (
  spec: MachineSpec,
  nodes: readonly NodeReport[],
  configOf: (node: number, ...registers: Parameters<typeof decodeStage2Config>) => Stage2Config,
): TableExpectations => {
  const layout = layOut(spec);
  const { imageIpa, poolPa, poolPages, copyPa, spanStart, spanEnd } = layout;
  const pageBytes = GRANULES[spec.granule].bytes;
  const text = spec.kernel.ranges.filter((range) => range.kind !== 'hole');
  return {
    nodes: nodes.map(({ id, memory, tables }) => ({
      node: id,
      memory: NodeMemory.attach(memory),
      config: configOf(id, tables!.vtcr, tables!.vttbr, tables!.paMax),
      pools: [{ start: poolPa[id]!, end: poolPa[id]! + poolPages * pageBytes }],
      pagesUsed: tables!.usedPages,
    })),
    text: text.map(({ start, end }) => ({ start: imageIpa + start, end: imageIpa + end })),
    designated: nodes.map((node) => designatedCopies(spec, layout, node)),
    replicas: nodes
      .slice(1)
      .map(({ id }) => ({ node: id, start: copyPa[id]!, end: copyPa[id]! + spanEnd - spanStart })),
    donated: donatedRanges(spec, layout),
  };
};

/**
 * Puts T1 to T3 and T6 to the tables as a run left them, and collects what the watchers of T4 found. `memo` saves judging the same
 * tables again.
 */
export const judgeTables = (
  spec: MachineSpec,
  nodes: readonly NodeReport[],
  memo: TableMemo | null = null,
): { findings: Finding[]; evidence: Record<string, number> } => {
  if (spec.strategy !== 'stage2') return { findings: [], evidence: {} };
  const judgeAnew = (): TableJudgement => {
    const expected = expectationsOf(
      spec,
      nodes,
      (node, ...registers) => memo?.configOf(node, ...registers) ?? decodeStage2Config(...registers),
    );
    return { found: checkTables(expected), donated: expected.donated.length };
  };
  const { found, donated } = memo === null ? judgeAnew() : memo.judge(spec, nodes, judgeAnew);
  const findings: Finding[] = found.map(({ id, message }) => ({ id, message, timePs: 0 }));
  let [pages, edits, cached] = [0, 0, 0];
  for (const { tables, tableEdits, tableFindings, translationsChecked } of nodes) {
    for (const { id, message } of tableFindings) findings.push({ id, message, timePs: 0 });
    pages += tables!.usedPages;
    edits += tableEdits;
    cached += translationsChecked;
  }
  const tested = nodes.length * donated;
  return { findings, evidence: { T1: pages, T2: pages, T3: tested, T4: edits, T5: cached, T6: pages } };
};
