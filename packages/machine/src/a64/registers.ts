import { highWord, lowWord, toVa, type Va } from '@numalab/base';

const VA_HIGH = 0xfff0_0000;

/** Whether arrays of the same even length differ. */
const differs = (a: Uint32Array, b: Uint32Array): boolean => {
  let even = 0;
  let odd = 0;
  for (let i = 0; i < a.length; i += 2) {
    even |= a[i]! ^ b[i]!;
    odd |= a[i + 1]! ^ b[i + 1]!;
  }
  return (even | odd) !== 0;
};

/** What EL2 may change when it has emulated a store: no store writes vector registers. */
export type GeneralRegisters = Pick<CpuRegisters, 'set' | 'pc'>;

/**
 * The registers of a core that stores read or write. 64-bit registers are pairs of u32 words, as everywhere on hot paths.
 * Register 31 of the arrays is SP; the instructions for which it means XZR do not look there.
 */
export class CpuRegisters {
  /** X0..X30 and SP: all low words, then all high words. */
  private readonly words: Uint32Array = new Uint32Array(64);
  /** Bits 31:0 of X0..X30 and, at 31, SP. */
  readonly lo: Uint32Array = this.words.subarray(0, 32);
  /** Bits 63:32 of X0..X30 and, at 31, SP. */
  readonly hi: Uint32Array = this.words.subarray(32, 64);
  /** V0..V31, four little-endian words each. */
  readonly vectors: Uint32Array;
  /** Address of the instruction. */
  pc: Va = toVa(0);

  /** `vectors`: those of other registers, which these then share. */
  constructor(vectors: Uint32Array = new Uint32Array(128)) {
    this.vectors = vectors;
  }

  /** Sets X0..X30 or (31) SP. */
  set(register: number, lo: number, hi: number): void {
    this.lo[register] = lo;
    this.hi[register] = hi;
  }

  /** Points X0..X30 or (31) SP at a kernel address. */
  setAddress(register: number, va: number): void {
    this.set(register, lowWord(va), (highWord(va) | VA_HIGH) >>> 0);
  }

  /** X0..X30 or (31) SP in hexadecimal, for reports. */
  format(register: number): string {
    const word = (value: number): string => value.toString(16).padStart(8, '0');
    return `0x${word(this.hi[register]!)}${word(this.lo[register]!)}`;
  }

  /** As at power-on. */
  reset(): void {
    this.words.fill(0);
    this.vectors.fill(0);
    this.pc = toVa(0);
  }

  /** Becomes a copy of `other`. */
  copyFrom(other: CpuRegisters): void {
    this.words.set(other.words);
    if (this.vectors !== other.vectors) this.vectors.set(other.vectors);
    this.pc = other.pc;
  }

  /** The first register in which the two differ (`pc`, `x3`, `sp`, `v7`), or null. */
  firstDifference(other: CpuRegisters): string | null {
    if (this.pc !== other.pc) return 'pc';
    const differ =
      differs(this.words, other.words) || (this.vectors !== other.vectors && differs(this.vectors, other.vectors));
    return differ ? this.nameDifference(other) : null;
  }

  private nameDifference(other: CpuRegisters): string | null {
    for (let i = 0; i < 32; i++) {
      if (this.lo[i] !== other.lo[i] || this.hi[i] !== other.hi[i]) return i === 31 ? 'sp' : `x${i}`;
    }
    for (let i = 0; i < 128; i++) if (this.vectors[i] !== other.vectors[i]) return `v${i >> 2}`;
    return null;
  }
}

/**
 * A core's exclusive monitor: what the last LDXR marked. The machine clears it when another observer stores to the marked
 * granule, and on exception entry and return; a store-exclusive always clears it. Kept by VA: pairs of LDXR and STXR through
 * different aliases fail here, which the architecture allows.
 */
export class ExclusiveMonitor {
  armed = false;
  /** First byte marked, as a {@link Va}. */
  va = 0;
  /** Bytes marked. */
  bytes = 0;

  /** What LDXR and LDXP do. */
  arm(va: number, bytes: number): void {
    this.armed = true;
    this.va = va;
    this.bytes = bytes;
  }

  clear(): void {
    this.armed = false;
  }

  /** Whether a store-exclusive of these bytes succeeds. */
  covers(va: number, bytes: number): boolean {
    return this.armed && this.va === va && this.bytes === bytes;
  }
}
