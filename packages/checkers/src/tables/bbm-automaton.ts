/**
 * T4: break-before-make and TLB invalidation, judged while a node's tables change. A state machine per descriptor in the
 * manner of casemate: a valid entry that was made invalid is unclean until the same thread has performed DSB, TLBI of both
 * stages in the right order, DSB.
 *
 *     unguarded -DSB-> dsbed -TLBI of both stages-> tlbied -DSB ISH-> clean
 *                      dsbed -TLBI of stage 2-> tlbi-ipa -DSB ISH-> tlbi-ipa-dsb -TLBI of stage 1 or both-> tlbied
 *
 * A TLBI without a DSB before it, a stage-1 TLBI before the stage-2 one, and whatever another thread does have no effect; nor
 * have local TLBIs, those for another VMID, and those by address that miss the entry, carry a wrong level, or meet a table.
 *
 * Verifies: R1 no valid entry replaced by a valid one where a break is required; R2 no make before the break is complete; R3
 * no table unlinked while entries below it are unclean; R4 no write below a table that is being unlinked; R5 no table page
 * linked twice or freed while linked; R6 no write to a page that is no table; R7 (if locks are reported) no write without the
 * table's lock, and no release of it while an entry owes an invalidation; and with {@link BbmAutomaton.outstanding}, that nothing owes an invalidation. Does not verify R8 of casemate,
 * one root per VMID: here all nodes share VMID 0 on purpose. Broadcast TLBIs must therefore be shown to every node's
 * automaton. Nor does it see contents: output addresses are taken to differ in content unless `sameContents` says not.
 */
import { assert, hex } from '@numalab/base';
import {
  descriptorKind,
  KIND_TABLE,
  leafAttributes,
  levelBytes,
  type OperationWatcher,
  outputAddress,
  S2_HI_CONTIGUOUS,
  S2_LO_WRITE,
  type Stage2Config,
  stage2Attributes,
  type TableObserver,
  type TableOp,
  unpackStage2Attributes,
  type WordMemory,
} from '@numalab/machine';
import { Findings, type TableFinding } from './finding.ts';

const UNGUARDED = 0;
const DSBED = 1;
const TLBI_IPA = 2;
const TLBI_IPA_DSB = 3;
const TLBIED = 4;
const STATE_NAMES = [
  'no DSB yet',
  'no TLBI yet',
  'no DSB after the stage-2 TLBI',
  'no stage-1 TLBI yet',
  'no DSB after the TLBI',
];

/** Page of a table: made but not reachable, reachable, below an unclean entry, or unlinked. */
const FRESH = 0;
const LINKED = 1;
const FROZEN = 2;
const RELEASED = 3;

/** Attributes whose change on a live entry needs a break: memory type and shareability. */
const TYPE_ATTRS: number = stage2Attributes({
  read: false,
  write: false,
  execute: 'all',
  memAttr: 0xf,
  sh: 3,
  af: false,
});
/** Attributes that may go stale in TLBs when they change: permissions and DBM. */
const STALE_ATTRS: number =
  stage2Attributes({ read: true, write: true, execute: 'el1', memAttr: 0, sh: 0, af: false, dbm: true }) |
  stage2Attributes({ read: false, write: false, execute: 'none', memAttr: 0, sh: 0, af: false });

interface Location {
  readonly ipa: number;
  readonly level: number;
  readonly thread: number;
  state: number;
  /** Whether the entry is still valid and merely owes an invalidation for changed permissions. */
  readonly changed: boolean;
  /** Table pages that hung below it. */
  readonly below: readonly number[];
}

export interface BbmOptions {
  readonly node: number;
  readonly memory: WordMemory;
  readonly config: Stage2Config;
  /** Whether two output ranges hold equal bytes and neither is written by anybody: then no break is required. */
  readonly sameContents?: (fromPa: number, toPa: number, bytes: number) => boolean;
  /** Whether {@link BbmAutomaton.lock} is reported and R7 judged. Default false. */
  readonly locks?: boolean;
}

/** Watches one node's tables: give it to the editor as observer and show it every operation that is performed. */
export class BbmAutomaton implements TableObserver, OperationWatcher {
  /** The thread on whose behalf the editor acts now. */
  thread = 0;
  private readonly options: BbmOptions;
  private readonly found = new Findings();
  private readonly unclean = new Map<number, Location>();
  private readonly pages = new Map<number, number>();
  private readonly linkedFrom = new Map<number, number>();
  private holder = -1;
  /** The page of the last store and its state, kept by {@link stateOf}: boot fills tables entry by entry. */
  private lastPage = -1;
  private lastState: number | undefined;

  constructor(options: BbmOptions) {
    this.options = options;
    const { rootPa, rootBytes, granule } = options.config;
    for (let at = 0; at < rootBytes; at += granule.bytes) this.mark(this.pageOf(rootPa + at), LINKED);
  }

  /** One that knows what this one knows, and goes its own way from here. Nothing may be found or owed yet. */
  copy(): BbmAutomaton {
    assert(this.unclean.size === 0 && this.found.list.length === 0, 'a clean automaton is copied');
    const copy = new BbmAutomaton(this.options);
    for (const [page, state] of this.pages) copy.pages.set(page, state);
    for (const [page, entry] of this.linkedFrom) copy.linkedFrom.set(page, entry);
    copy.holder = this.holder;
    copy.thread = this.thread;
    return copy;
  }

  /** What was found so far. */
  get findings(): readonly TableFinding[] {
    return this.found.list;
  }

  /** The table's lock is taken by `thread`. */
  lock(thread: number): void {
    if (this.holder >= 0) this.report('lock', -1, `thread ${thread} takes the lock that thread ${this.holder} holds`);
    this.holder = thread;
  }

  /** The table's lock is given back by `thread`. */
  unlock(thread: number): void {
    if (this.holder !== thread) this.report('lock', -1, `thread ${thread} releases a lock it does not hold`);
    this.holder = -1;
    this.released(thread);
  }

  /** `thread` lets others edit the table: what it has broken must be invalidated by now, for they rely on it. */
  released(thread: number): void {
    for (const location of this.unclean.values()) {
      if (location.thread !== thread) continue;
      this.report(
        'released-unclean',
        location.ipa,
        `the lock is released before an entry is clean: ${STATE_NAMES[location.state]}`,
      );
      return;
    }
  }

  allocTable(pa: number, _level: number, ipa: number): void {
    if (this.pages.has(pa)) this.report('reused-page', ipa, `page ${hex(pa)} becomes a table while it is one`);
    this.mark(pa, FRESH);
  }

  freeTable(pa: number): void {
    const state = this.pages.get(pa);
    if (state === LINKED || state === FROZEN) {
      this.report('freed-unclean', -1, `table page ${hex(pa)} is freed before its unlinking is complete`);
    }
    this.pages.delete(pa);
    this.lastPage = -1;
    this.linkedFrom.delete(pa);
  }

  write(pa: number, oldLo: number, oldHi: number, newLo: number, newHi: number, level: number, ipa: number): void {
    const page = this.stateOf(this.pageOf(pa));
    if (page === undefined) {
      this.report('not-a-table', ipa, `a store to ${hex(pa)}, which is in no table page`);
      return;
    }
    if (this.options.locks === true && this.holder !== this.thread && page !== FRESH) {
      this.report('unlocked-write', ipa, `thread ${this.thread} writes without the lock of the table`);
    }
    const newValid = (newLo & 1) !== 0;
    if (page === FROZEN && (newValid || (oldLo & 1) !== 0) && (newLo !== oldLo || newHi !== oldHi)) {
      this.report('frozen', ipa, 'a write below a table that is being unlinked');
    }
    if (page === LINKED) this.judge(pa, oldLo, oldHi, newLo, newHi, level, ipa);
    if (newValid && this.isTable(newLo, newHi, level)) this.linkTable(pa, newLo, newHi, level, ipa, page === LINKED);
  }

  /** A barrier or invalidation that `thread` performed, complete as far as it is by itself; `vmid` is the current one. */
  perform(op: TableOp, thread: number = this.thread, vmid: number = this.options.config.vmid): void {
    if (op.op === 'isb') return;
    if (op.op === 'tlbi' && vmid !== this.options.config.vmid) return;
    for (const [pa, location] of this.unclean) {
      if (location.thread !== thread) continue;
      if (op.op === 'tlbi') this.onTlbi(location, op);
      else if (op.kind !== 'nsh') this.onDsb(pa, location, op.kind === 'ish');
    }
    if (op.op === 'dsb') this.release();
  }

  /** Findings for entries that still owe an invalidation. Call it when no operation is under way. */
  outstanding(): TableFinding[] {
    const left = new Findings();
    for (const { ipa, state, changed } of this.unclean.values()) {
      const what = changed ? 'permissions changed' : 'an entry was broken';
      left.add('T4', 'left-unclean', this.options.node, ipa, `${what} and never invalidated: ${STATE_NAMES[state]}`);
    }
    return left.list;
  }

  private judge(
    pa: number,
    oldLo: number,
    oldHi: number,
    newLo: number,
    newHi: number,
    level: number,
    ipa: number,
  ): void {
    const location = this.unclean.get(pa);
    const oldValid = (oldLo & 1) !== 0;
    const newValid = (newLo & 1) !== 0;
    if (location !== undefined && !location.changed) {
      if (!newValid) return;
      this.report('make-before-clean', ipa, `made valid before the break is complete: ${STATE_NAMES[location.state]}`);
      this.unclean.delete(pa);
      return;
    }
    if (!oldValid) return;
    if (!newValid) {
      const below = this.isTable(oldLo, oldHi, level) ? this.freeze(oldLo, oldHi, level) : [];
      this.unclean.set(pa, { ipa, level, thread: this.thread, state: UNGUARDED, changed: false, below });
      return;
    }
    const why = this.breakRequired(oldLo, oldHi, newLo, newHi, level);
    if (why !== '') this.report('no-break', ipa, `valid to valid without break-before-make although ${why}`);
    else if (this.staleMatters(oldLo, oldHi, newLo, newHi, level)) {
      this.unclean.set(pa, { ipa, level, thread: this.thread, state: UNGUARDED, changed: true, below: [] });
    }
  }

  /** Why replacing a valid entry by another needs a break; empty if it does not. */
  private breakRequired(oldLo: number, oldHi: number, newLo: number, newHi: number, level: number): string {
    const { config, sameContents } = this.options;
    const from = outputAddress(config, oldLo, oldHi, level);
    const to = outputAddress(config, newLo, newHi, level);
    const wasTable = this.isTable(oldLo, oldHi, level);
    if (wasTable || this.isTable(newLo, newHi, level)) {
      return wasTable && this.isTable(newLo, newHi, level) && from === to ? '' : 'a table comes or goes';
    }
    if (((oldHi ^ newHi) & S2_HI_CONTIGUOUS) !== 0) return 'the contiguous hint changes the size';
    if (((leafAttributes(config, oldLo, oldHi) ^ leafAttributes(config, newLo, newHi)) & TYPE_ATTRS) !== 0) {
      return 'memory type or shareability changes';
    }
    if (from === to) return '';
    if (((oldLo | newLo) & S2_LO_WRITE) !== 0) return 'the output address changes and one mapping is writable';
    return sameContents?.(from, to, levelBytes(config.granule, level)) === true
      ? ''
      : 'the output address changes and the contents may differ';
  }

  /** Whether a legal valid-to-valid write leaves TLBs with something that matters: other permissions or address. */
  private staleMatters(oldLo: number, oldHi: number, newLo: number, newHi: number, level: number): boolean {
    const { config } = this.options;
    const difference = leafAttributes(config, oldLo, oldHi) ^ leafAttributes(config, newLo, newHi);
    if ((difference & STALE_ATTRS) !== 0 && unpackStage2Attributes(leafAttributes(config, oldLo, oldHi)).af)
      return true;
    return outputAddress(config, oldLo, oldHi, level) !== outputAddress(config, newLo, newHi, level);
  }

  private onDsb(pa: number, location: Location, innerShareable: boolean): void {
    if (location.state === UNGUARDED) location.state = DSBED;
    else if (!innerShareable) return;
    else if (location.state === TLBI_IPA) location.state = TLBI_IPA_DSB;
    else if (location.state === TLBIED) this.clean(pa, location);
  }

  private onTlbi(location: Location, op: TableOp): void {
    const { state } = location;
    if (op.kind === 'vmalls12e1is') {
      if (state === DSBED || state === TLBI_IPA_DSB) location.state = TLBIED;
    } else if (op.kind === 'vmalle1is') {
      if (state === TLBI_IPA_DSB) location.state = TLBIED;
    } else if (op.op === 'tlbi' && op.kind === 'ipas2e1is' && state === DSBED) {
      const bytes = levelBytes(this.options.config.granule, location.level);
      const at = op.ipa ?? -1;
      const levelFits = op.level === undefined || op.level === location.level;
      if (location.below.length === 0 && levelFits && at >= location.ipa && at < location.ipa + bytes) {
        location.state = TLBI_IPA;
      }
    }
  }

  /** Unlinked tables that became clean by the last barrier, to be released after all entries below them were judged. */
  private readonly cleaned: Location[] = [];

  private clean(pa: number, location: Location): void {
    this.unclean.delete(pa);
    if (location.below.length > 0) this.cleaned.push(location);
  }

  private release(): void {
    for (const { below, ipa } of this.cleaned) {
      const pages = new Set(below);
      for (const pa of this.unclean.keys()) {
        if (pages.has(this.pageOf(pa)))
          this.report('unclean-children', ipa, 'a table is unlinked with unclean entries in it');
      }
      for (const page of below) {
        this.mark(page, RELEASED);
        this.linkedFrom.delete(page);
      }
    }
    this.cleaned.length = 0;
  }

  private linkTable(entry: number, lo: number, hi: number, level: number, ipa: number, live: boolean): void {
    const child = outputAddress(this.options.config, lo, hi, level);
    const state = this.pages.get(child);
    const from = this.linkedFrom.get(child);
    if (state === undefined) this.report('not-a-table', ipa, `links page ${hex(child)}, which is no table`);
    else if (from !== undefined && from !== entry) {
      this.report('reused-page', ipa, `table page ${hex(child)} is linked twice`);
    } else if (state === FROZEN)
      this.report('reused-page', ipa, `table page ${hex(child)} is linked while being unlinked`);
    if (state === undefined) return;
    this.linkedFrom.set(child, entry);
    if (live) for (const page of this.subtree(child, level + 1)) this.mark(page, LINKED);
  }

  private freeze(lo: number, hi: number, level: number): number[] {
    const pages = this.subtree(outputAddress(this.options.config, lo, hi, level), level + 1);
    for (const page of pages) if (this.pages.has(page)) this.mark(page, FROZEN);
    return pages;
  }

  /** The page of a table and of all tables below it. */
  private subtree(table: number, level: number): number[] {
    const { memory, config } = this.options;
    const pages = [table];
    if (level > 2) return pages;
    for (let i = 0; i < config.granule.entries; i++) {
      const lo = memory.load32(table + i * 8) >>> 0;
      const hi = memory.load32(table + i * 8 + 4) >>> 0;
      if (this.isTable(lo, hi, level)) pages.push(...this.subtree(outputAddress(config, lo, hi, level), level + 1));
    }
    return pages;
  }

  private isTable(lo: number, hi: number, level: number): boolean {
    return descriptorKind(this.options.config, lo, hi, level) === KIND_TABLE;
  }

  private stateOf(page: number): number | undefined {
    if (page !== this.lastPage) {
      this.lastPage = page;
      this.lastState = this.pages.get(page);
    }
    return this.lastState;
  }

  private mark(page: number, state: number): void {
    this.pages.set(page, state);
    this.lastPage = -1;
  }

  private pageOf(pa: number): number {
    // The low bits survive the cut to 32; `%` on addresses this large is slow.
    return pa - (pa & (this.options.config.granule.bytes - 1));
  }

  private report(rule: string, ipa: number, text: string): void {
    this.found.add('T4', rule, this.options.node, ipa, text);
  }
}
