import { collect } from '@numalab/base';
import {
  APPLY_COPY,
  APPLY_PRIMARY,
  APPLY_RESYNC,
  APPLY_STORE,
  APPLY_UNMAP,
  type ApplyEntries,
  type Finding,
  type MachineSpec,
  pagesOfWrite,
} from '@numalab/node-worker';
import type { Write } from '@numalab/protocols';

/** What a node's log says about one rule each. */
export interface AppliedJudgement {
  /** The first moment at which what was applied to mapped pages was no prefix of the order; null: never. */
  readonly ordered: Finding | null;
  /** Writes that the node's own copy misses although it maps their page, and writes applied again. */
  readonly lost: readonly number[];
  readonly repeated: readonly number[];
}

/** Writes by page, and the pages of each write; made once for all nodes. */
export class WritePages {
  readonly pagesOf: readonly (readonly number[])[];
  readonly byPage: Map<number, number[]> = new Map();

  constructor(spec: MachineSpec, writes: readonly Pick<Write, 'word' | 'words'>[]) {
    this.pagesOf = collect(writes, (write) => pagesOfWrite(spec, write));
    for (const [i, pages] of this.pagesOf.entries()) {
      for (const page of pages) {
        const list = this.byPage.get(page);
        if (list === undefined) this.byPage.set(page, [i + 1]);
        else list.push(i + 1);
      }
    }
  }

  of(number: number): readonly number[] {
    return this.pagesOf[number - 1] ?? [];
  }
}

/** One node's copy as its log builds it up. */
class Copy {
  private readonly node: number;
  private readonly writes: WritePages;
  /** By number: applied. */
  readonly applied: Uint8Array;
  readonly repeated: number[] = [];
  private readonly hidden = new Set<number>();
  /** Of hidden pages: the highest write applied there, and the earlier ones that were due. */
  private readonly highest = new Map<number, number>();
  private readonly due = new Map<number, number[]>();
  private readonly copiedUpTo = new Map<number, number>();
  /** Every write up to this is applied, or its pages are hidden. */
  private prefix = 0;
  ordered: Finding | null = null;

  constructor(node: number, writes: WritePages) {
    this.node = node;
    this.writes = writes;
    this.applied = new Uint8Array(writes.pagesOf.length + 1);
  }

  isHidden(number: number): boolean {
    return this.writes.of(number).every((page) => this.hidden.has(page));
  }

  store(number: number, at: number): void {
    if (this.applied[number] === 1) this.repeated.push(number);
    this.applied[number] = 1;
    if (!this.isHidden(number)) this.raise(number, at);
    for (const page of this.writes.of(number)) {
      this.highest.set(page, Math.max(number, this.highest.get(page) ?? 0));
    }
  }

  hide(page: number): void {
    this.hidden.add(page);
  }

  show(page: number, at: number): void {
    this.hidden.delete(page);
    for (const number of this.due.get(page) ?? []) {
      if (this.applied[number] === 0) this.report(`mapped page ${page} without write ${number}`, at);
    }
    this.due.delete(page);
    this.raise(this.highest.get(page) ?? 0, at);
  }

  /** The page is as the primary was after write `number`. */
  copy(page: number, number: number): void {
    const list = this.writes.byPage.get(page) ?? [];
    let i = this.copiedUpTo.get(page) ?? 0;
    // A write that a copy brought may still be stored once: the copy overtook it.
    for (; i < list.length && list[i]! <= number; i++) this.applied[list[i]!] ||= 2;
    this.copiedUpTo.set(page, i);
    this.highest.set(page, Math.max(number, this.highest.get(page) ?? 0));
  }

  /** The whole copy has every write up to `number`: a snapshot may jump forward. */
  resync(number: number): void {
    for (let earlier = 1; earlier <= number; earlier++) this.applied[earlier] ||= 2;
    if (number > this.prefix) this.prefix = number;
  }

  /** Write `number` can be seen: so must every earlier one whose page can. */
  private raise(number: number, at: number): void {
    for (let earlier = this.prefix + 1; earlier < number; earlier++) {
      if (this.applied[earlier] !== 0) continue;
      if (!this.isHidden(earlier)) this.report(`applied write ${number} before write ${earlier}`, at);
      else {
        for (const page of this.writes.of(earlier)) {
          const due = this.due.get(page);
          if (due === undefined) this.due.set(page, [earlier]);
          else due.push(earlier);
        }
      }
    }
    if (number > this.prefix) this.prefix = number;
  }

  private report(what: string, at: number): void {
    this.ordered ??= { id: 'ordered', message: `node ${this.node} ${what}`, timePs: at };
  }
}

/**
 * Verifies, from what was done to a node's copy, that what is applied to its mapped pages is always a prefix of the order
 * (level `ordered`), and that it applied each write once (R2). A page that is not mapped onto the node's own copy may miss
 * writes until it is; a copy of a page brings what the primary had. Does not verify what the words then held: R1 and R3 do.
 * Linear in log and order.
 */
export const judgeApplied = (
  node: number,
  log: ApplyEntries,
  writes: WritePages,
  isOver: boolean,
): AppliedJudgement => {
  const copy = new Copy(node, writes);
  for (let i = 0; i < log.kinds.length; i++) {
    const subject = log.subjects[i]!;
    const at = log.times[i]!;
    if (log.kinds[i] === APPLY_STORE) copy.store(subject, at);
    else if (log.kinds[i] === APPLY_UNMAP || log.kinds[i] === APPLY_PRIMARY) copy.hide(subject);
    else if (log.kinds[i] === APPLY_COPY) copy.copy(subject, log.numbers[i]!);
    else if (log.kinds[i] === APPLY_RESYNC) copy.resync(subject);
    else copy.show(subject, at);
  }
  const lost: number[] = [];
  for (let number = 1; isOver && number <= writes.pagesOf.length; number++) {
    if (copy.applied[number] === 0 && !copy.isHidden(number)) lost.push(number);
  }
  return { ordered: copy.ordered, lost, repeated: copy.repeated };
};
