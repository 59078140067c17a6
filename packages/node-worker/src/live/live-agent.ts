import { DONE, type Duration, type Instant, type Step } from '@numalab/base';
import { drainInto, type TableOp } from '@numalab/machine';
import type { CopyName, NodeContext, NodeHalf, Steps, Write } from '@numalab/protocols';
import { RODATA_ATTRS, TEXT_ATTRS } from '../boot.ts';
import { cellOf } from './cells.ts';
import type { LiveCpu } from './live-cpu.ts';
import type { LiveNode } from './live-node.ts';
import { over, StepsRunner } from './steps-runner.ts';
import { ANSWER, putMessage } from './wire.ts';

/**
 * EL2's agent on a node in a live run: runs the node's half of the protocol on the node's own thread, between the turns of
 * its cores. So within a node nothing races; what does are the stores and invalidations of other threads.
 */
export class LiveAgent implements NodeContext {
  readonly node: number;
  readonly options: Readonly<Record<string, unknown>>;
  readonly durable: Map<string, unknown>;
  private readonly owner: LiveNode;
  private readonly half: NodeHalf;
  private readonly runner: StepsRunner;
  /** The instance of the hypervisor's half whose message is being handled, or was the last. */
  private speaker: number;
  private readonly pagesBeingFaulted = new Set<number>();
  private readonly performOp = (op: TableOp): void => this.owner.performTableOp(op);
  applied = 0;
  lastApplied = 0;
  highestApplied = 0;

  constructor(owner: LiveNode, half: NodeHalf, durable: Map<string, unknown>) {
    this.durable = durable;
    this.owner = owner;
    this.node = owner.id;
    this.speaker = owner.order === null ? 0 : owner.id;
    this.options = owner.spec.protocolOptions;
    this.half = half;
    this.runner = new StepsRunner(owner.now, owner.scale, (tag) => this.half.onTimer?.(this, tag));
  }

  get now(): Instant {
    return Math.round(this.owner.now() * 1e9) as Instant;
  }

  // ---- events -----------------------------------------------------------------------------------------------------------

  /** A message of instance `from` of the hypervisor's half; `ask` is the question's number or -1. */
  deliver(body: unknown, ask: number, from: number): void {
    this.runner.handleNow(this.onDelivered, body, ask, from);
  }

  private readonly onDelivered = (body: unknown, ask: number, from: number): Steps | void => {
    this.speaker = from;
    return ask < 0 ? this.half.onMessage(this, body) : this.answer(body, ask);
  };

  private *answer(body: unknown, ask: number): Steps {
    const steps = this.half.onMessage(this, body);
    if (steps !== undefined) yield steps;
    const ring = this.owner.toOrder[this.speaker]!;
    ring.begin(ANSWER, this.owner.dueAtHypervisor());
    ring.word(ask);
    ring.end();
  }

  /** A core waits for an unmapped page. */
  fault(cpu: LiveCpu, page: number): void {
    cpu.waitsForPage = page;
    if (this.pagesBeingFaulted.has(page)) return;
    this.pagesBeingFaulted.add(page);
    this.runner.handle(() => this.half.onFault?.(this, page));
  }

  /** Does what is due. */
  run(): void {
    this.runner.run();
  }

  /** Whether nothing is under way. */
  get isIdle(): boolean {
    return this.runner.isIdle;
  }

  /** When {@link run} has something to do: milliseconds of the common clock; Infinity if only a message changes that. */
  nextMs(): number {
    return this.runner.nextMs();
  }

  // ---- what the protocol can do -------------------------------------------------------------------------------------------

  pagesOf(write: Write): readonly number[] {
    const first = this.owner.pageOf(write.word * 4);
    const last = this.owner.pageOf((write.word + write.words.length) * 4 - 1);
    return first === last ? [first] : [first, last];
  }

  send(body: unknown): void {
    putMessage(this.owner.toOrder[this.speaker]!, this.node, body, -1, this.owner.dueAtHypervisor());
  }

  setTimer(delay: Duration, tag: number): void {
    this.runner.setTimer(delay, tag);
  }

  store(write: Write): Step<void> {
    const { owner } = this;
    if (write.number <= owner.resyncedTo) return DONE;
    const { cells, base } = owner.ownCopy;
    const at = (owner.copyOf(write.word * 4) - base) / 4;
    for (let i = 0; i < write.words.length; i++) cells[at + i] = cellOf(write.words[i]!, write.number);
    this.noteApplied(write.number);
    return DONE;
  }

  private noteApplied(number: number): void {
    this.applied++;
    if (number <= this.lastApplied) {
      this.owner.checks.report('ordered', `node ${this.node} applied write ${number} after write ${this.lastApplied}`);
    }
    this.lastApplied = number;
    if (number > this.highestApplied) this.highestApplied = number;
  }

  maintain(write: Write): Step<void> {
    return this.invalidate(write);
  }

  clean(_write: Write): Step<void> {
    // Stores reach instruction fetches by themselves here, as after an eviction; a missing clean cannot show.
    return DONE;
  }

  invalidate(write: Write): Step<void> {
    this.owner.el2.invalidateLines(this.owner.copyOf(write.word * 4), write.words.length * 4);
    return DONE;
  }

  dsb(): Step<void> {
    // See MaintenanceWords: what it would wait for cannot be used any more.
    return DONE;
  }

  unmap(page: number): Step<void> {
    const { owner } = this;
    this.edit(page, (ipa, bytes) => owner.tables.editor.unmap(ipa, bytes));
    return DONE;
  }

  map(page: number, copy: CopyName = 'own'): Step<void> {
    const { owner } = this;
    const { granuleBytes, layout } = owner;
    const home = copy === 'primary' || owner.isShared(page * granuleBytes) ? 0 : owner.id;
    const attrs = page * granuleBytes < owner.spec.kernel.text.end ? TEXT_ATTRS : RODATA_ATTRS;
    const pa = layout.copyPa[home]! + page * granuleBytes - layout.spanStart;
    if (owner.mappedTo(page) !== pa) {
      if (owner.mappedTo(page) >= 0) this.edit(page, (ipa, bytes) => owner.tables.editor.unmap(ipa, bytes));
      this.edit(page, (ipa, bytes) => owner.tables.editor.map(ipa, bytes, pa, attrs));
    }
    this.pagesBeingFaulted.delete(page);
    for (const cpu of owner.cpus) if (cpu.waitsForPage === page) cpu.waitsForPage = -1;
    return DONE;
  }

  private edit(page: number, operation: (ipa: number, bytes: number) => Generator<TableOp, number>): void {
    const { owner } = this;
    const { granuleBytes } = owner;
    owner.tableOps?.locked?.(0);
    const status = drainInto(operation(owner.layout.imageIpa + page * granuleBytes, granuleBytes), this.performOp);
    owner.tableOps?.unlocked?.(0);
    if (status !== 0)
      owner.checks.report('M1', `node ${owner.id}: the table of page ${page} cannot be changed (${status})`);
  }

  copyPage(page: number): Step<void> {
    const { owner } = this;
    const { granuleBytes } = owner;
    const to = owner.ownCopy;
    const start = page * granuleBytes - owner.layout.spanStart;
    const first = Math.max(0, start) / 4;
    const end = Math.min(start + granuleBytes, to.bytes) / 4;
    const from = owner.primaryCells(first, end);
    for (let i = first; i < end; i++) to.cells[i] = from[i]!;
    owner.el2.invalidateLines(to.base + first * 4, (end - first) * 4);
    return DONE;
  }

  verifyPage(page: number): Step<boolean> {
    const { owner } = this;
    const { granuleBytes } = owner;
    const start = page * granuleBytes - owner.layout.spanStart;
    const first = Math.max(0, start) / 4;
    const end = Math.min(start + granuleBytes, owner.ownCopy.bytes) / 4;
    const primary = owner.primaryCells(first, end);
    for (let i = first; i < end; i++) if (primary[i] !== owner.ownCopy.cells[i]) return over(false);
    return over(true);
  }

  tlbi(_page: number): Step<void> {
    const { maintenance } = this.owner;
    maintenance.tlbiStage2();
    maintenance.tlbiAll();
    maintenance.complete();
    this.owner.tlbis += 2;
    return DONE;
  }

  writeProtect(page: number): Step<void> {
    this.edit(page, (ipa, bytes) => this.owner.tables.editor.writeProtect(ipa, bytes));
    return DONE;
  }

  park(): Step<void> {
    // Between two turns of the thread every core stands still; one that waits in EL2 does anyway.
    this.owner.parked = true;
    return DONE;
  }

  resume(): Step<void> {
    this.owner.parked = false;
    return DONE;
  }
}
