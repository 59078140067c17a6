/**
 * Reads the tables of an export entry by entry, straight from VTCR_EL2 and VTTBR_EL2, in BigInt: to find addresses worth
 * asking about. It shares no code with the walker.
 */
import type { ExportedTables, TableImage } from './rig.ts';
import { entryBits, type Regime } from './tables.ts';

/** Output sizes by VTCR_EL2.PS. */
export const PS_BITS: readonly number[] = [32, 36, 40, 42, 44, 48, 52];

/** An entry of a table: what it maps, what it holds, and where it lies in the export. */
export interface ExportedEntry {
  readonly ipa: number;
  readonly bytes: number;
  readonly level: number;
  readonly descriptor: bigint;
  /** Index into the segments, and byte offset in that segment. */
  readonly segment: number;
  readonly offset: number;
}
export type EntryVisitor = (entry: ExportedEntry) => void;

const GRANULE_BITS = { '4K': 12, '16K': 14, '64K': 16 } as const;
const ROOT_LEVELS: Readonly<Record<12 | 14 | 16, readonly number[]>> = {
  12: [2, 1, 0, 3, -1],
  14: [3, 2, 1, 0],
  16: [3, 2, 1],
};

/** Calls `visit` for every entry of every table, empty ones too. Throws if a table is not in the export. */
export const forEachEntry = (json: ExportedTables, image: TableImage, visit: EntryVisitor): void => {
  const granuleBits = GRANULE_BITS[json.granule];
  const sl = Number(((image.vtcr >> 6n) & 3n) | (((image.vtcr >> 33n) & 1n) << 2n));
  const startLevel = ROOT_LEVELS[granuleBits][sl]!;
  const ps = Number((image.vtcr >> 16n) & 7n);
  const ds = ((image.vtcr >> 32n) & 1n) === 1n;
  const ipaBits = 64 - Number(image.vtcr & 63n);
  const regime: Regime = { name: '', granuleBits, startLevel, ipaBits, ps, ds };
  const wide = ps === 6 && (ds || granuleBits === 16);
  const page = (1n << BigInt(granuleBits)) - 1n;

  const views = image.segments.map(({ bytes }) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  let segment = 0;
  /** A table, or concatenated tables, may lie in several segments: each entry is looked up, the last segment first. */
  const holds = (
    pa: number,
    { pa: start, bytes }: { pa: number; bytes: Uint8Array } = image.segments[segment]!,
  ): boolean => pa >= start && pa < start + bytes.length;
  const find = (pa: number): void => {
    if (!holds(pa)) segment = image.segments.findIndex((candidate) => holds(pa, candidate));
    if (segment < 0) throw new Error(`the table entry at 0x${pa.toString(16)} is in no segment`);
  };
  const addressOf = (descriptor: bigint): number => {
    let address = descriptor & ((1n << (ds ? 50n : 48n)) - 1n) & ~page;
    if (wide) address |= ds ? ((descriptor >> 8n) & 3n) << 50n : ((descriptor >> 12n) & 15n) << 48n;
    return Number(address);
  };
  const walk = (tablePa: number, entries: number, level: number, ipa: number): void => {
    const bytes = 2 ** entryBits(regime, level);
    for (let i = 0; i < entries; i++) {
      const pa = tablePa + i * 8;
      find(pa);
      const offset = pa - image.segments[segment]!.pa;
      const descriptor = views[segment]!.getBigUint64(offset, true);
      const entry = { ipa: ipa + i * bytes, bytes, level, descriptor, segment, offset };
      visit(entry);
      if (level < 3 && (descriptor & 3n) === 3n) {
        walk(addressOf(descriptor), 2 ** (granuleBits - 3), level + 1, entry.ipa);
      }
    }
  };

  let root = image.vttbr & 0xffff_ffff_fffen;
  if (wide) root = (root & ~0x3fn) | (((image.vttbr >> 2n) & 15n) << 48n);
  walk(Number(root), 2 ** (ipaBits - entryBits(regime, startLevel)), startLevel, 0);
};
