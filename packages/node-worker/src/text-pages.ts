import { assert, Random, type Step, WAIT } from '@numalab/base';
import { ENOMEM, GRANULES, LINE_BYTES, LINE_CELLS, S2_LO_WRITE, type TableOp } from '@numalab/machine';
import { type CopyName, PRIMARY_NODE } from '@numalab/protocols';
import type { AgentCpu, AgentHost } from './agent-host.ts';
import { attrsOf, WRITABLE_ATTRS } from './boot.ts';

/** Bug 35: so many pages are mapped before a bit flips. */
const FLIP_AFTER = 3;

/** What stage 2 does with a page of the replicated range. */
export type PageState = CopyName | 'unmapped';

/**
 * The pages of the replicated range on one node, as its protocol wants them: mapped onto the node's own copy, as boot left
 * them, or onto the primary, or not at all. Cores that touch an unmapped page wait here.
 */
export class TextPages {
  private readonly node: AgentHost;
  private readonly bytes: number;
  /** Pages that are not as boot left them. */
  private readonly states = new Map<number, PageState>();
  private readonly waiting = new Map<number, AgentCpu[]>();
  private readonly isWritable: boolean;
  /** Bugs 23 and 24: what an edit owes is performed when its lock is free again, or only when the next begins. */
  private readonly flushesLate: boolean;
  private readonly flushesNext: boolean;
  private readonly owed: TableOp[] = [];
  /** Bug 35: maps that are still to come until a bit of a descriptor flips. */
  private untilFlip: number;

  constructor(node: AgentHost) {
    this.node = node;
    this.bytes = GRANULES[node.spec.granule].bytes;
    const { bugs } = node.spec;
    this.flushesLate = bugs.includes('23');
    this.flushesNext = bugs.includes('24');
    this.isWritable = bugs.includes('33');
    this.untilFlip = bugs.includes('35') ? FLIP_AFTER : -1;
  }

  /** Page of an offset from `_text`. */
  pageOf(offset: number): number {
    return Math.floor(offset / this.bytes);
  }

  stateOf(page: number): PageState {
    return this.states.get(page) ?? 'own';
  }

  /** Pages that are not mapped onto the node's own copy, ascending. */
  exceptions(): readonly { readonly page: number; readonly state: PageState }[] {
    return [...this.states].map(([page, state]) => ({ page, state })).sort((x, y) => x.page - y.page);
  }

  /** PA of what the cores of this node see at `offset`; of the primary, if they see nothing there. */
  seenAt(offset: number): number {
    const { node } = this;
    const isOwn = this.stateOf(this.pageOf(offset)) === 'own' && !node.isShared(offset);
    return isOwn ? node.copyOf(offset) : node.primaryOf(offset);
  }

  /** Core `cpu` has faulted on `page`: waits until it is mapped. At once over if it is. */
  *wait(cpu: AgentCpu, page: number): Step<void> {
    while (this.stateOf(page) === 'unmapped') {
      const waiting = this.waiting.get(page);
      if (waiting !== undefined) waiting.push(cpu);
      else {
        this.waiting.set(page, [cpu]);
        this.node.agent.fault(page, cpu.time);
      }
      yield WAIT;
    }
  }

  /** The page that a core waits for; -1: none. */
  waitedFor(cpu: AgentCpu): number {
    for (const [page, waiting] of this.waiting) if (waiting.includes(cpu)) return page;
    return -1;
  }

  /** See `NodeContext.unmap`. */
  *unmap(cpu: AgentCpu, page: number): Step<void> {
    if (this.stateOf(page) === 'unmapped') return;
    yield this.edit(
      cpu,
      () => this.tables.editor.unmap(this.ipaOf(page), this.bytes),
      () => {
        this.states.set(page, 'unmapped');
      },
    );
    this.node.applyLog.unmapped(page, cpu.time);
  }

  /** See `NodeContext.map`. */
  *map(cpu: AgentCpu, page: number, copy: CopyName): Step<void> {
    const { node } = this;
    if (this.stateOf(page) === copy) return;
    const offset = page * this.bytes;
    const toPrimary = copy === 'primary' || node.isShared(offset);
    const attrs = this.isWritable ? WRITABLE_ATTRS : attrsOf(node.spec, offset);
    const pa = toPrimary ? node.primaryOf(offset) : node.copyOf(offset);
    // Before the leaf is there: from its store on a core may see the copy.
    node.applyLog.mapped(page, toPrimary && node.id !== PRIMARY_NODE, cpu.time);
    yield this.edit(cpu, () => this.tables.editor.map(this.ipaOf(page), this.bytes, pa, attrs));
    if (copy === 'own') {
      this.states.delete(page);
      node.scrubber?.mapped(page, cpu.time);
    } else this.states.set(page, copy);
    const waiting = this.waiting.get(page) ?? [];
    this.waiting.delete(page);
    for (const other of waiting) node.wakeLater(other, cpu.time);
    if (this.untilFlip >= 0 && this.untilFlip-- === 0) this.flipBit(page);
  }

  /** Bug 35: the write permission of the leaf of `page`, or the lowest bit of its output address, is the other way round. */
  private flipBit(page: number): void {
    const { node, tables } = this;
    const random = new Random(node.spec.seed, 'bug 35', node.id);
    const { editor } = tables;
    editor.getLeaf(this.ipaOf(page));
    const bit = random.chance(1, 2) ? S2_LO_WRITE : this.bytes;
    node.memory.store32(editor.leafEntryPa, (editor.leafLo ^ bit) >>> 0);
  }

  /** See `NodeContext.writeProtect`. */
  *writeProtect(cpu: AgentCpu, page: number): Step<void> {
    if (this.stateOf(page) === 'unmapped') return;
    yield this.edit(cpu, () => this.tables.editor.writeProtect(this.ipaOf(page), this.bytes));
  }

  /** See `NodeContext.tlbi`. */
  *tlbi(cpu: AgentCpu, page: number): Step<void> {
    yield this.node.maintenance.tlbiStage2(cpu, this.ipaOf(page));
  }

  /** See `NodeContext.copyPage`. Only words that differ are stored: the others are what they should be. */
  *copy(cpu: AgentCpu, page: number): Step<void> {
    const { node } = this;
    const own = new Uint32Array(LINE_CELLS);
    const primary = new Uint32Array(LINE_CELLS);
    let highest = 0;
    const end = this.endOf(page);
    for (let offset = page * this.bytes; offset < end; offset += LINE_BYTES) {
      yield* this.readLine(cpu, node.primaryOf(offset), primary);
      yield* this.readLine(cpu, node.copyOf(offset), own);
      for (let i = 0; i < LINE_CELLS / 2; i++) {
        const value = primary[2 * i]!;
        const number = primary[2 * i + 1]!;
        if (number > highest) highest = number;
        if (value === own[2 * i] && number === own[2 * i + 1]) continue;
        yield* node.coherence.storeOwnText(cpu, node.copyOf(offset) + 4 * i, [value], number);
      }
    }
    node.applyLog.copied(page, highest, cpu.time);
    yield node.maintenance.cleanInvalidate(cpu, node.copyOf(page * this.bytes), end - page * this.bytes);
  }

  /** See `NodeContext.verifyPage`. */
  *verify(cpu: AgentCpu, page: number): Step<boolean> {
    const { node } = this;
    const own = new Uint32Array(LINE_CELLS);
    const primary = new Uint32Array(LINE_CELLS);
    for (let offset = page * this.bytes; offset < this.endOf(page); offset += LINE_BYTES) {
      yield* this.readLine(cpu, node.primaryOf(offset), primary);
      yield* this.readLine(cpu, node.copyOf(offset), own);
      for (let i = 0; i < LINE_CELLS; i++) if (own[i] !== primary[i]) return false;
    }
    return true;
  }

  private *readLine(cpu: AgentCpu, pa: number, into: Uint32Array): Step<void> {
    yield* this.node.coherence.load32(cpu, pa);
    this.node.coherence.readLine(pa, into, 0, false);
  }

  private endOf(page: number): number {
    return Math.min((page + 1) * this.bytes, this.node.layout.spanEnd);
  }

  private ipaOf(page: number): number {
    return this.node.layout.imageIpa + page * this.bytes;
  }

  private get tables(): NonNullable<AgentHost['tables']> {
    const { tables } = this.node;
    assert(tables !== null, 'there are no stage-2 tables to edit');
    return tables;
  }

  /** `begins` is told when the lock is taken: from there on the edit runs to its end. */
  private *edit(cpu: AgentCpu, operation: () => Generator<TableOp, number>, begins?: () => void): Step<void> {
    const { el2, maintenance } = this.node;
    yield el2.lock(cpu);
    begins?.();
    this.node.tableOps?.locked?.(0);
    yield maintenance.perform(cpu, this.pay());
    let status = (yield maintenance.perform(cpu, this.owing(operation()))) as number;
    if (status === -ENOMEM) {
      // As for the host's own faults: MMIO is mapped again when it is touched.
      yield maintenance.perform(cpu, this.tables.host.unmapMmio());
      status = (yield maintenance.perform(cpu, operation())) as number;
    }
    this.node.tableOps?.unlocked?.(0);
    el2.unlock(cpu);
    if (this.flushesLate) yield maintenance.perform(cpu, this.pay());
    assert(status === 0, `node ${this.node.id}: editing the text's tables: ${status}`);
  }

  /** An edit as it is, or with all its maintenance left for later: bugs 23 and 24. */
  private *owing(operation: Generator<TableOp, number>): Generator<TableOp, number> {
    if (!this.flushesLate && !this.flushesNext) return yield* operation;
    for (;;) {
      const step = operation.next();
      if (step.done === true) return step.value;
      this.owed.push(step.value);
    }
  }

  /** The maintenance that is left from an edit before. */
  private *pay(): Generator<TableOp, void> {
    yield* this.owed.splice(0);
  }
}
