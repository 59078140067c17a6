import { alignDown } from '@numalab/base';
import {
  ACCESS_EXECUTE,
  ACCESS_WRITE,
  completeEmulation,
  dataAbort,
  decodeTrappedStore,
  drainInto,
  EAGAIN,
  EC_DATA_ABORT,
  EEXIST,
  ENOMEM,
  ExclusiveMonitor,
  emulateFromSyndrome,
  FSC_PERMISSION,
  FSC_TRANSLATION,
  fscType,
  hpfarValid,
  instructionAbort,
  LINE_BYTES,
  OPERATION_STORE,
  oracleExecute,
  otherPageOf,
  REFUSE_OTHER_ADDRESS,
  resolveOperation,
  type StoreAccess,
  type StoreMemory,
  storeIss,
  type TableOp,
} from '@numalab/machine';
import { wordOfCell } from './cells.ts';
import type { LiveCpu } from './live-cpu.ts';
import type { LiveNode } from './live-node.ts';
import { LiveTimes } from './live-times.ts';
import { packBytes, SUBMIT, unpackBytes } from './wire.ts';

/** What became of an attempt to store. */
export const TRY_AGAIN = 0;
/** The order has it; {@link LiveEl2.finish} follows once it is retired. */
export const SUBMITTED = 1;
/** It wrote nothing, and is over. */
export const OVER = 2;
/** EL1 took an abort. */
export const ABORTED = 3;

/** EL2 on the cores of one node in a live run. It runs to its end at once, and waits only for the order. */
export class LiveEl2 {
  trapped = 0;
  refused = 0;
  lazyFaults = 0;
  injected = 0;
  emulationsChecked = 0;
  faults = 0;
  readonly times: LiveTimes = new LiveTimes();
  private readonly node: LiveNode;
  /** EL2's decoder uses the monitor up; the core's own is what E1 compares with. */
  private readonly monitor = new ExclusiveMonitor();
  private readonly written = new Uint8Array(64);
  private writtenBytes = 0;
  private oldBytes: Uint8Array = new Uint8Array(16);
  /** Where an answer's bytes are read into; `oldBytes` may be another core's. */
  private readonly answered: Uint8Array = new Uint8Array(16);
  private readonly oracleMemory: StoreMemory = {
    read: (_va, bytes, into) => {
      for (let i = 0; i < bytes; i++) into[i] = this.oldBytes[i]!;
    },
    write: (_va, bytes, from) => {
      for (let i = 0; i < bytes; i++) this.written[this.writtenBytes + i] = from[i]!;
      this.writtenBytes += bytes;
    },
  };
  private readonly perform = (op: TableOp): void => this.node.performTableOp(op);

  constructor(node: LiveNode) {
    this.node = node;
  }

  /** Translates `va` for a core, handling what traps. False: it cannot go on now (it waits for a page), or took an abort. */
  access(cpu: LiveCpu, va: number, access: number): boolean {
    const { mmu } = this.node;
    for (;;) {
      if (mmu.hit(cpu, va, access)) return true;
      const status = mmu.translate(cpu, va, access);
      if (status === 0) return true;
      this.faults++;
      if (!cpu.faultStage2 || !this.abort(cpu, access, status)) return false;
    }
  }

  /** Makes stage 2 map `ipa` for a core that reaches it by a VA that is not modelled. */
  reach(cpu: LiveCpu, ipa: number, access: number): boolean {
    const { mmu } = this.node;
    for (;;) {
      const status = mmu.stage2(cpu, ipa, access);
      if (status === 0) return true;
      cpu.faultIpa = ipa;
      cpu.faultS1ptw = false;
      this.faults++;
      if (!this.abort(cpu, access, status)) return false;
    }
  }

  /** An abort of a fetch or load. True: try again. */
  private abort(cpu: LiveCpu, access: number, status: number): boolean {
    const s1ptw = cpu.faultS1ptw ? 1 : 0;
    const esr =
      access === ACCESS_EXECUTE
        ? instructionAbort({ ifsc: status, s1ptw })
        : dataAbort({ dfsc: status, s1ptw, wnr: access === ACCESS_WRITE ? 1 : 0 });
    if (fscType(status) === FSC_TRANSLATION && hpfarValid(esr) && this.populate(cpu, cpu.faultIpa)) {
      return cpu.waitsForPage < 0;
    }
    this.injected++;
    return false;
  }

  /** A translation fault: what the protocol has unmapped is waited for, all else is mapped as pKVM's host abort path does. */
  private populate(cpu: LiveCpu, ipa: number): boolean {
    const { node } = this;
    const offset = ipa - node.layout.imageIpa;
    if (node.isReplicated(offset)) {
      node.agent.fault(cpu, node.pageOf(offset));
      return true;
    }
    this.lazyFaults++;
    node.tableOps?.locked?.(0);
    const result = drainInto(node.tables.host.handleTranslationFault(ipa), this.perform);
    node.tableOps?.unlocked?.(0);
    if (result === -ENOMEM) {
      node.checks.report('M1', `node ${node.id}: the stage-2 pool is exhausted at IPA 0x${ipa.toString(16)}`);
    }
    return result === 0 || result === -EEXIST || result === -EAGAIN;
  }

  /** The abort of a store that the core decoded as `access`, at `far`. */
  storeAbort(cpu: LiveCpu, access: StoreAccess, far: number, status: number): number {
    const { node } = this;
    this.faults++;
    if (cpu.trappedTick < 0) {
      cpu.trappedTick = node.control.tick();
      cpu.trappedMs = node.now();
    }
    const type = fscType(status);
    if (type === FSC_PERMISSION && !cpu.faultS1ptw) {
      const esr = ((EC_DATA_ABORT << 26) | (1 << 25) | storeIss(access, status & 63)) >>> 0;
      return this.emulate(cpu, far, esr);
    }
    if (type === FSC_TRANSLATION && this.populate(cpu, cpu.faultIpa)) return TRY_AGAIN;
    this.injected++;
    return ABORTED;
  }

  /** The permission-fault branch: a store to replicated text goes to the order. */
  private emulate(cpu: LiveCpu, far: number, esr: number): number {
    const { node } = this;
    const { store } = cpu;
    // HPFAR_EL2 is UNKNOWN for this fault: EL2 translates FAR_EL2 itself ([arm64 reference 4.2]).
    const ipa = node.mmu.addressTranslate(cpu, far);
    if (ipa < 0) return TRY_AGAIN;
    const offset = ipa - node.layout.imageIpa;
    if (!node.isReplicated(offset)) {
      this.injected++;
      return ABORTED;
    }
    if (!emulateFromSyndrome(esr, far, cpu.registers, store)) {
      if (cpu.monitor.armed) this.monitor.arm(cpu.monitor.va, cpu.monitor.bytes);
      else this.monitor.clear();
      if (!decodeTrappedStore(this.trappedInstruction(cpu), far, cpu.registers, this.monitor, store)) {
        return store.refusal === REFUSE_OTHER_ADDRESS ? TRY_AGAIN : this.refuse();
      }
    }
    const other = otherPageOf(store, far, node.mmu.stage1.config.granule.bytes);
    if (other >= 0) {
      const fate = this.otherPage(cpu, other, ipa + (other - far));
      if (fate !== SUBMITTED) return fate;
    }
    const first = offset + store.offset;
    if (!node.isReplicated(first) || !node.isReplicated(first + store.size - 1)) return this.refuse();
    this.trapped++;
    cpu.masked = true;
    cpu.trappedOffset = first;
    if (!store.writes && !store.pending) return OVER;
    this.submit(cpu, first);
    return SUBMITTED;
  }

  /** See the simulator's EL2: SUBMITTED if the other page of a store follows on in IPA space, and EL1 may write there. */
  private otherPage(cpu: LiveCpu, va: number, expected: number): number {
    const ipa = this.node.mmu.addressTranslate(cpu, va, ACCESS_WRITE);
    if (ipa === expected) return SUBMITTED;
    if (ipa < 0 && cpu.faultStage2 && this.populate(cpu, cpu.faultIpa)) return TRY_AGAIN;
    return this.refuse();
  }

  private refuse(): number {
    this.trapped++;
    this.refused++;
    this.injected++;
    return ABORTED;
  }

  /** The instruction at ELR_EL2: this node's copy of the core's text. */
  private trappedInstruction(cpu: LiveCpu): number {
    const { node } = this;
    const ipa = node.mmu.addressTranslate(cpu, cpu.registers.pc);
    const offset = ipa - node.layout.imageIpa;
    const pa = node.isReplicated(offset) && !node.isShared(offset) ? node.copyOf(offset) : ipa;
    const copy = node.copyAt(pa);
    return wordOfCell(copy.cells[(pa - copy.base) / 4]!);
  }

  private submit(cpu: LiveCpu, first: number): void {
    const { node } = this;
    const { store } = cpu;
    const ring = node.toHypervisor;
    cpu.replyNumber = -1;
    cpu.ready = false;
    if (node.order !== null) {
      node.order.submit(cpu);
      return;
    }
    ring.begin(SUBMIT, node.dueAtHypervisor());
    ring.word(cpu.core);
    ring.word(cpu.trappedTick);
    ring.word(first);
    ring.word(store.size);
    ring.word(store.pending ? store.operation : OPERATION_STORE);
    if (!store.pending) packBytes(ring, store.bytes, store.size);
    else {
      packBytes(ring, store.operand, store.size);
      packBytes(ring, store.expected, store.size);
    }
    ring.end();
    node.publish();
  }

  /** The order has retired a core's write: `number`, or 0 if it wrote nothing. An atomic's old bytes are `old`, or follow in the ring. */
  retired(cpu: LiveCpu, number: number, old: readonly number[] | null): void {
    const { node } = this;
    const { store } = cpu;
    if (store.pending) {
      if (old === null) unpackBytes(node.fromHypervisor, this.answered, store.size);
      else this.answered.set(old);
      resolveOperation(store, this.answered);
    }
    cpu.replyNumber = number;
    cpu.ready = true;
  }

  /** Leaves the trap, and checks that it is as if the instruction had run once (E1). */
  finish(cpu: LiveCpu): void {
    const { node } = this;
    const { registers, expected, store } = cpu;
    expected.copyFrom(registers);
    const word = node.imageWordAt(registers.pc);
    this.writtenBytes = 0;
    this.oldBytes = store.old;
    const isOracle = oracleExecute(word, expected, this.oracleMemory, cpu.monitor);
    completeEmulation(store, registers);
    cpu.monitor.clear();
    this.emulationsChecked++;
    const difference = isOracle ? registers.firstDifference(expected) : 'the instruction is no store';
    if (difference !== null || !this.storedTheSame(cpu)) {
      const text = `CPU ${cpu.cpu}: after the emulated store ${word.toString(16)}: ${difference ?? 'other bytes were stored'}`;
      node.checks.report('E1', text);
    }
    cpu.masked = false;
    if (cpu.replyNumber > 0) node.writeOver(cpu);
    cpu.trappedTick = -1;
    cpu.trappedOffset = -1;
  }

  private storedTheSame({ store }: LiveCpu): boolean {
    if (!store.writes) return this.writtenBytes === 0;
    if (this.writtenBytes !== store.size) return false;
    for (let i = 0; i < store.size; i++) if (this.written[i] !== store.bytes[i]) return false;
    return true;
  }

  /** IC IVAU over [pa, pa + bytes), after the stores before it. */
  invalidateLines(pa: number, bytes: number): void {
    const { maintenance, spec } = this.node;
    if (spec.dic) return;
    for (let line = alignDown(pa, LINE_BYTES); line < pa + bytes; line += LINE_BYTES) maintenance.invalidateLine(line);
    maintenance.complete();
  }
}
