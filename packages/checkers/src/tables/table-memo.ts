import { decodeStage2Config, type SharedNodeMemory, type Stage2Config } from '@numalab/machine';
import { checkTables, type TableExpectations } from './check-tables.ts';
import type { TableFinding } from './finding.ts';

/** Whether two values are the same plain data. Arrays of memory are the same only if they are one. */
const isSame = (x: unknown, y: unknown): boolean => {
  if (x === y) return true;
  if (typeof x !== 'object' || typeof y !== 'object' || x === null || y === null || ArrayBuffer.isView(x)) return false;
  if (Array.isArray(x)) {
    if (!Array.isArray(y) || x.length !== y.length) return false;
    for (let i = 0; i < x.length; i++) if (!isSame(x[i], y[i])) return false;
    return true;
  }
  const [before, after] = [x as Readonly<Record<string, unknown>>, y as Readonly<Record<string, unknown>>];
  for (const key in before) if (!isSame(before[key], after[key])) return false;
  for (const key in after) if (!(key in before)) return false;
  return true;
};

/**
 * Remembers the last tables that were judged: most runs of a hunt leave the same, and comparing them costs a fiftieth of judging them.
 * Exact: a judgement reads registers and memory outside the text, and of two memories that went back to one checkpoint and
 * differ from it in the same words, all words are the same.
 */
export class TableMemo {
  /** What the tables that were judged last hung on; null: nothing is known of them. */
  private judged: unknown = null;
  private found: readonly TableFinding[] = [];
  private readonly configs: Stage2Config[] = [];
  /** Judgements that were taken from memory. */
  hits = 0;

  /** What {@link decodeStage2Config} makes of the registers of a node; decoded again only if they are others than before. */
  configOf(node: number, vtcr: bigint, vttbr: bigint, paMax: number): Stage2Config {
    let config = this.configs[node];
    if (config === undefined || config.vtcr !== vtcr || config.vttbr !== vttbr || config.paMax !== paMax) {
      config = decodeStage2Config(vtcr, vttbr, paMax);
      this.configs[node] = config;
    }
    return config;
  }

  /** What {@link checkTables} finds in tables that lie in `memories`, a memory for each node. */
  check(expected: TableExpectations, memories: readonly SharedNodeMemory[]): readonly TableFinding[] {
    const { nodes, ...rest } = expected;
    // A checkpoint is known by its arena, which is one and the same from reset to reset.
    const known = [
      nodes.map(({ node, pools, pagesUsed, config }) => [node, pools, pagesUsed, config]),
      memories.map(({ arena, changes }) => [arena, changes]),
      rest,
    ];
    if (isSame(known, this.judged)) {
      this.hits++;
      return this.found;
    }
    this.found = checkTables(expected);
    this.judged = memories.every(({ changes }) => changes !== null) ? known : null;
    return this.found;
  }
}
