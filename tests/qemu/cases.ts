/**
 * Fills hand-built tables with one of everything: each kind of descriptor at each level, with what the manual says a read
 * and a write must give there.
 */
import type { Random } from '@numalab/base';
import type { FaultKind } from './rig.ts';
import { addressField, blockLevels, entryBits, type HandTables, outputBits, type Regime } from './tables.ts';

/** What an access gives: a translation or a fault at the level of the entry. */
export type Outcome = 'ok' | FaultKind;

/** An entry that was put into the tables. */
export interface PlacedCase {
  readonly name: string;
  readonly level: number;
  /** First IPA and bytes of the entry, or of the contiguous group. */
  readonly ipa: bigint;
  readonly bytes: bigint;
  /** Where the IPA goes, if it goes anywhere. */
  readonly pa: bigint;
  /** What the manual says; null where the bits are random and only walker and QEMU are compared. */
  readonly read: Outcome | null;
  readonly write: Outcome | null;
}

interface Shape {
  readonly name: string;
  /** Bits other than type and address. */
  readonly bits: bigint;
  readonly read: Outcome;
  readonly write: Outcome;
}

const READ = 1n << 6n;
const WRITE = 1n << 7n;
const RW = READ | WRITE;
const AF = 1n << 10n;
const NORMAL = 0xfn << 2n;
const SH_INNER = 3n << 8n;
const DBM = 1n << 51n;
const CONTIGUOUS = 1n << 52n;
const GOOD = AF | NORMAL;
const DEVICE = AF | (1n << 2n);

const shapesOf = ({ ha, hd }: Regime): readonly Shape[] => {
  const young: Outcome = ha ? 'ok' : 'access-flag';
  const dirty: Outcome = ha && hd ? 'ok' : 'permission';
  return [
    { name: 'read-write', bits: GOOD | RW, read: 'ok', write: 'ok' },
    { name: 'read-only', bits: GOOD | READ, read: 'ok', write: 'permission' },
    { name: 'read-only, EL1 executes', bits: GOOD | READ | (3n << 53n), read: 'ok', write: 'permission' },
    { name: 'read-only, nobody executes', bits: GOOD | READ | (2n << 53n), read: 'ok', write: 'permission' },
    { name: 'write-only', bits: GOOD | WRITE, read: 'permission', write: 'ok' },
    { name: 'no access', bits: GOOD, read: 'permission', write: 'permission' },
    { name: 'device, nobody executes', bits: DEVICE | RW | (2n << 53n), read: 'ok', write: 'ok' },
    { name: 'read-only, DBM', bits: GOOD | READ | DBM, read: 'ok', write: dirty },
    { name: 'no access, DBM', bits: GOOD | DBM, read: 'permission', write: dirty },
    { name: 'read-write, AF clear', bits: NORMAL | RW, read: young, write: young },
    { name: 'read-only, AF clear', bits: NORMAL | READ, read: young, write: ha ? 'permission' : 'access-flag' },
    { name: 'no access, AF clear', bits: NORMAL, read: ha ? 'permission' : young, write: ha ? 'permission' : young },
    { name: 'ignored bits set', bits: GOOD | RW | (0x1ffn << 55n), read: 'ok', write: 'ok' },
    { name: 'FnXS', bits: GOOD | RW | (1n << 11n), read: 'ok', write: 'ok' },
  ];
};

/** log2 of the entries of a contiguous group, by granule and level; nothing where the bit is ignored. */
const CONTIGUOUS_BITS: Readonly<Record<number, Readonly<Record<number, number>>>> = {
  12: { 1: 4, 2: 4, 3: 4 },
  14: { 2: 5, 3: 7 },
  16: { 2: 5, 3: 5 },
};

/** Entries Linux and pKVM leave in tables that map nothing: owners, locks, donations; and any bits over a clear bit 0. */
const ANNOTATIONS = [0n, 1n << 2n, 2n << 2n, (1n << 60n) | 2n, (2n << 60n) | (0x1234n << 4n) | (1n << 1n), 1n << 10n];

export class CaseWriter {
  readonly placed: PlacedCase[] = [];
  private readonly tables: HandTables;
  private readonly regime: Regime;
  private readonly random: Random;
  private readonly neighbourhoods: bigint[];

  constructor(tables: HandTables, random: Random) {
    this.tables = tables;
    this.regime = tables.regime;
    this.random = random;
    this.neighbourhoods = Array.from({ length: 4 }, () => this.randomIpa());
  }

  /** A uniform IPA of the regime. */
  randomIpa(): bigint {
    return this.randomBits(this.regime.ipaBits);
  }

  private randomBits(count: number): bigint {
    const value = (BigInt(this.random.next()) << 32n) | BigInt(this.random.next());
    return value & ((1n << BigInt(count)) - 1n);
  }

  /** An IPA aligned for an entry (or group) of 2^shift bytes; pages keep to a few neighbourhoods so that tables are shared. */
  private pickIpa(shift: number): bigint {
    const near = entryBits(this.regime, 2);
    let ipa = this.randomIpa();
    if (shift < near && near < this.regime.ipaBits) {
      const home = this.neighbourhoods[this.random.below(this.neighbourhoods.length)]!;
      ipa = ((home >> BigInt(near)) << BigInt(near)) | this.randomBits(near);
    }
    return (ipa >> BigInt(shift)) << BigInt(shift);
  }

  private pickPa(shift: number): bigint {
    const bits = outputBits(this.regime);
    return shift >= bits ? 0n : (this.randomBits(bits) >> BigInt(shift)) << BigInt(shift);
  }

  private place(
    entry: Omit<PlacedCase, 'ipa' | 'bytes' | 'pa'>,
    descriptor: (pa: bigint) => bigint,
    fixedPa?: bigint,
  ): void {
    const shift = entryBits(this.regime, entry.level);
    const ipa = this.pickIpa(shift);
    const pa = fixedPa ?? this.pickPa(shift);
    if (!this.tables.set(ipa, entry.level, descriptor(pa))) return;
    // A later case may take the place of an earlier one.
    const bytes = 1n << BigInt(shift);
    this.forget(ipa, bytes);
    this.placed.push({ ...entry, ipa, bytes, pa });
  }

  private forget(ipa: bigint, bytes: bigint): void {
    for (let i = this.placed.length - 1; i >= 0; i--) {
      const other = this.placed[i]!;
      if (other.ipa < ipa + bytes && ipa < other.ipa + other.bytes) this.placed.splice(i, 1);
    }
  }

  private leaf(level: number, pa: bigint, bits: bigint): bigint {
    // With DS=1 bits 9:8 are address bits, otherwise they are the shareability.
    const sh = this.regime.ds ? 0n : SH_INNER;
    return addressField(this.regime, pa) | bits | sh | (level === 3 ? 3n : 1n);
  }

  /** Every kind once at `level`. Call with rising levels last: tables never replace leaves, leaves never tables. */
  fill(level: number): void {
    const leafAllowed = level === 3 || blockLevels(this.regime).includes(level);
    const shapes = shapesOf(this.regime);
    if (leafAllowed) {
      for (const shape of shapes) this.place({ ...shape, level }, (pa) => this.leaf(level, pa, shape.bits));
      this.fillGroup(level, shapes[this.random.below(shapes.length)]!);
      this.fillBadAddresses(level);
      this.fillRandomBits(level);
    }
    // `01` is reserved at level 3, and invalid where blocks are not supported.
    if (level === 3 || !leafAllowed) {
      const name = level === 3 ? 'reserved type' : 'block at a level without blocks';
      this.place({ name, level, read: 'translation', write: 'translation' }, (pa) => this.leaf(2, pa, GOOD | RW));
    }
    for (const annotation of [...ANNOTATIONS, this.randomBits(64) & ~1n]) {
      this.place({ name: 'invalid', level, read: 'translation', write: 'translation' }, () => annotation);
    }
  }

  private fillGroup(level: number, shape: Shape): void {
    const groupBits = CONTIGUOUS_BITS[this.regime.granuleBits]![level];
    const shift = entryBits(this.regime, level);
    if (groupBits === undefined || shift + groupBits > Math.min(this.regime.ipaBits, outputBits(this.regime))) return;
    const ipa = this.pickIpa(shift + groupBits);
    const pa = this.pickPa(shift + groupBits);
    const entryBytes = 1n << BigInt(shift);
    for (let i = 0n; i < 1n << BigInt(groupBits); i++) {
      const at = ipa + i * entryBytes;
      this.forget(at, entryBytes);
      if (!this.tables.set(at, level, this.leaf(level, pa + i * entryBytes, shape.bits | CONTIGUOUS))) return;
      const { read, write } = shape;
      const name = `contiguous ${shape.name}`;
      this.placed.push({ name, level, read, write, ipa: at, bytes: entryBytes, pa: pa + i * entryBytes });
    }
  }

  /** Addresses above the output size, which come before AF and permissions; in tables, too. */
  private fillBadAddresses(level: number): void {
    const bits = outputBits(this.regime);
    const shift = entryBits(this.regime, level);
    // 48 bits are all that a descriptor of these regimes holds in place; see the quirks in walker.test.ts for the others.
    for (let bit = bits; bit < 48; bit++) {
      const bad = (1n << BigInt(bit)) | this.pickPa(shift);
      const fault = { level, read: 'address-size', write: 'address-size' } as const;
      for (const attributes of [GOOD | RW, GOOD | READ, NORMAL | RW]) {
        this.place({ name: 'bad output address', ...fault }, (pa) => this.leaf(level, pa, attributes), bad);
      }
      if (level < 3) {
        this.place({ name: 'bad table address', ...fault }, (pa) => addressField(this.regime, pa) | 3n, bad);
      }
    }
  }

  /**
   * Random bits over a valid type. Left out, because implementations may differ: Contiguous (its group would be
   * misprogrammed), nT, and address bits 51:48 where they exist but PS excludes them.
   */
  private fillRandomBits(level: number): void {
    const { ds, granuleBits } = this.regime;
    let clear = CONTIGUOUS;
    if (level < 3) clear |= 1n << 16n;
    if (outputBits(this.regime) < 52 && ds) clear |= 3n << 8n;
    if (outputBits(this.regime) < 52 && granuleBits === 16) clear |= 0xfn << 12n;
    for (let i = 0; i < 8; i++) {
      const noise = (this.randomBits(64) & ~clear & ~3n) | (level === 3 ? 3n : 1n);
      // Half of them with a good address, so that not all end as address-size faults.
      const valid = i % 2 === 0 ? noise : noise & ~(0xffffn << 32n);
      this.place({ name: 'random bits', level, read: null, write: null }, () => valid);
    }
  }
}
