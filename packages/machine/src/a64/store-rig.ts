import { addOffset, toVa } from '@numalab/base';
import type { StoreMemory } from './core-execute.ts';
import { oracleExecute } from './core-execute.ts';
import { decodeStore, StoreAccess, storeIss } from './core-store.ts';
import { decodeTrappedStore, emulateFromSyndrome } from './el2-store.ts';
import { completeEmulation, EmulatedStore, REFUSE_AMBIGUOUS, resolveOperation } from './emulated-store.ts';
import { CpuRegisters, ExclusiveMonitor } from './registers.ts';

/** For tests: a core with a few pages of memory, on which a store is executed, or trapped and emulated. */

/** First byte of the rig's memory: kernel VA 0xffff_8000_1000_0000. */
export const RIG_BASE = 0xf_8000_1000_0000;
/** Three pages of 4 KiB. */
export const RIG_BYTES: number = 3 * 4096;
const PC = addOffset(toVa(RIG_BASE), -0x1_0000);
/** EC 0x24, IL. */
const DATA_ABORT = 0x9200_0000;
/** Stage-2 permission fault at level 3. */
const PERMISSION_L3 = 0x0f;

/** Registers, memory and monitor of a core. */
export class Rig implements StoreMemory {
  readonly regs: CpuRegisters = new CpuRegisters();
  readonly monitor: ExclusiveMonitor = new ExclusiveMonitor();
  readonly bytes: Uint8Array = new Uint8Array(RIG_BYTES);

  constructor() {
    this.regs.pc = PC;
  }

  read(va: number, bytes: number, into: Uint8Array): void {
    for (let i = 0; i < bytes; i++) into[i] = this.bytes[va - RIG_BASE + i]!;
  }

  write(va: number, bytes: number, from: Uint8Array): void {
    if (va < RIG_BASE || va + bytes > RIG_BASE + RIG_BYTES) throw new RangeError(`store to 0x${va.toString(16)}`);
    for (let i = 0; i < bytes; i++) this.bytes[va - RIG_BASE + i] = from[i]!;
  }

  clone(): Rig {
    const copy = new Rig();
    copy.regs.copyFrom(this.regs);
    copy.bytes.set(this.bytes);
    copy.monitor.armed = this.monitor.armed;
    copy.monitor.va = this.monitor.va;
    copy.monitor.bytes = this.monitor.bytes;
    return copy;
  }

  /** Executes a store natively; false if it faults before stage 2. */
  execute(word: number): boolean {
    return oracleExecute(word, this.regs, this, this.monitor);
  }

  /**
   * Raises the stage-2 permission fault of a store to read-only pages (`readOnly` by index) and lets EL2 emulate it: from the
   * syndrome if it can. Returns the EmulatedStore, or null if no byte lies on a read-only page.
   */
  trap(word: number, readOnly: readonly boolean[]): EmulatedStore | null {
    const access = new StoreAccess();
    if (!decodeStore(word, this.regs, access)) throw new Error('no store');
    let far = access.va;
    const page = (va: number): boolean => readOnly[Math.floor((va - RIG_BASE) / 4096)]!;
    if (!page(far)) {
      far += 4096 - (far % 4096);
      if (far >= access.va + access.bytes || !page(far)) return null;
    }
    const store = new EmulatedStore();
    const esr = (DATA_ABORT | storeIss(access, PERMISSION_L3)) >>> 0;
    if (!emulateFromSyndrome(esr, far, this.regs, store)) {
      if (access.isv === 1 && store.refusal !== REFUSE_AMBIGUOUS) return store;
      if (!decodeTrappedStore(word, far, this.regs, this.monitor, store)) return store;
    }
    const va = far + store.offset;
    if (store.pending) {
      const old = new Uint8Array(store.size);
      this.read(va, store.size, old);
      resolveOperation(store, old);
    }
    if (store.writes) this.write(va, store.size, store.bytes);
    completeEmulation(store, this.regs);
    return store;
  }

  /** What differs from `other`, or null. */
  firstDifference(other: Rig): string | null {
    const register = this.regs.firstDifference(other.regs);
    if (register !== null) return register;
    if (this.monitor.armed !== other.monitor.armed) return 'monitor';
    for (let i = 0; i < RIG_BYTES; i++) if (this.bytes[i] !== other.bytes[i]) return `byte ${i}`;
    return null;
  }
}
