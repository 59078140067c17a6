import { decodeStage2Config, type Stage2Config } from '@numalab/machine';
import { checkTables, type TableExpectations } from './check-tables.ts';
import type { TableFinding } from './finding.ts';
import type { NodeTables } from './table-view.ts';

/** A table page as it was. */
interface KeptPage {
  readonly node: number;
  readonly pa: number;
  readonly words: Uint32Array;
}

const expectationsKey = ({ nodes, ...expected }: TableExpectations): string =>
  JSON.stringify([
    expected,
    nodes.map(({ node, pools, pagesUsed, config }) => [
      node,
      pools,
      pagesUsed,
      String(config.vtcr),
      String(config.vttbr),
    ]),
  ]);

/**
 * Remembers the last tables that were judged. Most runs of a hunt leave the same tables, and comparing them with those of the
 * run before costs a tenth of judging them. Exact: every page that the last judgement read is compared word for word, and a
 * judgement reads nothing else.
 */
export class TableMemo {
  private key = '';
  private pages: KeptPage[] = [];
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

  /** What {@link checkTables} finds. */
  check(expected: TableExpectations): readonly TableFinding[] {
    const key = expectationsKey(expected);
    if (key === this.key && this.areSame(expected.nodes)) {
      this.hits++;
      return this.found;
    }
    const pages: KeptPage[] = [];
    this.found = checkTables(expected, ({ node, memory, config }, pa) => {
      const words = memory.view?.(pa, config.granule.bytes)?.slice();
      if (words !== undefined) pages.push({ node, pa, words });
      else this.key = '';
    });
    this.pages = pages;
    this.key = key;
    return this.found;
  }

  private areSame(nodes: readonly NodeTables[]): boolean {
    const memoryOf = new Map(nodes.map(({ node, memory }) => [node, memory]));
    return this.pages.every(({ node, pa, words }) => {
      const now = memoryOf.get(node)!.view!(pa, words.byteLength);
      if (now === null) return false;
      for (let i = 0; i < words.length; i++) if (now[i] !== words[i]) return false;
      return true;
    });
  }
}
