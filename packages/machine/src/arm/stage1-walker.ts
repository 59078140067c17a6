/**
 * The stage-1 walk below TTBR1 (Arm ARM D8.2; order of checks as in Arm's own S1Translate and S1Walk), one descriptor at a
 * time: every fetch goes through stage 2 and may go to another node, so the caller fetches. Stage-2 faults and external
 * aborts of those fetches are the caller's too. PAN, SCTLR_EL1.WXN, TBI and indirect permissions are not modelled.
 */

import { fieldHi, fieldLo } from '@numalab/base';
import { FSC_ACCESS_FLAG_L, FSC_ADDRESS_SIZE_L, FSC_PERMISSION_L, FSC_TRANSLATION_L } from './fault-status.ts';
import { LAST_LEVEL } from './granule.ts';
import type { Stage1Config } from './stage1-config.ts';
import {
  AP_ALL_RW,
  S1_AF,
  S1_AP,
  S1_AP_TABLE,
  S1_ATTR_INDEX,
  S1_CONTIGUOUS,
  S1_DBM,
  S1_NG,
  S1_PXN,
  S1_PXN_TABLE,
} from './stage1-descriptor.ts';
import { ACCESS_EXECUTE, ACCESS_READ } from './stage2-walker.ts';
import { type WalkGeometry, walkGeometry } from './walk-geometry.ts';

/** The walk needs the descriptor at `descriptorIpa`. */
export const WALK_CONTINUE = -1;

const WORD = 0x1_0000_0000;
/** One past the highest VA as numalab keeps it: bits 63:52 are ones and not stored. */
const VA_TOP = 2 ** 52;

const LO_AF = fieldLo(S1_AF, 1);
const LO_NG = fieldLo(S1_NG, 1);
const LO_READ_ONLY = fieldLo(S1_AP, 2);
const LO_EL0 = fieldLo(S1_AP, AP_ALL_RW);
const HI_CONTIGUOUS = fieldHi(S1_CONTIGUOUS, 1);
const HI_DBM = fieldHi(S1_DBM, 1);
const HI_PXN = fieldHi(S1_PXN, 1);
const HI_PXN_TABLE = fieldHi(S1_PXN_TABLE, 1);
const HI_AP_TABLE = fieldHi(S1_AP_TABLE, 3);
const HI_AP_TABLE_READ_ONLY = fieldHi(S1_AP_TABLE, 2);

/** One stage-1 walk at a time; results hold until the next {@link begin}. */
export class Stage1Walk {
  /** IPA of the descriptor to fetch next; once the walk has ended, of the last one fetched. */
  descriptorIpa = -1;
  /** Level of the descriptor at `descriptorIpa`, or of the fault. */
  level = 0;
  /** The last descriptor fed. */
  lo = 0;
  hi = 0;
  /** IPA of the byte at the VA; -1 until a leaf is reached. */
  ipa = -1;
  /** Bytes the leaf maps, its contiguous group included. */
  leafBytes = 0;
  /** Descriptors fed. */
  reads = 0;
  /**
   * Whether EL1 may write without another walk. False for a clean leaf whose dirty state hardware manages (DBM).
   */
  writable = false;
  /** Whether EL1 may execute. */
  executable = false;
  /** Whether the translation belongs to one ASID. */
  nonGlobal = false;
  /** Index into MAIR_EL1. */
  attrIndex = 0;
  /**
   * What hardware must make of the low word of the leaf (AF, dirty state) before the access; equal to `lo` if nothing. The
   * caller stores it through stage 2 with a write access.
   */
  updatedLo = 0;
  /** Whether a write is allowed, at the price of a dirty state update if `writable` is false. */
  writeAllowed = false;

  private config: Stage1Config | null = null;
  private geometry: WalkGeometry | null = null;
  /** The first VA that the configuration translates. */
  private vaStart = 0;
  private vaLo = 0;
  private vaHi = 0;
  private oaLimitHigh = 0;
  /** The limits of the tables passed: APTable and PXNTable in their places of the high word. */
  private limits = 0;

  /**
   * Starts a walk for `va` (bits 51:0; bits 63:52 are ones). WALK_CONTINUE, or the code of a fault before any fetch.
   */
  begin(config: Stage1Config, va: number): number {
    if (config !== this.config) this.adopt(config);
    this.ipa = -1;
    this.level = 0;
    this.reads = 0;
    this.leafBytes = 0;
    this.limits = 0;
    this.writable = false;
    this.writeAllowed = false;
    this.executable = false;
    this.descriptorIpa = -1;
    if (!config.valid || va < this.vaStart) return FSC_TRANSLATION_L(0);
    if (config.rootPa >= this.oaLimitHigh * WORD) return FSC_ADDRESS_SIZE_L(0);
    this.vaLo = va | 0;
    this.vaHi = (va / WORD) | 0;
    this.level = config.startLevel;
    this.aim(config.rootPa);
    return WALK_CONTINUE;
  }

  /**
   * Takes the descriptor fetched from `descriptorIpa`. WALK_CONTINUE if another is needed, 0 if this was the leaf, else the
   * fault status code. Permissions are for {@link checkStage1} to judge.
   */
  feed(lo: number, hi: number): number {
    const { addressMaskHi, topMask, topShift, tableMaskLo } = this.geometry!;
    this.lo = lo >>> 0;
    this.hi = hi >>> 0;
    this.reads++;
    if ((lo & 3) !== 3 || this.level === LAST_LEVEL) return this.leaf();
    const high = (hi & addressMaskHi) | ((lo & topMask) << topShift);
    if (high >= this.oaLimitHigh) return FSC_ADDRESS_SIZE_L(this.level);
    if (!this.config!.hpd) this.limits |= hi & (HI_AP_TABLE | HI_PXN_TABLE);
    this.level++;
    this.aim(high * WORD + ((lo & tableMaskLo) >>> 0));
    return WALK_CONTINUE;
  }

  private leaf(): number {
    const { level, lo, hi, vaLo, vaHi, limits } = this;
    const geometry = this.geometry!;
    const config = this.config!;
    const slot = level + 1;
    if ((lo & 3) !== geometry.leafType[slot]) return FSC_TRANSLATION_L(level);
    const size = (hi & HI_CONTIGUOUS) !== 0 ? slot + geometry.groups : slot;
    const maskLo = geometry.leafMaskLo[size]!;
    const maskHi = geometry.leafMaskHi[size]!;
    const address = (hi & geometry.addressMaskHi) | ((lo & geometry.topMask) << geometry.topShift);
    const ipaHi = (address & maskHi) | (vaHi & ~maskHi);
    if (ipaHi >= this.oaLimitHigh) return FSC_ADDRESS_SIZE_L(level);
    this.ipa = ipaHi * WORD + (((lo & maskLo) | (vaLo & ~maskLo)) >>> 0);
    this.leafBytes = geometry.leafBytes[size]!;
    this.updatedLo = lo;
    if ((lo & LO_AF) === 0) {
      if (!config.ha) return FSC_ACCESS_FLAG_L(level);
      this.updatedLo = (lo | LO_AF) >>> 0;
    }
    const readOnlyTable = (limits & HI_AP_TABLE_READ_ONLY) !== 0;
    const managed = config.ha && config.hd && (hi & HI_DBM) !== 0;
    this.writable = !readOnlyTable && (lo & LO_READ_ONLY) === 0;
    this.writeAllowed = this.writable || (!readOnlyTable && managed);
    // EL1 never executes what EL0 may write; either bit of APTable takes EL0's writes away.
    const el0Writes = (lo & LO_EL0) !== 0 && ((lo & LO_READ_ONLY) === 0 || managed) && (limits & HI_AP_TABLE) === 0;
    this.executable = (hi & HI_PXN) === 0 && (limits & HI_PXN_TABLE) === 0 && !el0Writes;
    this.nonGlobal = (lo & LO_NG) !== 0;
    this.attrIndex = (lo >>> S1_ATTR_INDEX[1]) & 7;
    return 0;
  }

  /** Points `descriptorIpa` at the entry of the table at `base` that the VA selects at the current level. */
  private aim(base: number): void {
    const { shifts, indexMasks } = this.geometry!;
    const slot = this.level + 1;
    const shift = shifts[slot]!;
    const bits = shift >= 32 ? this.vaHi >>> (shift - 32) : (this.vaLo >>> shift) | (this.vaHi << (32 - shift));
    this.descriptorIpa = base + (bits & indexMasks[slot]!) * 8;
  }

  private adopt(config: Stage1Config): void {
    this.vaStart = VA_TOP - 2 ** config.vaBits;
    this.config = config;
    this.geometry = walkGeometry(config, config.startLevel, config.vaBits);
    this.oaLimitHigh = 2 ** (config.oaBits - 32);
  }

  /** Notes that this access makes the leaf dirty: AP[2] must be cleared. For {@link checkStage1}. */
  markDirty(): void {
    this.updatedLo = (this.updatedLo & ~LO_READ_ONLY) >>> 0;
  }
}

/**
 * Whether EL1 may make an access (an ACCESS code) through the leaf that a finished walk found: 0, or a permission fault. A
 * write to a clean leaf whose dirty state hardware manages succeeds and leaves the new low word in `updatedLo`.
 */
export const checkStage1 = (walk: Stage1Walk, access: number): number => {
  if (access === ACCESS_READ) return 0;
  if (access === ACCESS_EXECUTE) return walk.executable ? 0 : FSC_PERMISSION_L(walk.level);
  if (!walk.writeAllowed) return FSC_PERMISSION_L(walk.level);
  if (!walk.writable) walk.markDirty();
  return 0;
};
