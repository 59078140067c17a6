import { decodeStage2Config, type Stage2Config } from '@numalab/machine';
import { isSameMachine, type MachineSpec, type NodeReport } from '@numalab/node-worker';
import type { TableFinding } from './finding.ts';

const areEqual = (x: readonly number[] | null, y: readonly number[] | null): boolean => {
  if (x === null || y === null || x.length !== y.length) return false;
  for (let i = 0; i < x.length; i++) if (x[i] !== y[i]) return false;
  return true;
};

/** What a judge found in tables, in each of which so many ranges should be donated. */
export interface TableJudgement {
  readonly found: readonly TableFinding[];
  readonly donated: number;
}

/** What of a node's report a judgement of its tables hangs on. */
type Tables = Pick<NodeReport, 'memory' | 'tables' | 'pages'>;

/**
 * Whether two nodes left the same tables: the same registers, and memories that went back to one checkpoint, which is known by its
 * arena, and differ from it in the same words. A node with pages that are mapped otherwise than others is never the same.
 */
const isSameNode = (x: Tables, y: Tables): boolean =>
  x.memory.arena === y.memory.arena &&
  x.pages.length === 0 &&
  y.pages.length === 0 &&
  x.tables?.vtcr === y.tables?.vtcr &&
  x.tables?.vttbr === y.tables?.vttbr &&
  x.tables?.paMax === y.tables?.paMax &&
  x.tables?.usedPages === y.tables?.usedPages &&
  areEqual(x.memory.changes, y.memory.changes);

/**
 * Remembers the last tables that were judged: most runs of a hunt leave the same, and comparing them costs next to nothing beside
 * judging them. Exact: a judgement reads the machine, registers and memory outside the text, and all of these are compared.
 */
export class TableMemo {
  private spec: MachineSpec | null = null;
  private nodes: readonly Tables[] = [];
  private judged: TableJudgement = { found: [], donated: 0 };
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

  /** What `judgeAnew` says of the tables that a run of `spec` left on `nodes`, which it is only asked if they are others. */
  judge(spec: MachineSpec, nodes: readonly NodeReport[], judgeAnew: () => TableJudgement): TableJudgement {
    if (this.spec !== null && isSameMachine(this.spec, spec) && this.areSame(nodes)) {
      this.hits++;
      return this.judged;
    }
    this.judged = judgeAnew();
    this.spec = spec;
    this.nodes = nodes.map(({ memory, tables, pages }) => ({ memory, tables, pages }));
    return this.judged;
  }

  private areSame(nodes: readonly NodeReport[]): boolean {
    for (let i = 0; i < nodes.length; i++) if (!isSameNode(this.nodes[i]!, nodes[i]!)) return false;
    return true;
  }
}
