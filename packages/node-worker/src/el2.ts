import { alignDown, type Step, WAIT } from '@numalab/base';
import { TRACE_OVER, TRACE_TRAP } from '@numalab/interconnect';
import {
  ACCESS_EXECUTE,
  ACCESS_WRITE,
  type CpuRegisters,
  completeEmulation,
  dataAbort,
  decodeTrappedStore,
  EAGAIN,
  EC_DATA_ABORT,
  EEXIST,
  type EmulatedStore,
  ENOMEM,
  ExclusiveMonitor,
  emulateFromSyndrome,
  FSC_PERMISSION,
  FSC_TRANSLATION,
  fscType,
  type HostStage2,
  hpfarValid,
  instructionAbort,
  OPERATION_STORE,
  oracleExecute,
  otherPageOf,
  REFUSE_OTHER_ADDRESS,
  type StoreAccess,
  storeIss,
  type TableOp,
} from '@numalab/machine';
import { firstOf } from './first-of.ts';
import type { NodeProcess } from './node.ts';
import { EL2_BUSY, EL2_NONE, type Vcpu } from './vcpu.ts';

/** What became of a trapped store. */
export const RETRY = 0;
export const EMULATED = 1;
export const INJECTED = 2;

/** A trapped store as EL2 hands it to the order. Offsets are from `_text`, in bytes. */
export interface Submission {
  readonly offset: number;
  readonly size: number;
  /** The bytes to store; what an operation makes of the old ones otherwise. */
  readonly bytes: readonly number[];
  readonly operation: number;
  readonly operand: readonly number[];
  readonly expected: readonly number[];
  /** When the store trapped, in picoseconds. */
  readonly begin: number;
  /** Counts the submissions of its core: one that is handed in again is the same. */
  readonly serial: number;
}

/** The order's answer to a {@link Submission}. */
export interface Retired {
  readonly serial: number;
  /** The bytes as they were before the write. */
  readonly old: readonly number[];
}

/** When a write began and ended; kept by the node on which it trapped. */
export interface WriteTimes {
  readonly number: number;
  readonly begin: number;
  readonly end: number;
  readonly core: number;
  /** Offset from `_text` and bytes that the instruction stored. */
  readonly offset: number;
  readonly bytes: readonly number[];
  /** When its writer's own maintenance was over too; -1: not yet. */
  maintained: number;
}

/** A core faults on one leaf of lazily mapped memory fewer times than this (L1). */
const FAULTS_OF_LEAF = 4;
/** Bug 38: a store that takes longer is said to have failed. */
const PATIENCE_PS = 10e6;

/** Bug 19: what another core has mapped meanwhile is broken and made once more. */
function* remapped(host: HostStage2, ipa: number, faulted: Generator<TableOp, number>): Generator<TableOp, number> {
  const result = yield* faulted;
  if (result !== -EEXIST) return result;
  const size = host.editor.levelBytes(host.editor.getLeaf(ipa));
  yield* host.editor.unmap(alignDown(ipa, size), size);
  return yield* host.handleTranslationFault(ipa);
}

/** EL2 on the cores of one node: what runs between a trap and its ERET. */
export class El2 {
  private readonly node: NodeProcess;
  private locked = false;
  readonly waiting: Vcpu[] = [];
  readonly times: WriteTimes[] = [];
  trapped = 0;
  refused = 0;
  lazyFaults = 0;
  injected = 0;
  /** Times that no table page was left, not even by recycling. */
  exhaustions = 0;
  emulationsChecked = 0;
  /** By core and leaf: how often the core has faulted there. */
  private readonly faultsOf = new Map<string, number>();
  private readonly remaps: boolean;
  private readonly failsLate: boolean;
  private readonly injectsWhileUnmapped: boolean;
  private readonly expected: CpuRegisters;
  /** What the oracle stores. */
  private readonly written: Uint8Array = new Uint8Array(64);
  /** EL2's decoder uses the monitor up; the core's own is what E1 compares with. */
  private readonly monitor = new ExclusiveMonitor();

  constructor(node: NodeProcess) {
    this.node = node;
    this.expected = node.hardware.scratchRegisters;
    this.remaps = node.spec.bugs.includes('19');
    this.failsLate = node.spec.bugs.includes('38');
    this.injectsWhileUnmapped = node.spec.bugs.includes('43');
  }

  /** Handles an abort of a fetch or load. True: try again; false: an abort was injected into EL1. */
  *abort(cpu: Vcpu, va: number, access: number, status: number): Step<boolean> {
    const s1ptw = cpu.faultS1ptw ? 1 : 0;
    const esr =
      access === ACCESS_EXECUTE
        ? instructionAbort({ ifsc: status, s1ptw })
        : dataAbort({ dfsc: status, s1ptw, wnr: access === ACCESS_WRITE ? 1 : 0 });
    return (yield this.handle(cpu, va, esr, status, null)) === RETRY;
  }

  /**
   * Handles the abort of a store. `access` is what the core decoded; EL2 does not see it but for the syndrome. Returns RETRY,
   * EMULATED (registers and PC are behind the store) or INJECTED.
   */
  *storeAbort(cpu: Vcpu, access: StoreAccess, far: number, status: number): Step<number> {
    const { node } = this;
    if (cpu.trappedAt < 0) {
      cpu.trappedAt = cpu.time;
      cpu.trappedWord = -1;
      node.watchTraps(cpu.time);
    }
    const esr = cpu.faultS1ptw
      ? dataAbort({ dfsc: status, wnr: 1, s1ptw: 1 })
      : ((EC_DATA_ABORT << 26) | (1 << 25) | storeIss(access, status & 63)) >>> 0;
    return (yield this.handle(cpu, far, esr, status, access)) as number;
  }

  private *handle(cpu: Vcpu, far: number, esr: number, status: number, access: StoreAccess | null): Step<number> {
    const { node } = this;
    const begin = cpu.time;
    const { faultIpa, faultS1ptw, masked } = cpu;
    cpu.masked = true;
    cpu.el2 = EL2_BUSY;
    cpu.synchroniseContext();
    if (!node.passes(cpu, node.latencies.trapPs)) yield node.latencies.trapPs;
    let outcome: number = INJECTED;
    if (fscType(status) === FSC_TRANSLATION && hpfarValid(esr)) outcome = yield* this.translationFault(cpu, faultIpa);
    else if (fscType(status) === FSC_PERMISSION && access !== null && !faultS1ptw) {
      outcome = (yield this.emulate(cpu, far, esr, begin)) as number;
    }
    if (outcome === INJECTED) this.noteInjected(cpu, faultIpa, status);
    const halt = node.beforeEret(cpu);
    if (!node.passes(cpu, halt)) yield halt;
    cpu.el2 = EL2_NONE;
    cpu.synchroniseContext();
    node.unmask(cpu, masked);
    return outcome;
  }

  /** E1: the kernel's own text is always there, mapped or about to be: EL1 never hears of a translation fault on it. */
  private noteInjected(cpu: Vcpu, ipa: number, status: number): void {
    const { node } = this;
    this.injected++;
    const offset = ipa - node.layout.imageIpa;
    if (fscType(status) !== FSC_TRANSLATION || !node.isReplicated(offset)) return;
    const text = `CPU ${cpu.cpu} got an abort for offset 0x${offset.toString(16)} of the replicated range, which was unmapped for an update`;
    node.observations.report('E1', text, cpu.time);
  }

  /** A page of the replicated range is unmapped only while its protocol is at work on it; other memory is mapped lazily. */
  private *translationFault(cpu: Vcpu, ipa: number): Step<number> {
    const { node } = this;
    const offset = ipa - node.layout.imageIpa;
    if (!node.isReplicated(offset)) return yield* this.populate(cpu, ipa);
    // The entry may be broken for an edit that is under way: then it is whole again when the lock is free.
    yield this.lock(cpu);
    this.unlock(cpu);
    // Bug 43: what lags behind is taken for an error.
    if (this.injectsWhileUnmapped) return INJECTED;
    node.waitsInEl2(cpu);
    yield* node.textPages.wait(cpu, node.textPages.pageOf(offset));
    cpu.el2 = EL2_BUSY;
    return RETRY;
  }

  /** Takes the lock of this node's tables. */
  *lock(cpu: Vcpu): Step<void> {
    while (this.locked) {
      if (!this.waiting.includes(cpu)) this.waiting.push(cpu);
      yield WAIT;
    }
    this.locked = true;
  }

  unlock(cpu: Vcpu): void {
    this.locked = false;
    // Cores that stand still cannot take it.
    const agent = this.node.life?.isCatchingUp === true ? this.waiting.indexOf(this.node.agentCpu) : 0;
    const [next] = agent < 0 ? [] : this.waiting.splice(agent, 1);
    if (next !== undefined) this.node.wakeLater(next, cpu.time);
  }

  get isLocked(): boolean {
    return this.locked;
  }

  /** All who wait for the lock look again: one that was woken may be unable to take it. */
  wakeWaiting(at: number): void {
    for (const cpu of this.waiting.splice(0)) this.node.wakeLater(cpu, at);
  }

  /** `cpu` waits no more. */
  forgetWaiting(cpu: Vcpu): void {
    const i = this.waiting.indexOf(cpu);
    if (i >= 0) this.waiting.splice(i, 1);
  }

  /** pKVM's host abort path on this node's tables. */
  private *populate(cpu: Vcpu, ipa: number): Step<number> {
    const { node } = this;
    if (node.host === null) return INJECTED;
    this.lazyFaults++;
    yield this.lock(cpu);
    if (!node.passes(cpu, node.latencies.handlePs)) yield node.latencies.handlePs;
    node.tableOps?.locked?.(0);
    const faulted = node.host.handleTranslationFault(ipa);
    const result = yield* node.maintenance.perform(cpu, this.remaps ? remapped(node.host, ipa, faulted) : faulted);
    node.tableOps?.unlocked?.(0);
    this.unlock(cpu);
    this.countFault(cpu, node.host, ipa);
    // Recycling has not helped: the host gets an abort, as a machine without memory would give it, and the report says so.
    if (result === -ENOMEM) this.exhaustions++;
    return result === 0 || result === -EEXIST || result === -EAGAIN ? RETRY : INJECTED;
  }

  /** L1: what is mapped lazily stays mapped until MMIO is recycled; who faults there again and again does not get on. */
  private countFault(cpu: Vcpu, host: HostStage2, ipa: number): void {
    const level = host.editor.getLeaf(ipa);
    if (level < -1) return;
    const leaf = Math.floor(ipa / host.editor.levelBytes(level));
    const key = `${cpu.core} ${level} ${leaf}`;
    const count = 1 + (this.faultsOf.get(key) ?? 0);
    this.faultsOf.set(key, count);
    if (count !== FAULTS_OF_LEAF + host.recycled) return;
    const text = `CPU ${cpu.cpu} has faulted ${count} times on the leaf of IPA 0x${ipa.toString(16)}, which others break each time that it is mapped`;
    this.node.observations.report('L1', text, cpu.time);
  }

  /** The permission-fault branch: a store to replicated text is performed by the hypervisor on every copy. */
  private *emulate(cpu: Vcpu, far: number, esr: number, begin: number): Step<number> {
    const { node } = this;
    // HPFAR_EL2 is UNKNOWN for this fault: EL2 translates FAR_EL2 itself, and gives up if it cannot ([arm64 reference 4.2]).
    if (!node.passes(cpu, node.latencies.atPs)) yield node.latencies.atPs;
    const ipa = yield* node.mmu.addressTranslate(cpu, far);
    if (ipa < 0) return RETRY;
    const offset = ipa - node.layout.imageIpa;
    if (!node.isReplicated(offset)) return INJECTED;
    const { store } = node.hardware.cores[cpu.core]!;
    let word = 0;
    if (!emulateFromSyndrome(esr, far, cpu.registers, store)) {
      word = yield* this.trappedInstruction(cpu);
      if (cpu.monitor.armed) this.monitor.arm(cpu.monitor.va, cpu.monitor.bytes);
      else this.monitor.clear();
      if (!decodeTrappedStore(word, far, cpu.registers, this.monitor, store)) {
        if (store.refusal === REFUSE_OTHER_ADDRESS) return RETRY;
        return this.refuse();
      }
    }
    const other = otherPageOf(store, far, node.stage1.config.granule.bytes);
    if (other >= 0) {
      const fate = yield* this.otherPage(cpu, other, ipa + (other - far));
      if (fate !== EMULATED) return fate;
    }
    const first = offset + store.offset;
    // It may lie across the end of the range.
    if (!node.isReplicated(first) || !node.isReplicated(first + store.size - 1)) return this.refuse();
    this.trapped++;
    if (!node.passes(cpu, node.latencies.emulatePs)) yield node.latencies.emulatePs;
    if ((store.writes || store.pending) && !(yield this.submit(cpu, store, first, begin))) return RETRY;
    this.finish(cpu, store);
    return EMULATED;
  }

  /**
   * The other page of a store: EMULATED if EL1 may write there and it follows on in IPA space too, so that one write can do
   * both. By an alias of a single page, such as the fixmap's, neither need hold.
   */
  private *otherPage(cpu: Vcpu, va: number, expected: number): Step<number> {
    yield this.node.latencies.atPs;
    const ipa = yield* this.node.mmu.addressTranslate(cpu, va, ACCESS_WRITE);
    if (ipa === expected) return EMULATED;
    if (ipa < 0 && cpu.faultStage2) return yield* this.populate(cpu, cpu.faultIpa);
    return this.refuse();
  }

  /** The store leaves no trace, and EL1 takes an abort. */
  private refuse(): number {
    this.trapped++;
    this.refused++;
    return INJECTED;
  }

  /** The instruction at ELR_EL2, read through the node's own translation: the core's text, hence this node's replica. */
  private *trappedInstruction(cpu: Vcpu): Step<number> {
    const { node } = this;
    const ipa = yield* node.mmu.addressTranslate(cpu, cpu.registers.pc);
    const offset = ipa - node.layout.imageIpa;
    const pa = node.isReplicated(offset) ? node.textPages.seenAt(offset) : ipa;
    return yield* node.coherence.load32(cpu, pa);
  }

  /** Hands the write to the order and waits until it is retired. False: the core should try again. */
  private *submit(cpu: Vcpu, store: EmulatedStore, first: number, begin: number): Step<boolean> {
    const { node } = this;
    const { size, operation } = store;
    const submission: Submission = {
      offset: first,
      size,
      bytes: store.pending ? [] : firstOf(store.bytes, size),
      operation,
      operand: store.pending ? firstOf(store.operand, size) : [],
      expected: store.pending ? firstOf(store.expected, size) : [],
      begin,
      serial: ++cpu.submissions,
    };
    cpu.trappedWord = first >> 2;
    cpu.replyNumber = -1;
    cpu.replyBytes = null;
    node.trace?.add(cpu.time, TRACE_TRAP, node.id, cpu.cpu, first >> 2, submission.serial, null);
    const submitted = cpu.time;
    node.submit(cpu.core, submission, cpu.time);
    node.sendProbes(first >> 2, false, cpu.time);
    node.waitsInEl2(cpu);
    while (cpu.replyNumber < 0) yield WAIT;
    cpu.el2 = EL2_BUSY;
    // Bug 38: the order has the store, and its core is told that it failed.
    if (this.failsLate && cpu.time - submitted > PATIENCE_PS) return false;
    if (store.pending) node.resolve(store, cpu.replyBytes!);
    if (cpu.replyNumber > 0) {
      const bytes = firstOf(store.bytes, size);
      const { replyNumber: number, core } = cpu;
      this.times.push({ number, begin, end: cpu.time, core, offset: first, bytes, maintained: -1 });
      node.trace?.add(cpu.time, TRACE_OVER, node.id, number, cpu.cpu, 0, null);
      node.sendProbes(first >> 2, true, cpu.time);
    } else if (submission.operation === OPERATION_STORE) {
      const text = `the store of CPU ${cpu.cpu} to offset 0x${first.toString(16)}, which trapped at ${begin / 1000} ns, came back without a number`;
      node.observations.report('R2', text, cpu.time);
    }
    return true;
  }

  /** Leaves the trap, and checks that it is as if the instruction had run once (E1). */
  private finish(cpu: Vcpu, store: EmulatedStore): void {
    const { node } = this;
    const { registers } = cpu;
    this.expected.copyFrom(registers);
    const word = node.imageWordAt(registers.pc);
    const { written } = this;
    let writtenBytes = 0;
    const isOracle = oracleExecute(
      word,
      this.expected,
      {
        read: (_va, bytes, into) => {
          for (let i = 0; i < bytes; i++) into[i] = store.old[i]!;
        },
        write: (_va, bytes, from) => {
          for (let i = 0; i < bytes; i++) written[writtenBytes + i] = from[i]!;
          writtenBytes += bytes;
        },
      },
      cpu.monitor,
    );
    completeEmulation(store, registers);
    cpu.monitor.clear();
    this.emulationsChecked++;
    const difference = isOracle ? registers.firstDifference(this.expected) : 'the instruction is no store';
    const sameBytes = store.writes ? this.sameBytes(store, written, writtenBytes) : writtenBytes === 0;
    if (difference !== null || !sameBytes) {
      const text = `CPU ${cpu.cpu}: after the emulated store ${word.toString(16)}: ${difference ?? 'other bytes were stored'}`;
      node.observations.report('E1', text, cpu.time);
    }
  }

  private sameBytes(store: EmulatedStore, written: Uint8Array, count: number): boolean {
    if (count !== store.size) return false;
    for (let i = 0; i < count; i++) if (written[i] !== store.bytes[i]) return false;
    return true;
  }
}
