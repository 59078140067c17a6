/**
 * A second stage-2 walk, to judge the first: BigInt throughout, recursive, from the two raw registers, and sharing nothing
 * with the walker, not even field numbers. It follows the wording of the manual (Arm ARM D8.2, D8.3) rather than the shape
 * of a fast loop: bits are sliced where they are needed, sizes are recomputed at every level. It never stores: what
 * hardware would store comes back as `newDescriptor`. Far too slow for anything but tests.
 */
import type { WordMemory } from '../memory/word-memory.ts';

/** What a walk comes to. */
export interface OracleResult {
  /** 0, or the fault status code; an address size fault at level 0 is 0x40, as for the walker. */
  readonly fault: number;
  readonly level: number;
  /** -1 if no leaf was reached. */
  readonly pa: number;
  /** Bytes the leaf and its contiguous group map; 0 if no leaf was reached. */
  readonly leafBytes: number;
  readonly readable: boolean;
  readonly writable: boolean;
  readonly executable: boolean;
  /** PA of each descriptor fetched. */
  readonly reads: readonly number[];
  /** WnR of a fault. */
  readonly wnr: boolean;
  /** The descriptor as hardware leaves it; null if it stores nothing. */
  readonly newDescriptor: bigint | null;
}

type Access = 'read' | 'write' | 'execute' | 'atomic';
const ACCESSES: readonly Access[] = ['read', 'write', 'execute', 'atomic'];

const slice = (value: bigint, msb: number, lsb: number): bigint =>
  (value >> BigInt(lsb)) % (1n << BigInt(msb - lsb + 1));
const bit = (value: bigint, position: number): boolean => slice(value, position, position) === 1n;
const power = (exponent: number): bigint => 1n << BigInt(exponent);

/** The regime, as the manual names its parts. */
interface Regime {
  granuleBits: number;
  stride: number;
  inputSize: number;
  outputSize: number;
  start: number;
  ds: boolean;
  lpa: boolean;
  ha: boolean;
  hd: boolean;
  root: bigint;
}

const startOf = (granuleBits: number, sl2: boolean, sl0: bigint): number | null => {
  const key = `${granuleBits}:${sl2 ? 1 : 0}${sl0}`;
  const legal: Readonly<Record<string, number>> = {
    '12:00': 2,
    '12:01': 1,
    '12:02': 0,
    '12:03': 3,
    '12:10': -1,
    '14:00': 3,
    '14:01': 2,
    '14:02': 1,
    '14:03': 0,
    '16:00': 3,
    '16:01': 2,
    '16:02': 1,
  };
  return legal[key] ?? null;
};

/** Whether the start level fits the granule, the features and T0SZ. */
const startLegal = (r: Regime, paMax: number): boolean => {
  if (r.start === -1 && !r.ds) return false;
  if (r.granuleBits === 12 && r.start === 0 && paMax < 44) return false;
  if (r.granuleBits === 14 && r.start === 1 && paMax < 42) return false;
  if (r.granuleBits === 14 && r.start === 0 && !r.ds) return false;
  if (r.granuleBits === 16 && r.start === 1 && paMax < 44) return false;
  const levelsBelow = 3 - r.start;
  const smallest = levelsBelow * r.stride + r.granuleBits + 1;
  const biggest = smallest + (r.stride - 1) + 4;
  return smallest <= r.inputSize && r.inputSize <= biggest;
};

/** The regime that the registers describe, or null if walks fault at once. */
const regimeOf = (vtcr: bigint, vttbr: bigint, paMax: number): Regime | null => {
  const granuleBits = [12, 16, 14, 0][Number(slice(vtcr, 15, 14))]!;
  if (granuleBits === 0) return null;
  const has52 = paMax === 52;
  const ds = has52 && granuleBits < 16 && bit(vtcr, 32);
  const lpa = has52 && granuleBits === 16;
  const inputSize = 64 - Number(slice(vtcr, 5, 0));
  const ps = [32, 36, 40, 42, 44, 48, 52, 56][Number(slice(vtcr, 18, 16))]!;
  const start = startOf(granuleBits, granuleBits === 12 && ds && bit(vtcr, 33), slice(vtcr, 7, 6));
  if (start === null) return null;
  const cap = ds || lpa ? 52 : 48;
  const regime: Regime = {
    granuleBits,
    stride: granuleBits - 3,
    inputSize,
    outputSize: Math.min(ps, paMax, cap),
    start,
    ds,
    lpa,
    ha: bit(vtcr, 21),
    hd: bit(vtcr, 22),
    root: 0n,
  };
  const largest = Math.min(paMax, cap);
  const least = granuleBits === 16 ? 17 : 16;
  if (inputSize < least || inputSize > largest || !startLegal(regime, paMax)) return null;
  const tableBits = inputSize - ((3 - start) * regime.stride + granuleBits) + 3;
  const long = ds || (lpa && ps === 52);
  const written = long ? (slice(vttbr, 5, 2) << 48n) + (slice(vttbr, 47, 6) << 6n) : slice(vttbr, 47, 1) << 1n;
  const alignment = power(long ? Math.max(6, tableBits) : tableBits);
  regime.root = written - (written % alignment);
  return regime;
};

const code = (kind: 'size' | 'translation' | 'access' | 'permission' | 'external', level: number): number => {
  const atMinusOne = { size: 0b101001, translation: 0b101011, access: -1, permission: -1, external: 0b010011 };
  if (level < 0) return atMinusOne[kind];
  const prefix = { size: 0b0000, translation: 0b0001, access: 0b0010, permission: 0b0011, external: 0b0101 };
  const value = prefix[kind] * 4 + level;
  return value === 0 ? 0x40 : value;
};

/** Address bits 51:48 as the format spreads them over a descriptor. */
const upperAddress = (r: Regime, d: bigint): bigint => {
  if (r.lpa) return slice(d, 15, 12) << 48n;
  return r.ds ? (slice(d, 9, 8) << 50n) + (slice(d, 49, 48) << 48n) : 0n;
};

const blockLegal = (r: Regime, level: number): boolean => {
  if (level === 2) return true;
  if (r.granuleBits === 12) return level === 1 || (level === 0 && r.ds);
  return level === 1 && (r.granuleBits === 14 ? r.ds : r.lpa);
};

/** log2 of the contiguous group, in entries. */
const groupBits = (r: Regime, level: number): number => {
  const table: Readonly<Record<string, number>> = {
    '12:1': 4,
    '12:2': 4,
    '12:3': 4,
    '14:2': 5,
    '14:3': 7,
    '16:2': 5,
    '16:3': 5,
  };
  return table[`${r.granuleBits}:${level}`] ?? 0;
};

/** A walk under way: the reads so far, and how to come to an end. */
class Walk {
  readonly reads: number[] = [];
  private readonly memory: WordMemory;
  private readonly r: Regime;
  private readonly ipa: bigint;
  private readonly access: Access;

  constructor(memory: WordMemory, r: Regime, ipa: bigint, access: Access) {
    this.memory = memory;
    this.r = r;
    this.ipa = ipa;
    this.access = access;
  }

  end(fault: number, level: number, more: Partial<OracleResult> = {}): OracleResult {
    const nothing = { pa: -1, leafBytes: 0, readable: false, writable: false, executable: false, newDescriptor: null };
    return { ...nothing, wnr: this.access === 'write', ...more, fault, level, reads: this.reads };
  }

  table(base: bigint, level: number): OracleResult {
    const { r } = this;
    const low = (3 - level) * r.stride + r.granuleBits;
    const high = level === r.start ? r.inputSize - 1 : low + r.stride - 1;
    const address = base | (slice(this.ipa, high, low) << 3n);
    this.reads.push(Number(address));
    if (!this.memory.contains(Number(address))) return this.end(code('external', level), level);
    const words = [this.memory.load32(Number(address)), this.memory.load32(Number(address) + 4)].map((w) =>
      BigInt(w >>> 0),
    );
    const d = (words[1]! << 32n) + words[0]!;
    const type = Number(slice(d, 1, 0));
    if (type === 3 && level < 3) {
      const next = upperAddress(r, d) + (slice(d, 47, r.granuleBits) << BigInt(r.granuleBits));
      if (next >= power(r.outputSize)) return this.end(code('size', level), level);
      return this.table(next, level + 1);
    }
    const isLeaf = level === 3 ? type === 3 : type === 1 && blockLegal(r, level);
    return isLeaf ? this.leaf(d, level, low) : this.end(code('translation', level), level);
  }

  private leaf(d: bigint, level: number, low: number): OracleResult {
    const { r, access } = this;
    const written = upperAddress(r, d) + (slice(d, 47, low) << BigInt(low));
    const size = low + (bit(d, 52) ? groupBits(r, level) : 0);
    const pa = written - (written % power(size)) + (this.ipa % power(size));
    if (pa >= power(r.outputSize)) return this.end(code('size', level), level);
    const place = { pa: Number(pa), leafBytes: Number(power(size)) };
    if (!bit(d, 10) && !r.ha) return this.end(code('access', level), level, place);
    const dirtyByHardware = r.ha && r.hd && bit(d, 51);
    const may = { read: bit(d, 6), write: bit(d, 7) || dirtyByHardware, execute: bit(d, 54) === bit(d, 53) };
    const seen = { ...place, readable: may.read, writable: bit(d, 7), executable: may.execute };
    const needs: readonly ('read' | 'write' | 'execute')[] = access === 'atomic' ? ['read', 'write'] : [access];
    const missing = needs.find((need) => !may[need]);
    if (missing !== undefined) return this.end(code('permission', level), level, { ...seen, wnr: missing === 'write' });
    let after = d;
    if (r.ha && !bit(d, 10)) after += power(10);
    if (dirtyByHardware && !bit(d, 7) && needs.includes('write')) after += power(7);
    return this.end(0, level, { ...seen, writable: bit(after, 7), newDescriptor: after === d ? null : after });
  }
}

/**
 * Walks the stage-2 tables that `vtcr` and `vttbr` describe on a PE with `paMax` physical address bits. `access` is one of
 * the walker's ACCESS codes.
 */
export const oracleStage2Walk = (
  memory: WordMemory,
  registers: { readonly vtcr: bigint; readonly vttbr: bigint; readonly paMax: number },
  ipa: number,
  access: number,
): OracleResult => {
  const regime = regimeOf(registers.vtcr, registers.vttbr, registers.paMax);
  const outside = regime === null || BigInt(ipa) >= power(regime.inputSize);
  const r = regime ?? ({} as Regime);
  const walk = new Walk(memory, r, BigInt(ipa), ACCESSES[access]!);
  if (outside) return walk.end(code('translation', 0), 0);
  if (r.root >= power(r.outputSize)) return walk.end(code('size', 0), 0);
  return walk.table(r.root, r.start);
};
