import { hex } from '@numalab/base';

/** A broken rule of the stage-2 tables. `id` is the invariant of the design, `rule` a short stable name of what was broken. */
export interface TableFinding {
  readonly id: 'T1' | 'T2' | 'T3' | 'T4' | 'T5' | 'T6' | 'M1';
  readonly rule: string;
  readonly message: string;
  /** The node whose tables break it. */
  readonly node: number;
  /** The input address concerned, -1 if there is none. */
  readonly ipa: number;
}

/** Findings of one rule and node beyond this many are not reported: they have one cause. */
const MAX_PER_RULE = 16;

/** Collects findings, a bounded number per rule and node. */
export class Findings {
  readonly list: TableFinding[] = [];
  private readonly counts = new Map<string, number>();

  add(id: TableFinding['id'], rule: string, node: number, ipa: number, text: string): void {
    const key = `${id}/${rule}/${node}`;
    const count = (this.counts.get(key) ?? 0) + 1;
    this.counts.set(key, count);
    if (count > MAX_PER_RULE) return;
    const where = ipa < 0 ? '' : ` at IPA ${hex(ipa)}`;
    this.list.push({ id, rule, node, ipa, message: `node ${node}${where}: ${text}` });
  }
}
