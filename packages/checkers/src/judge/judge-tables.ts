import { decodeStage2Config, GRANULES, NodeMemory, type Stage2Config } from '@numalab/machine';
import { type Finding, layOut, type MachineSpec, type NodeReport } from '@numalab/node-worker';
import {
  checkTables,
  type DesignatedCopy,
  type DonatedRange,
  type TableExpectations,
  type TableMemo,
} from '../tables/index.ts';

/**
 * Puts T1 to T3 and T6 to the tables as a run left them, and collects what the watchers of T4 found. The ranges are derived
 * from the layout here once more, not asked of the code that built the tables. `memo` saves judging the same tables again.
 */
export const judgeTables = (
  spec: MachineSpec,
  nodes: readonly NodeReport[],
  memo: TableMemo | null = null,
): { findings: Finding[]; evidence: Record<string, number> } => {
  if (spec.strategy !== 'stage2') return { findings: [], evidence: {} };
  const layout = layOut(spec);
  const page = GRANULES[spec.granule].bytes;
  const ipaOf = (offset: number): number => layout.imageIpa + offset;
  const text = spec.kernel.ranges.filter((range) => range.kind !== 'hole');
  const donated: DonatedRange[] = [];
  const replicas: { node: number; start: number; end: number }[] = [];
  for (let node = 0; node < spec.nodes; node++) {
    const pool = layout.poolPa[node]!;
    donated.push({ start: pool, end: pool + layout.poolBytes, what: `the pool of node ${node}` });
    if (node === 0) continue;
    const start = layout.copyPa[node]!;
    const end = start + layout.spanEnd - layout.spanStart;
    replicas.push({ node, start, end });
    donated.push({ start, end, what: `the replica of node ${node}` });
  }
  for (const { kind, start, end } of spec.kernel.ranges) {
    if (kind === 'hole') donated.push({ start: ipaOf(start), end: ipaOf(end), what: 'a hole' });
  }
  const designated = nodes.map(({ id, pages }) =>
    text.flatMap(({ start, end, kind }): DesignatedCopy[] => {
      const copy = (from: number, to: number, node: number): DesignatedCopy => {
        const pa = layout.copyPa[node]! + from - layout.spanStart;
        return { start: ipaOf(from), end: ipaOf(to), pa };
      };
      const copies: DesignatedCopy[] = [];
      let from = start;
      for (const { page: number, state } of pages) {
        const at = number * page;
        if (at < start || at >= end) continue;
        if (at > from) copies.push(copy(from, at, kind === 'shared' ? 0 : id));
        if (state === 'primary') copies.push(copy(at, at + page, 0));
        from = at + page;
      }
      if (from < end) copies.push(copy(from, end, kind === 'shared' ? 0 : id));
      return copies;
    }),
  );
  const configOf = (id: number, ...registers: Parameters<typeof decodeStage2Config>): Stage2Config =>
    memo?.configOf(id, ...registers) ?? decodeStage2Config(...registers);
  const expected: TableExpectations = {
    nodes: nodes.map(({ id, memory, tables }) => ({
      node: id,
      memory: NodeMemory.attach(memory),
      config: configOf(id, tables!.vtcr, tables!.vttbr, tables!.paMax),
      pools: [{ start: layout.poolPa[id]!, end: layout.poolPa[id]! + layout.poolPages * page }],
      pagesUsed: tables!.usedPages,
    })),
    text: text.map(({ start, end }) => ({ start: ipaOf(start), end: ipaOf(end) })),
    designated,
    replicas,
    donated,
  };
  const found =
    memo === null
      ? checkTables(expected)
      : memo.check(
          expected,
          nodes.map(({ memory }) => memory),
        );
  const edits = nodes.reduce((sum, node) => sum + node.tableEdits, 0);
  const cached = nodes.reduce((sum, node) => sum + node.translationsChecked, 0);
  const pages = nodes.reduce((sum, node) => sum + node.tables!.usedPages, 0);
  const findings = [...found, ...nodes.flatMap((node) => node.tableFindings)];
  return {
    findings: findings.map(({ id, message }) => ({ id, message, timePs: 0 })),
    evidence: { T1: pages, T2: pages, T3: donated.length * nodes.length, T4: edits, T5: cached, T6: pages },
  };
};
