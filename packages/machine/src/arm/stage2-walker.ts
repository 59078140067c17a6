/**
 * The stage-2 translation table walk as hardware does it (Arm ARM D8.2; order of checks as in Arm's own S2Translate and
 * S2Walk): configuration, IPA size, root address size, then at each level the fetch (external abort), an invalid descriptor
 * (translation fault) and the size of the next table's address (address size fault), then for the leaf its output address
 * size, the access flag and the permissions, and last the hardware update of AF and dirty state.
 *
 * Choices where the architecture leaves one: a contiguous group larger than the IPA space and an nT bit do not fault; AF is
 * not set by an access that takes a permission fault. Alignment on Device memory is left to the caller: it needs the
 * attributes of stage 1.
 */
import type { WordMemory } from '../memory/word-memory.ts';
import {
  FSC_ACCESS_FLAG_L,
  FSC_ADDRESS_SIZE_L,
  FSC_EXTERNAL_WALK_L,
  FSC_PERMISSION_L,
  FSC_TRANSLATION_L,
} from './fault-status.ts';
import { LAST_LEVEL } from './granule.ts';
import type { Stage2Config } from './stage2-config.ts';
import { S2_HI_CONTIGUOUS, S2_HI_DBM, S2_LO_AF, S2_LO_READ, S2_LO_WRITE, S2_XN } from './stage2-descriptor.ts';
import { type WalkGeometry, walkGeometry } from './walk-geometry.ts';

/** A data read, and the read of a descriptor by a stage-1 walk. */
export const ACCESS_READ = 0;
/** A data write, DC ZVA, DC IVAC, and the hardware update of a stage-1 descriptor. */
export const ACCESS_WRITE = 1;
/** An instruction fetch at EL1. */
export const ACCESS_EXECUTE = 2;
/** An atomic read and write: needs both permissions and is refused for the read first. */
export const ACCESS_ATOMIC = 3;

const WORD = 0x1_0000_0000;
const XN_SHIFT = S2_XN[1] - 32;

/**
 * Walks one set of stage-2 tables. A walk returns 0 or a fault status code and leaves everything else in the fields, which
 * hold until the next walk. After a fault `level` is the level of the fault; `pa` is -1 unless a leaf was reached.
 */
export class Stage2Walker {
  /** Physical address of the byte at the IPA. */
  pa = -1;
  /** Level of the leaf, or of the fault. */
  level = 0;
  /** The last descriptor fetched, with AF and dirty state as this walk left them. */
  lo = 0;
  hi = 0;
  /** Bytes the leaf maps, its contiguous group included. 0 if no leaf was reached. */
  leafBytes = 0;
  /** Descriptors fetched, the one that took an external abort included. */
  reads = 0;
  /** PA of each descriptor fetched, in order. */
  readonly readPa: Float64Array = new Float64Array(8);
  readable = false;
  /**
   * Whether a write may use this translation as it stands. False for a clean leaf whose dirty state hardware manages
   * (DBM): a TLB that holds it must walk again for a write.
   */
  writable = false;
  /** Whether EL1 may execute. */
  executable = false;
  /** Whether this walk stored to the leaf (AF or dirty state). */
  updated = false;
  /** WnR as the syndrome of a fault of this walk reports it. */
  wnr = false;

  readonly config: Stage2Config;
  private readonly memory: WordMemory;
  private readonly geometry: WalkGeometry;
  private readonly ipaLimit: number;
  private readonly oaLimitHigh: number;
  private readonly setsAf: boolean;
  private readonly setsDirty: boolean;

  constructor(memory: WordMemory, config: Stage2Config) {
    this.memory = memory;
    this.config = config;
    this.geometry = walkGeometry(config, config.startLevel, config.ipaBits);
    this.ipaLimit = config.valid ? 2 ** config.ipaBits : 0;
    this.oaLimitHigh = 2 ** (config.oaBits - 32);
    this.setsAf = config.ha;
    this.setsDirty = config.ha && config.hd;
  }

  /**
   * Translates `ipa` (a non-negative integer below 2^53) for one of the ACCESS codes. 0, or the fault status code.
   */
  walk(ipa: number, access: number): number {
    const { startLevel, rootPa } = this.config;
    if (ipa >= this.ipaLimit) return this.refuse(access, FSC_TRANSLATION_L(0));
    if (rootPa >= this.oaLimitHigh * WORD) return this.refuse(access, FSC_ADDRESS_SIZE_L(0));
    return this.walkFrom(ipa, access, startLevel, rootPa);
  }

  /**
   * Goes on with a walk at the table at `tablePa` of `level`, as after a hit in a walk cache. `ipa` must be inside the IPA
   * space.
   */
  walkFrom(ipa: number, access: number, level: number, tablePa: number): number {
    const { shifts, indexMasks, tableMaskLo, addressMaskHi, topMask, topShift } = this.geometry;
    const memory = this.memory;
    const ipaLo = ipa | 0;
    const ipaHi = (ipa / WORD) | 0;
    this.begin(access);
    const readPa = this.readPa;
    const oaLimitHigh = this.oaLimitHigh;
    let base = tablePa;
    let reads = 0;
    let lo = 0;
    let hi = 0;
    let fault = 0;
    for (; ; level++) {
      const shift = shifts[level + 1]!;
      const bits = shift >= 32 ? ipaHi >>> (shift - 32) : (ipaLo >>> shift) | (ipaHi << (32 - shift));
      const at = base + (bits & indexMasks[level + 1]!) * 8;
      readPa[reads++] = at;
      if (!memory.contains(at)) {
        fault = FSC_EXTERNAL_WALK_L(level);
        break;
      }
      lo = memory.load32(at) | 0;
      hi = memory.load32(at + 4) | 0;
      if ((lo & 3) !== 3 || level === LAST_LEVEL) break;
      const high = (hi & addressMaskHi) | ((lo & topMask) << topShift);
      if (high >= oaLimitHigh) {
        fault = FSC_ADDRESS_SIZE_L(level);
        break;
      }
      base = high * WORD + ((lo & tableMaskLo) >>> 0);
    }
    this.reads = reads;
    this.level = level;
    this.lo = lo >>> 0;
    this.hi = hi >>> 0;
    return fault === 0 ? this.leaf(lo, hi, ipaLo, ipaHi, level, access) : fault;
  }

  /** Everything after the fetch of a descriptor that is no table: its kind, address, AF and permissions. */
  private leaf(lo: number, hi: number, ipaLo: number, ipaHi: number, level: number, access: number): number {
    const geometry = this.geometry;
    const slot = level + 1;
    if ((lo & 3) !== geometry.leafType[slot]) return FSC_TRANSLATION_L(level);
    const size = (hi & S2_HI_CONTIGUOUS) !== 0 ? slot + geometry.groups : slot;
    const maskLo = geometry.leafMaskLo[size]!;
    const maskHi = geometry.leafMaskHi[size]!;
    const address = (hi & geometry.addressMaskHi) | ((lo & geometry.topMask) << geometry.topShift);
    const paHi = (address & maskHi) | (ipaHi & ~maskHi);
    if (paHi >= this.oaLimitHigh) return FSC_ADDRESS_SIZE_L(level);
    this.pa = paHi * WORD + (((lo & maskLo) | (ipaLo & ~maskLo)) >>> 0);
    this.leafBytes = geometry.leafBytes[size]!;
    if ((lo & S2_LO_AF) === 0 && !this.setsAf) return FSC_ACCESS_FLAG_L(level);
    const read = (lo & S2_LO_READ) !== 0;
    const managed = this.setsDirty && (hi & S2_HI_DBM) !== 0;
    const write = managed || (lo & S2_LO_WRITE) !== 0;
    const xn = (hi >>> XN_SHIFT) & 3;
    this.readable = read;
    this.writable = (lo & S2_LO_WRITE) !== 0;
    this.executable = xn === 0 || xn === 3;
    if (
      access === ACCESS_READ
        ? read
        : access === ACCESS_EXECUTE
          ? this.executable
          : write && (read || access === ACCESS_WRITE)
    ) {
      if (this.setsAf) this.update(managed && (access & 1) !== 0);
      return 0;
    }
    if (access === ACCESS_ATOMIC && read) this.wnr = true;
    return FSC_PERMISSION_L(level);
  }

  /** The hardware update of the leaf just read: AF, and the write permission if this access makes it dirty. */
  private update(dirties: boolean): void {
    const lo = (this.lo | S2_LO_AF | (dirties ? S2_LO_WRITE : 0)) >>> 0;
    if (lo === this.lo) return;
    this.memory.store32(this.readPa[this.reads - 1]!, lo);
    this.lo = lo;
    this.writable = (lo & S2_LO_WRITE) !== 0;
    this.updated = true;
  }

  private begin(access: number): void {
    this.pa = -1;
    this.leafBytes = 0;
    this.readable = false;
    this.writable = false;
    this.executable = false;
    this.updated = false;
    this.wnr = access === ACCESS_WRITE;
  }

  private refuse(access: number, fault: number): number {
    this.begin(access);
    this.reads = 0;
    this.level = 0;
    this.lo = 0;
    this.hi = 0;
    return fault;
  }
}
