import type { Instant } from '@numalab/base';
import * as link from '@numalab/interconnect';
import type { Submission } from '@numalab/node-worker';
import type { HypervisorProcess } from './hypervisor.ts';
import type { JournalEntry } from './order.ts';
import { type ResolvedWrite, resolveWrite } from './resolve-write.ts';

/** A trapped write, of a core of node `from`, that has no number yet. */
interface Waiting {
  readonly from: number;
  readonly core: number;
  readonly submission: Submission;
}

/**
 * Trapped writes on their way into the order. With `central` serialisation one is taken as soon as there is room for its
 * messages; with `lock` when the one before it is retired and the lock's line has moved to its node. It has its number when its
 * record is safe in the journal.
 */
export class Intake {
  private readonly hypervisor: HypervisorProcess;
  private readonly waiting: Waiting[] = [];
  /** Whose record is being written. */
  private recording: Waiting | null = null;
  /** The lock is taken. */
  private busy = false;
  /** By node and core: the last write that it submitted. */
  private readonly lastOf = new Map<number, JournalEntry>();
  /** Submissions that wrote nothing (a CAS that compared unequal). */
  withoutEffect = 0;

  constructor(hypervisor: HypervisorProcess) {
    this.hypervisor = hypervisor;
  }

  /** Nothing of this outlives a crash. */
  forget(): void {
    this.waiting.length = 0;
    this.recording = null;
    this.busy = false;
    this.lastOf.clear();
  }

  /** What the journal says of cores. */
  recall(journal: readonly JournalEntry[]): void {
    for (const entry of journal) this.lastOf.set(this.coreOf(entry.write.origin, entry.core), entry);
  }

  private coreOf(node: number, core: number): number {
    return node * this.hypervisor.spec.coresPerNode + core;
  }

  private get isLocking(): boolean {
    return this.hypervisor.spec.serialisation === 'lock';
  }

  private get isReady(): boolean {
    const { sessions, membership } = this.hypervisor;
    return !sessions.isCongested && !membership.isRecovering && this.recording === null;
  }

  /** A trapped write has come in. Where messages pile up already it waits, and its core with it. */
  submitted(submitted: Waiting): void {
    if (this.isKnown(submitted)) return;
    this.hypervisor.reach('received');
    if (!this.isLocking && this.waiting.length === 0 && this.isReady) {
      this.take(submitted);
      return;
    }
    this.waiting.push(submitted);
    this.takeNext();
  }

  /** What a core hands in again is answered if it is over, and waits if it is not. */
  private isKnown({ from, core, submission: { serial } }: Waiting): boolean {
    const entry = this.lastOf.get(this.coreOf(from, core));
    if (entry?.serial !== serial) {
      const isSame = (other: Waiting | null): boolean => other?.from === from && other.core === core;
      return isSame(this.recording) || this.waiting.some(isSame);
    }
    if (entry.retired >= 0) this.hypervisor.answer(from, core, entry.write.number, serial, entry.old);
    return true;
  }

  /** In words: who has no number yet. */
  waits(): readonly string[] {
    const { spec } = this.hypervisor;
    const cpus = this.waiting.map(({ from, core }) => from * spec.coresPerNode + core);
    if (cpus.length === 0) return [];
    return [`CPU ${cpus.join(', ')} waits ${this.isLocking ? 'for the lock of the order' : 'to be given a number'}`];
  }

  /** Whether the session layer may have made room. */
  get isWaiting(): boolean {
    return this.waiting.length > 0;
  }

  takeNext(): void {
    if (this.isLocking) this.takeLock();
    else while (this.waiting.length > 0 && this.isReady) this.take(this.waiting.shift()!);
  }

  /** The next waiting core gets the lock: its line moves there first. */
  private takeLock(): void {
    const next = this.waiting[0];
    const { hypervisor } = this;
    if (this.busy || next === undefined || hypervisor.membership.isRecovering) return;
    this.busy = true;
    const time = (hypervisor.now + hypervisor.latencies.linePs(hypervisor.holder, next.from)) as Instant;
    hypervisor.holder = next.from;
    hypervisor.postOwn(time, link.GRANTED);
  }

  /** The lock's line is here. */
  granted(): void {
    this.take(this.waiting.shift()!);
  }

  /** A write is over. */
  released(): void {
    if (!this.isLocking) return;
    this.busy = false;
    this.takeLock();
  }

  private take(next: Waiting): void {
    const { hypervisor } = this;
    const { recordPs } = hypervisor.spec;
    const { from, core, submission } = next;
    const resolved = resolveWrite(hypervisor.order, submission);
    if (!resolved.writes) {
      this.withoutEffect++;
      hypervisor.answer(from, core, 0, submission.serial, resolved.old);
      this.released();
    } else if (recordPs === 0) this.append(next, resolved);
    else {
      this.recording = next;
      hypervisor.postOwn((hypervisor.now + recordPs) as Instant, link.JOURNALLED);
    }
  }

  /** The record is safe. Nothing has come between: one is written at a time. */
  recorded(): void {
    const next = this.recording!;
    this.recording = null;
    this.append(next, resolveWrite(this.hypervisor.order, next.submission));
    this.takeNext();
  }

  private append({ from, core, submission }: Waiting, { word, words, old }: ResolvedWrite): void {
    const { hypervisor } = this;
    const entry = hypervisor.order.append(word, words, old, from, core, submission, hypervisor.now);
    this.lastOf.set(this.coreOf(from, core), entry);
    if (hypervisor.trace !== null) {
      const body: link.NumberedBody = { core, serial: submission.serial, words };
      hypervisor.trace.add(hypervisor.now, link.TRACE_NUMBERED, hypervisor.id, entry.write.number, word, from, body);
    }
    hypervisor.reach('journalled');
    hypervisor.host.write(entry.write);
  }
}
