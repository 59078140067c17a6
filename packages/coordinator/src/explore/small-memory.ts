import { type Step, WAIT } from '@numalab/base';
import * as link from '@numalab/interconnect';
import { LINE_BYTES, LINE_CELLS, type NodeMemory, type TableOp } from '@numalab/machine';
import { type AgentCpu, APPLY_STORE } from '@numalab/node-worker';
import type { SmallNode } from './small-node.ts';

type TextRegion = NonNullable<ReturnType<NodeMemory['textAt']>>;

/** What takes no time here, and comes to `value`. */
function* result<Result>(value: Result, ticks = 0): Step<Result> {
  if (ticks > 0) yield ticks;
  return value;
}

const over = (): Step<void> => result<void>(undefined);

/** A word with the number of the write that put it there. */
export interface Cell {
  readonly value: number;
  readonly number: number;
}

/**
 * The one line of a node's copy that the search has, as memory, as data caches hold it before DC CVAU, and the oldest contents
 * that an instruction cache may still have. Maintenance completes at once; between a store and its maintenance a fetch may
 * see any of the three. A line of another node is asked for by a message, and is what it was when its node took the question.
 */
export class SmallMemory {
  private readonly node: SmallNode;
  private readonly region: TextRegion;
  /** What stores have made of the line and fetches do not see yet (CTR_EL0.IDC = 0); null: nothing. */
  private dirty: Uint32Array | null = null;
  /** The oldest that an L1I may hold. */
  private readonly cached = new Uint32Array(LINE_CELLS);
  /** Another node's line that came in. */
  private fetched: Uint32Array | null = null;

  constructor(node: SmallNode) {
    this.node = node;
    const cells = new Uint32Array(LINE_CELLS);
    this.region = { base: node.layout.copyPa[node.id]!, bytes: LINE_BYTES, cells };
    this.fill(node.image);
    this.cached.set(cells);
  }

  // ---- as NodeLife and Agent know it ----------------------------------------------------------------------------------------

  textAt(): TextRegion {
    return this.region;
  }

  reloadText(words: Uint32Array): void {
    this.fill(words);
    this.node.noticed();
  }

  private fill(words: Uint32Array): void {
    const { cells } = this.region;
    for (let i = 0; i < words.length; i++) {
      cells[2 * i] = words[i]!;
      cells[2 * i + 1] = 0;
    }
  }

  loseText(): void {
    this.region.cells.fill(0);
    this.node.noticed();
  }

  /** Descriptors are not modelled. */
  store32(): void {}

  readLine(pa: number, out: Uint32Array): void {
    const isOwn = this.isOwn(pa);
    out.set(isOwn ? (this.dirty ?? this.region.cells) : this.fetched!);
    if (!isOwn) this.fetched = null;
  }

  private isOwn(pa: number): boolean {
    return pa >= this.region.base && pa < this.region.base + LINE_BYTES;
  }

  *load32(cpu: AgentCpu, pa: number): Step<number> {
    if (this.isOwn(pa)) return this.loaded(cpu, pa, this.dirty ?? this.region.cells);
    this.fetched = null;
    this.node.sendHardware(this.node.homeOf(pa), { kind: link.READ_LINE, a: pa, b: 0, c: 0, body: null });
    while (this.fetched === null) yield WAIT;
    return this.loaded(cpu, pa, this.fetched);
  }

  private loaded(cpu: AgentCpu, pa: number, cells: Uint32Array): number {
    const cell = (pa % LINE_BYTES) >> 1;
    cpu.replyNumber = cells[cell + 1]!;
    return cells[cell]!;
  }

  storeOwnText(_cpu: AgentCpu, pa: number, words: readonly number[], number: number): Step<void> {
    this.store(pa, words, number);
    return over();
  }

  private store(pa: number, words: readonly number[], number: number): void {
    const { idc, dic } = this.node.spec;
    if (!idc) this.dirty ??= this.region.cells.slice();
    const cells = this.dirty ?? this.region.cells;
    for (let i = 0; i < words.length; i++) {
      const cell = ((pa - this.region.base) >> 1) + 2 * i;
      cells[cell] = words[i]!;
      cells[cell + 1] = number;
    }
    if (idc && dic) this.cached.set(cells);
    this.node.noticed();
  }

  private clean(): void {
    if (this.dirty === null) return;
    this.region.cells.set(this.dirty);
    this.dirty = null;
    if (this.node.spec.dic) this.cached.set(this.region.cells);
    this.node.noticed();
  }

  private invalidate(): void {
    const { cells } = this.region;
    if (cells.every((cell, i) => cell === this.cached[i])) return;
    this.cached.set(cells);
    this.node.noticed();
  }

  cleanLine(): Step<void> {
    this.clean();
    return over();
  }

  invalidateLine(): Step<void> {
    this.invalidate();
    return over();
  }

  cleanInvalidate(): Step<void> {
    if (!this.node.spec.idc) this.clean();
    if (!this.node.spec.dic) this.invalidate();
    return over();
  }

  broadcast(_cpu: AgentCpu, operation: number): Step<void> {
    if (operation === link.IC_IALLUIS) this.invalidate();
    return over();
  }

  dsb(): Step<void> {
    return over();
  }

  tlbiStage2(): Step<void> {
    return over();
  }

  /** What tables ask for between two stores takes no time either. */
  perform<Result>(_cpu: AgentCpu, edit: Generator<TableOp, Result>): Step<Result> {
    for (;;) {
      const step = edit.next();
      if (step.done === true) return result(step.value);
    }
  }

  cleanAll(): void {
    this.clean();
  }

  dropDirty(): void {
    this.dirty = null;
  }

  /** Whatever a core fetches next comes from memory. */
  loseCaches(): void {
    this.cached.set(this.region.cells);
  }

  // ---- what others ask of it --------------------------------------------------------------------------------------------------

  /** Performs what another node or the hypervisor asks of this node's hardware, or takes its answer. */
  serve({ kind, a, b, c, from, body }: link.Message): void {
    const { node } = this;
    if (kind === link.LINE) {
      this.fetched = Uint32Array.from(body as readonly number[]);
      node.wakeAgent();
    } else if (kind === link.READ_LINE) {
      const line = [...(this.dirty ?? this.region.cells)];
      node.sendHardware(from, { kind: link.LINE, a, b, c: 0, body: line });
    } else if (kind === link.STORE) {
      this.noteStored(c);
      this.store(a, body as readonly number[], c);
      node.sendHardware(from, { kind: link.STORED, a, b, c, body: null });
    } else {
      if (kind === link.CLEAN_LINE) this.clean();
      else if (a === link.IC_IVAU && this.isOwn(c)) this.invalidate();
      node.sendHardware(from, { kind: link.MAINTAINED, a: 0, b, c: 0, body: null });
    }
  }

  /** The hypervisor's own store. One that spans lines comes in parts. */
  private noteStored(number: number): void {
    const { kinds, subjects } = this.node.applyLog;
    if (kinds.at(-1) !== APPLY_STORE || subjects.at(-1) !== number) this.node.applyLog.stored(number, 0);
  }

  // ---- what the search sees ----------------------------------------------------------------------------------------------------

  private cell(cells: Uint32Array, word: number): Cell {
    const at = 2 * (word - (this.node.layout.spanStart >> 2));
    return { value: cells[at]!, number: cells[at + 1]! };
  }

  /** What fetches may go by, each way: memory first. */
  private get views(): readonly Uint32Array[] {
    const { cells } = this.region;
    return this.dirty === null ? [cells, this.cached] : [cells, this.dirty, this.cached];
  }

  /** Every way in which a fetch of `word` may see it: as memory has it first. */
  visible(word: number): readonly Cell[] {
    const cells = this.views.map((view) => this.cell(view, word));
    return cells.filter(({ number, value }, i) =>
      cells.slice(0, i).every((other) => other.number !== number || other.value !== value),
    );
  }

  /** Whether what fetches may go by holds words of different writes, of `count` words from `word` on. */
  isTorn(word: number, count: number): boolean {
    return this.views.some((view) => {
      const { number } = this.cell(view, word);
      return Array.from({ length: count }, (_, i) => this.cell(view, word + i)).some((cell) => cell.number !== number);
    });
  }

  /** Words as loads have them. */
  stored(word: number, count: number): readonly Cell[] {
    const view = this.dirty ?? this.region.cells;
    return Array.from({ length: count }, (_, i) => this.cell(view, word + i));
  }
}
