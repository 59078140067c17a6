/**
 * Stage-2 tables built by hand, bit by bit in BigInt: a third opinion that shares nothing with the walker or the table
 * editor, so that a common misreading of the manual shows. Rules: Arm ARM DDI 0487, D8.2 and D8.3.
 */

/** A stage-2 regime, chosen freely (also illegally). */
export interface Regime {
  readonly name: string;
  /** log2 of the granule: 12, 14, 16. */
  readonly granuleBits: 12 | 14 | 16;
  readonly startLevel: number;
  readonly ipaBits: number;
  /** VTCR_EL2.PS: 0..6 for 32, 36, 40, 42, 44, 48, 52 bits. */
  readonly ps: number;
  /** VTCR_EL2.DS */
  readonly ds?: boolean;
  readonly ha?: boolean;
  readonly hd?: boolean;
  /** Bits to be inverted in VTCR_EL2 after all: makes illegal ones. */
  readonly flip?: bigint;
}

const PS_BITS = [32, 36, 40, 42, 44, 48, 52] as const;
const TG0 = { 12: 0n, 14: 2n, 16: 1n } as const;
const flag = (on: boolean | undefined, bit: bigint): bigint => (on ? 1n << bit : 0n);

/** VTCR_EL2 of a regime. */
export const vtcrOf = (regime: Regime): bigint => {
  const { granuleBits, startLevel } = regime;
  // SL2:SL0 counts levels upwards from 2 (4K; 3 wraps round to it) or from 3 (16K, 64K).
  const deepest = granuleBits === 12 ? 2 : 3;
  const sl = startLevel === -1 ? 4 : (deepest - startLevel) & 3;
  const vtcr =
    (1n << 31n) |
    BigInt(64 - regime.ipaBits) |
    (BigInt(sl & 3) << 6n) |
    (BigInt(sl >> 2) << 33n) |
    (1n << 8n) |
    (1n << 10n) |
    (3n << 12n) |
    (TG0[granuleBits] << 14n) |
    (BigInt(regime.ps) << 16n) |
    flag(true, 19n) |
    flag(regime.ha, 21n) |
    flag(regime.hd, 22n) |
    flag(regime.ds, 32n);
  return vtcr ^ (regime.flip ?? 0n);
};

/** log2 of the bytes that one entry of `level` maps. */
export const entryBits = (regime: Regime, level: number): number =>
  regime.granuleBits + (regime.granuleBits - 3) * (3 - level);

/** Size of an output address in bits. */
export const outputBits = (regime: Regime): number =>
  Math.min(PS_BITS[regime.ps] ?? 52, regime.ds || regime.granuleBits === 16 ? 52 : 48);

/** Levels at which blocks are legal on a CPU with 52-bit physical addresses. */
export const blockLevels = ({ granuleBits, ds }: Regime): readonly number[] => {
  if (granuleBits === 12) return ds ? [0, 1, 2] : [1, 2];
  if (granuleBits === 14) return ds ? [1, 2] : [2];
  return [1, 2];
};

/** Puts an address into a descriptor, low bits cut off by the granule. Bits that the format cannot hold are dropped. */
export const addressField = (regime: Regime, address: bigint): bigint => {
  const low = (1n << BigInt(regime.granuleBits)) - 1n;
  if (regime.ds) return (address & ((1n << 50n) - 1n) & ~low) | (((address >> 50n) & 3n) << 8n);
  const base = address & ((1n << 48n) - 1n) & ~low;
  return regime.granuleBits === 16 ? base | (((address >> 48n) & 15n) << 12n) : base;
};

/** Tables in memory, entry by entry. Table pages are handed out upwards from the root. */
export class HandTables {
  readonly regime: Regime;
  readonly rootPa: bigint;
  private readonly entries = new Map<bigint, bigint>();
  private nextPa: bigint;

  /** `rootPa` must be aligned for the regime's root. */
  constructor(regime: Regime, rootPa: bigint) {
    this.regime = regime;
    this.rootPa = rootPa;
    const page = 1n << BigInt(regime.granuleBits);
    const rootEnd = rootPa + (1n << BigInt(regime.ipaBits - entryBits(regime, regime.startLevel) + 3));
    this.nextPa = (rootEnd + page - 1n) & ~(page - 1n);
  }

  get vttbr(): bigint {
    const wide = outputBits(this.regime) === 52;
    const low = this.rootPa & ((1n << 48n) - 1n);
    // VMID 5 and CnP 1: neither may change a translation.
    return (5n << 48n) | low | (wide ? (this.rootPa >> 48n) << 2n : 0n) | 1n;
  }

  /** Writes the entry that covers `ipa` at `level`, making tables on the way. Returns false if a leaf is in the way. */
  set(ipa: bigint, level: number, descriptor: bigint): boolean {
    let table = this.rootPa;
    for (let at = this.regime.startLevel; ; at++) {
      const shift = BigInt(entryBits(this.regime, at));
      const stride = BigInt(this.regime.granuleBits - 3);
      const index = at === this.regime.startLevel ? ipa >> shift : (ipa >> shift) & ((1n << stride) - 1n);
      const pa = table + index * 8n;
      const old = this.entries.get(pa) ?? 0n;
      if (at === level) {
        // A table is never overwritten: its entries would become unreachable and the case they stand for be lost.
        if ((old & 3n) === 3n && level < 3) return false;
        this.entries.set(pa, descriptor);
        return true;
      }
      if (old === 0n) {
        table = this.nextPa;
        this.nextPa += 1n << BigInt(this.regime.granuleBits);
        this.entries.set(pa, addressField(this.regime, table) | 3n);
      } else if ((old & 3n) === 3n) {
        const page = (1n << BigInt(this.regime.granuleBits)) - 1n;
        table = old & ((1n << 48n) - 1n) & ~page;
        if (!(table > this.rootPa && table < this.nextPa)) return false;
      } else {
        return false;
      }
    }
  }

  /** All table memory as segments of one granule, pages without entries left out. */
  segments(): { pa: number; bytes: Uint8Array }[] {
    const size = Math.min(4096, 1 << this.regime.granuleBits);
    const pages = new Map<number, DataView>();
    for (const [pa, descriptor] of this.entries) {
      const page = Number(pa) - (Number(pa) % size);
      let view = pages.get(page);
      if (view === undefined) {
        view = new DataView(new ArrayBuffer(size));
        pages.set(page, view);
      }
      view.setBigUint64(Number(pa) - page, descriptor, true);
    }
    return [...pages].sort(([a], [b]) => a - b).map(([pa, view]) => ({ pa, bytes: new Uint8Array(view.buffer) }));
  }
}
