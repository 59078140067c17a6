/**
 * Reads one node's stage-2 tables from memory into ranges, written independently of the editor and of the walker: only what
 * a single descriptor means is shared with them.
 *
 * Verifies (T1) that every entry is a legal table, leaf or annotation for its level; contiguous groups are whole and
 * aligned; table pages lie in EL2's pools, hold something, and are reached once over all nodes. Does not verify whether what
 * is mapped is right: that is done on the ranges, see check-tables.ts.
 */
import { hex } from '@numalab/base';
import {
  contiguousEntries,
  descriptorKind,
  donationOwner,
  INVALID_TYPE_DONATION,
  INVALID_TYPE_LOCKED,
  invalidType,
  KIND_INVALID,
  KIND_TABLE,
  leafAttributes,
  levelBytes,
  outputAddress,
  rootAlignment,
  S2_HI_CONTIGUOUS,
  S2_LO_AF,
  type Stage2Config,
  type WordMemory,
} from '@numalab/machine';
import type { Findings } from './finding.ts';
import { type AddressRange, firstEndingAfter } from './ranges.ts';

/** One node's tables: where they are and under which registers. */
export interface NodeTables {
  readonly node: number;
  readonly memory: WordMemory;
  readonly config: Stage2Config;
  /** EL2's memory in which this node's table pages lie, disjoint and in order. */
  readonly pools: readonly AddressRange[];
  /** Pages the pool says are in use, to be compared with what is reachable. Left out: not compared. */
  readonly pagesUsed?: number;
}

/** Input addresses that mean the same: mapped with one displacement and one set of attributes, or owned by one owner. */
export interface TableRun extends AddressRange {
  readonly start: number;
  end: number;
  /** Output address of `start`; -1 for an annotation. */
  readonly pa: number;
  /** Packed attributes without access flag and Contiguous bit. */
  readonly attrs: number;
  /** Owner of an annotation, 0 for a mapping. */
  readonly owner: number;
}

const HI_PACK = 8;
/** Access flag and Contiguous bit: they do not change what a leaf means. */
const IGNORED_ATTRS = S2_LO_AF | (S2_HI_CONTIGUOUS >>> HI_PACK);
const ENTRY_BYTES = 8;

export class TableView {
  readonly tables: NodeTables;
  /** Valid leaves and annotations as ranges, in order of input address. */
  readonly mapped: TableRun[] = [];
  readonly annotated: TableRun[] = [];
  /** Table pages reached, the root's included. */
  readonly pages: number[] = [];
  private readonly findings: Findings;
  private readonly reached: Map<number, number>;

  /** Reads the tables. `reached` maps each table page to the node it was reached from and is shared by all nodes. */
  constructor(tables: NodeTables, findings: Findings, reached: Map<number, number>) {
    this.tables = tables;
    this.findings = findings;
    this.reached = reached;
    const { config, node } = tables;
    if (!config.valid) {
      findings.add('T1', 'illegal-vtcr', node, -1, 'VTCR_EL2 is illegal, every access faults');
      return;
    }
    const { rootPa, rootBytes, startLevel, granule } = config;
    if (rootPa % rootAlignment(config) !== 0) findings.add('T1', 'root-alignment', node, -1, 'the root is misaligned');
    for (let at = 0; at < rootBytes; at += granule.bytes) this.reach(rootPa + at, -1);
    this.read(rootPa, startLevel, 0, rootBytes / ENTRY_BYTES);
    if (tables.pagesUsed !== undefined && tables.pagesUsed !== this.pages.length) {
      const text = `the pool says ${tables.pagesUsed} pages are in use, ${this.pages.length} are reachable`;
      findings.add('M1', 'pool-accounting', node, -1, text);
    }
  }

  private finding(rule: string, ipa: number, text: string): void {
    this.findings.add('T1', rule, this.tables.node, ipa, text);
  }

  /** Books a table page; false if it was reached before, so that a loop ends. */
  private reach(pa: number, ipa: number): boolean {
    const { pools, node } = this.tables;
    const pool = pools[firstEndingAfter(pools, pa)];
    if (pool === undefined || pool.start > pa) {
      this.finding('table-outside-pool', ipa, `table page ${hex(pa)} does not lie in a pool of EL2`);
    }
    const before = this.reached.get(pa);
    if (before !== undefined) {
      this.finding('table-reached-twice', ipa, `table page ${hex(pa)} was already reached from node ${before}`);
      return false;
    }
    this.reached.set(pa, node);
    this.pages.push(pa);
    return true;
  }

  /** Reads `entries` entries of the table at `table`; returns how many are not zero. */
  private read(table: number, level: number, base: number, entries: number): number {
    const { memory, config } = this.tables;
    const size = levelBytes(config.granule, level);
    const words = memory.view?.(table, entries * ENTRY_BYTES) ?? null;
    let used = 0;
    for (let i = 0; i < entries; i++) {
      const at = table + i * ENTRY_BYTES;
      const lo = words === null ? memory.load32(at) >>> 0 : words[2 * i]!;
      const hi = words === null ? memory.load32(at + 4) >>> 0 : words[2 * i + 1]!;
      if (lo === 0 && hi === 0) continue;
      used += 1;
      const ipa = base + i * size;
      if ((lo & 1) === 0) this.invalid(lo, hi, ipa, size);
      else {
        const kind = descriptorKind(config, lo, hi, level);
        if (kind === KIND_TABLE) this.descend(outputAddress(config, lo, hi, level), level + 1, ipa);
        else if (kind === KIND_INVALID)
          this.finding('reserved-descriptor', ipa, `no descriptor of level ${level} looks so`);
        else {
          const members = this.leaf(table, i, level, ipa, lo, hi);
          used += members - 1;
          i += members - 1;
        }
      }
    }
    return used;
  }

  private descend(table: number, level: number, ipa: number): void {
    const { config } = this.tables;
    if (table + config.granule.bytes > 2 ** config.oaBits) {
      this.finding('address-size', ipa, `the table address ${hex(table)} is too big`);
    }
    if (!this.reach(table, ipa)) return;
    const used = this.read(table, level, ipa, config.granule.entries);
    if (used === 0) this.finding('empty-table', ipa, `table page ${hex(table)} is linked but empty`);
  }

  private invalid(lo: number, hi: number, ipa: number, size: number): void {
    const type = invalidType(lo, hi);
    const owner = donationOwner(lo, hi);
    if (type === INVALID_TYPE_LOCKED) this.finding('left-locked', ipa, 'a break-before-make was never finished');
    else if (type !== INVALID_TYPE_DONATION || owner === 0)
      this.finding('bad-annotation', ipa, 'an annotation without owner');
    if (owner > 0) this.extend(this.annotated, { start: ipa, end: ipa + size, pa: -1, attrs: 0, owner });
  }

  /** Books the leaf, or the contiguous group that begins with it, and returns how many entries that were. */
  private leaf(table: number, index: number, level: number, ipa: number, lo: number, hi: number): number {
    const { config } = this.tables;
    const size = levelBytes(config.granule, level);
    const pa = outputAddress(config, lo, hi, level);
    const count = contiguousEntries(config.granule, level);
    let members = 1;
    if (count > 1 && (hi & S2_HI_CONTIGUOUS) !== 0) {
      if (index % count === 0 && pa % (count * size) === 0 && this.groupWhole(table, index, level, lo, hi))
        members = count;
      else
        this.finding('contiguous-group', ipa, 'the contiguous hint on a group that is not aligned, whole and uniform');
    }
    if (pa + members * size > 2 ** config.oaBits)
      this.finding('address-size', ipa, `the output address ${hex(pa)} is too big`);
    const attrs = leafAttributes(config, lo, hi) & ~IGNORED_ATTRS;
    this.extend(this.mapped, { start: ipa, end: ipa + members * size, pa, attrs, owner: 0 });
    return members;
  }

  private groupWhole(table: number, index: number, level: number, lo: number, hi: number): boolean {
    const { memory, config } = this.tables;
    const size = levelBytes(config.granule, level);
    const attrs = leafAttributes(config, lo, hi) & ~S2_LO_AF;
    const pa = outputAddress(config, lo, hi, level);
    const count = contiguousEntries(config.granule, level);
    for (let i = 1; i < count; i++) {
      const at = table + (index + i) * ENTRY_BYTES;
      const memberLo = memory.load32(at) >>> 0;
      const memberHi = memory.load32(at + 4) >>> 0;
      if ((memberLo & 3) !== (lo & 3) || outputAddress(config, memberLo, memberHi, level) !== pa + i * size)
        return false;
      if ((leafAttributes(config, memberLo, memberHi) & ~S2_LO_AF) !== attrs) return false;
    }
    return true;
  }

  private extend(runs: TableRun[], run: TableRun): void {
    const last = runs.at(-1);
    const joins =
      last !== undefined &&
      last.end === run.start &&
      last.attrs === run.attrs &&
      last.owner === run.owner &&
      (run.owner > 0 || last.pa + (last.end - last.start) === run.pa);
    if (joins) last.end = run.end;
    else runs.push(run);
  }
}
