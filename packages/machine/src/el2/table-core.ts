/**
 * What every editing operation stands on: reading and writing entries with reference counts, table pages, geometry. A table
 * page carries one reference of its own and one per entry that is not zero, so a table whose count falls to one is empty and
 * goes back to the pool.
 */
import {
  blockAllowed,
  contiguousEntries,
  descriptorKind,
  KIND_TABLE,
  LAST_LEVEL,
  leafAttributes,
  levelBytes,
  outputAddress,
  S2_HI_CONTIGUOUS,
  S2_HI_DBM,
  S2_HI_XN,
  S2_LO_READ,
  S2_LO_WRITE,
  type Stage2Config,
  stage2Attributes,
  tableHi,
  tableLo,
} from '../arm/index.ts';
import type { WordMemory } from '../memory/index.ts';
import { LOCKED_HI, LOCKED_LO } from './invalid-entry.ts';
import type { PagePool } from './page-pool.ts';
import type { TableObserver } from './table-ops.ts';

/** Bytes of a descriptor. */
export const ENTRY_BYTES = 8;

const NO_ATTRS = { read: false, write: false, execute: 'all', memAttr: 0, sh: 0, af: false } as const;
/** Attribute bits by which {@link TableCore.sameMapping} lets two leaves differ: permissions, DBM and the group hint. */
const PERMISSION_ATTRS: number =
  stage2Attributes({
    ...NO_ATTRS,
    read: true,
    write: true,
    execute: 'el1',
    dbm: true,
    contiguous: true,
  }) | stage2Attributes({ ...NO_ATTRS, execute: 'none' });
const SH_ATTRS: number = stage2Attributes({ ...NO_ATTRS, sh: 3 });

/** Bits of the words of a leaf that hold permissions (and DBM, which is one). */
export const PERMISSION_LO: number = S2_LO_READ | S2_LO_WRITE;
export const PERMISSION_HI: number = S2_HI_XN | S2_HI_DBM;

/** By level + 1: bytes of an entry, entries of a contiguous group, whether hardware takes leaves. */
interface Levels {
  readonly sizes: readonly number[];
  readonly groups: readonly number[];
  readonly leaves: readonly boolean[];
}

const known = new WeakMap<Stage2Config, Levels>();

const levelsOf = (config: Stage2Config): Levels => {
  let levels = known.get(config);
  if (levels === undefined) {
    const { granule } = config;
    const all = [-1, 0, 1, 2, LAST_LEVEL];
    levels = {
      sizes: all.map((level) => levelBytes(granule, level)),
      groups: all.map((level) => contiguousEntries(granule, level)),
      leaves: all.map((level) => level === LAST_LEVEL || blockAllowed(granule, level, config)),
    };
    known.set(config, levels);
  }
  return levels;
};

/** The tables of one configuration, entry by entry. */
export class TableCore {
  readonly memory: WordMemory;
  readonly config: Stage2Config;
  readonly pool: PagePool;
  readonly observer: TableObserver;
  /** Bytes below which nothing is mapped. */
  readonly pageBytes: number;
  readonly entries: number;
  /** Tables ever made; an operation tells from it how much of its reservation it used. */
  tablesMade = 0;
  /** Known bugs that are switched on: see {@link TableCore.constructor}. */
  readonly overwritesLeaves: boolean;
  readonly invalidatesFirst: boolean;
  readonly freesEarly: boolean;
  readonly splitsUnflushed: boolean;
  private readonly leaksTables: boolean;
  private readonly levels: Levels;
  /** Attribute bits that make two leaves different mappings. With DS=1 descriptors hold no shareability. */
  private readonly identityAttrs: number;

  /** `bugs`: numbers of the catalogue. */
  constructor(
    memory: WordMemory,
    config: Stage2Config,
    pool: PagePool,
    observer: TableObserver,
    bugs: readonly string[] = [],
  ) {
    this.invalidatesFirst = bugs.includes('16');
    this.overwritesLeaves = bugs.includes('17');
    this.freesEarly = bugs.includes('18');
    this.splitsUnflushed = bugs.includes('26');
    this.leaksTables = bugs.includes('30');
    this.memory = memory;
    this.config = config;
    this.pool = pool;
    this.observer = observer;
    const { granule } = config;
    this.pageBytes = granule.bytes;
    this.entries = granule.entries;
    this.levels = levelsOf(config);
    this.identityAttrs = ~(PERMISSION_ATTRS | (config.ds ? SH_ATTRS : 0));
  }

  /** Bytes of one entry at `level`. */
  size(level: number): number {
    return this.levels.sizes[level + 1]!;
  }

  /** Entries of a contiguous group at `level`, 1 if there are none. */
  group(level: number): number {
    return this.levels.groups[level + 1]!;
  }

  /** Whether hardware takes leaves at `level`. */
  leafAllowed(level: number): boolean {
    return this.levels.leaves[level + 1]!;
  }

  /** Where the entry for `ipa` stands in the table at `table`; the root may be several tables long. */
  entryPa(table: number, level: number, ipa: number): number {
    const index = Math.floor(ipa / this.size(level));
    return table + (level === this.config.startLevel ? index : index % this.entries) * ENTRY_BYTES;
  }

  lo(entry: number): number {
    return this.memory.load32(entry) >>> 0;
  }

  hi(entry: number): number {
    return this.memory.load32(entry + 4) >>> 0;
  }

  isTable(lo: number, hi: number, level: number): boolean {
    return descriptorKind(this.config, lo, hi, level) === KIND_TABLE;
  }

  output(lo: number, hi: number, level: number): number {
    return outputAddress(this.config, lo, hi, level);
  }

  /** Whether the valid leaf `(lo, hi)` maps `pa` with `attrs`, permissions and the Contiguous bit apart. */
  sameMapping(lo: number, hi: number, level: number, pa: number, attrs: number): boolean {
    if (this.output(lo, hi, level) !== pa) return false;
    return ((leafAttributes(this.config, lo, hi) ^ attrs) & this.identityAttrs) === 0;
  }

  /**
   * Stores an entry, keeps the reference count of its table and tells the observer. The word with the valid bit is stored
   * last when the entry becomes valid and first when it stops being so.
   */
  write(entry: number, level: number, ipa: number, lo: number, hi: number): void {
    const { memory } = this;
    const oldLo = memory.load32(entry) >>> 0;
    const oldHi = memory.load32(entry + 4) >>> 0;
    if ((oldLo | oldHi) === 0) {
      if ((lo | hi) !== 0) this.pool.get(entry);
    } else if ((lo | hi) === 0) this.pool.put(entry);
    if ((lo & 1) !== 0) {
      memory.store32(entry + 4, hi);
      memory.store32(entry, lo);
    } else {
      memory.store32(entry, lo);
      memory.store32(entry + 4, hi);
    }
    this.observer.write(entry, oldLo, oldHi, lo >>> 0, hi >>> 0, level, ipa);
  }

  /** The break of break-before-make: an invalid entry that tells other software to wait. */
  lock(entry: number, level: number, ipa: number): void {
    this.write(entry, level, ipa, LOCKED_LO, LOCKED_HI);
  }

  /** Points the entry to the table at `child`. */
  link(entry: number, level: number, ipa: number, child: number): void {
    this.write(entry, level, ipa, tableLo(this.config, child), tableHi(this.config, child));
  }

  /** Takes a page out of the operation's reservation as the table of `level` for `ipa`. */
  newTable(level: number, ipa: number): number {
    const pa = this.pool.allocReserved();
    this.tablesMade += 1;
    this.observer.allocTable(pa, level, ipa);
    return pa;
  }

  /** Gives back a table that no entry points to any more, with all below it. Its entries are zeroed, unobserved. */
  freeTree(table: number, level: number): void {
    const { memory } = this;
    const end = table + this.entries * ENTRY_BYTES;
    for (let entry = table; entry < end; entry += ENTRY_BYTES) {
      const lo = this.lo(entry);
      const hi = this.hi(entry);
      if ((lo | hi) === 0) continue;
      if (this.isTable(lo, hi, level)) this.freeTree(this.output(lo, hi, level), level + 1);
      memory.store32(entry, 0);
      memory.store32(entry + 4, 0);
    }
    this.observer.freeTable(table);
    this.pool.clearReferences(table);
    // Bug 30: the page's last reference is never dropped.
    if (!this.leaksTables) this.pool.free(table);
  }
}

/** Clears the Contiguous bit of a leaf's high word. */
export const withoutContiguous = (hi: number): number => (hi & ~S2_HI_CONTIGUOUS) >>> 0;
