/**
 * Stage-2 descriptors (VMSAv8-64, Arm ARM DDI 0487 issue J, D8.3). A descriptor is two words `(lo, hi)`. Fields are
 * declared once; masks derive from them. Software (the table editor) and hardware (the walker) share this file and nothing
 * else.
 */
import { type Field, fieldHi, fieldLo, getField } from '@numalab/base';
import { blockAllowed, type DescriptorFormat, LAST_LEVEL } from './granule.ts';
import {
  leafAddressHi,
  leafAddressLo,
  leafOutputAddress,
  tableAddress,
  tableAddressHi,
  tableAddressLo,
} from './output-address.ts';

export const S2_VALID: Field = [0, 0];
/** 1 for a table or a page, 0 for a block. */
export const S2_TYPE: Field = [1, 1];
export const S2_MEM_ATTR: Field = [5, 2];
/** S2AP: bit 0 of the field allows reads, bit 1 writes. */
export const S2_S2AP: Field = [7, 6];
/** Shareability; holds OA[51:50] instead when DS=1. */
export const S2_SH: Field = [9, 8];
export const S2_AF: Field = [10, 10];
export const S2_FNXS: Field = [11, 11];
/** Only in blocks. */
export const S2_NT: Field = [16, 16];
export const S2_DBM: Field = [51, 51];
export const S2_CONTIGUOUS: Field = [52, 52];
/** XN[1:0] (FEAT_XNX): 00 all execute, 01 EL0 only, 10 none, 11 EL1 only. */
export const S2_XN: Field = [54, 53];
/** Ignored by hardware; Linux keeps its software bits here (bit 55 is NS in Secure state, which is not modelled). */
export const S2_SOFTWARE: Field = [58, 55];
export const S2_PBHA: Field = [62, 59];
/** AMEC in Realm state, else ignored. */
export const S2_AMEC: Field = [63, 63];

export const S2AP_NONE = 0;
export const S2AP_READ = 1;
export const S2AP_WRITE = 2;

/** Normal memory, inner and outer write-back (FWB = 0). */
export const MEMATTR_NORMAL = 0xf;
/** Normal memory, non-cacheable (FWB = 0). */
export const MEMATTR_NORMAL_NC = 0x5;
/** Device-nGnRE (FWB = 0). */
export const MEMATTR_DEVICE_nGnRE = 0x1;

export const SH_NON = 0;
export const SH_OUTER = 2;
export const SH_INNER = 3;

export const KIND_INVALID = 0;
export const KIND_TABLE = 1;
export const KIND_BLOCK = 2;
export const KIND_PAGE = 3;
/** Names of the kinds, by code. */
export const KIND_NAMES: readonly string[] = ['invalid', 'table', 'block', 'page'];

/** What hardware takes the descriptor at `level` (-1..3) for: one of the KIND codes. `hi` never decides. */
export const descriptorKind = (format: DescriptorFormat, lo: number, _hi: number, level: number): number => {
  if ((lo & 1) === 0) return KIND_INVALID;
  if ((lo & 2) !== 0) return level === LAST_LEVEL ? KIND_PAGE : KIND_TABLE;
  return blockAllowed(format.granule, level, format) ? KIND_BLOCK : KIND_INVALID;
};

/**
 * The address in a descriptor: of the next table, or the base of a block or page as written (a contiguous group is not
 * looked at). 0 for an invalid descriptor.
 */
export const outputAddress = (format: DescriptorFormat, lo: number, hi: number, level: number): number => {
  const kind = descriptorKind(format, lo, hi, level);
  if (kind === KIND_INVALID) return 0;
  return kind === KIND_TABLE ? tableAddress(format, lo, hi) : leafOutputAddress(format, lo, hi, level);
};

/** Who may execute: XN[1:0]. */
export type Execute = 'all' | 'el0' | 'none' | 'el1';
const XN_OF: Readonly<Record<Execute, number>> = { all: 0, el0: 1, none: 2, el1: 3 };
const EXECUTE_OF: readonly Execute[] = ['all', 'el0', 'none', 'el1'];

/** The attributes of a leaf, by name. */
export interface Stage2Attributes {
  readonly read: boolean;
  readonly write: boolean;
  readonly execute: Execute;
  /** MemAttr[3:0]. Default {@link MEMATTR_NORMAL}. */
  readonly memAttr?: number;
  /** Shareability, dropped from descriptors with DS=1. Default {@link SH_INNER}. */
  readonly sh?: number;
  /** Access flag. Default true. */
  readonly af?: boolean;
  /** Dirty bit modifier. Default false. */
  readonly dbm?: boolean;
  /** Member of a contiguous group. Default false. */
  readonly contiguous?: boolean;
  /** Software bits 58:55. Default 0. */
  readonly software?: number;
}

/** Attribute bits of the low word: MemAttr, S2AP, SH, AF. */
const LO_ATTRS = 0x7fc;
/** Attribute bits of the high word: DBM, Contiguous, XN, software. In a packed number they stand 8 bits lower. */
const HI_ATTRS = 0x07f8_0000;
const HI_PACK = 8;

/**
 * Packs attributes into one small integer, the form in which they are passed around: bits 10:2 are those of the low word,
 * bits 18:11 are bits 58:51 of the descriptor.
 */
export const stage2Attributes = (attributes: Stage2Attributes): number => {
  const { read, write, execute, memAttr = MEMATTR_NORMAL, sh = SH_INNER, af = true } = attributes;
  const { dbm = false, contiguous = false, software = 0 } = attributes;
  const lo =
    fieldLo(S2_MEM_ATTR, memAttr) |
    fieldLo(S2_S2AP, (read ? S2AP_READ : 0) | (write ? S2AP_WRITE : 0)) |
    fieldLo(S2_SH, sh) |
    fieldLo(S2_AF, af ? 1 : 0);
  const hi =
    fieldHi(S2_DBM, dbm ? 1 : 0) |
    fieldHi(S2_CONTIGUOUS, contiguous ? 1 : 0) |
    fieldHi(S2_XN, XN_OF[execute]) |
    fieldHi(S2_SOFTWARE, software);
  return lo | (hi >>> HI_PACK);
};

/** The attributes of a packed number, by name. */
export const unpackStage2Attributes = (attrs: number): Required<Stage2Attributes> => {
  const lo = attrs & LO_ATTRS;
  const hi = (attrs << HI_PACK) & HI_ATTRS;
  const s2ap = getField(lo, hi, S2_S2AP);
  return {
    read: (s2ap & S2AP_READ) !== 0,
    write: (s2ap & S2AP_WRITE) !== 0,
    execute: EXECUTE_OF[getField(lo, hi, S2_XN)]!,
    memAttr: getField(lo, hi, S2_MEM_ATTR),
    sh: getField(lo, hi, S2_SH),
    af: getField(lo, hi, S2_AF) === 1,
    dbm: getField(lo, hi, S2_DBM) === 1,
    contiguous: getField(lo, hi, S2_CONTIGUOUS) === 1,
    software: getField(lo, hi, S2_SOFTWARE),
  };
};

/** Bits of the low word that are attributes in this format: SH is not in the descriptor when DS=1. */
const loAttributeMask = (format: DescriptorFormat): number => (format.ds ? LO_ATTRS & ~fieldLo(S2_SH, 3) : LO_ATTRS);

/** The packed attributes of a leaf. With DS=1 the SH part is 0. */
export const leafAttributes = (format: DescriptorFormat, lo: number, hi: number): number =>
  (lo & loAttributeMask(format)) | ((hi & HI_ATTRS) >>> HI_PACK);

/**
 * Low word of a block (level below 3) or page (level 3) at `pa`, a multiple of the level's size. Bits of `pa` below it or
 * beyond what the format can express are dropped.
 */
export const leafLo = (format: DescriptorFormat, pa: number, level: number, attrs: number): number =>
  (leafAddressLo(format, pa, level) | (attrs & loAttributeMask(format)) | (level === LAST_LEVEL ? 3 : 1)) >>> 0;

/** High word of a block or page; see {@link leafLo}. */
export const leafHi = (format: DescriptorFormat, pa: number, level: number, attrs: number): number =>
  (leafAddressHi(format, pa, level) | ((attrs << HI_PACK) & HI_ATTRS)) >>> 0;

/** Low word of a table descriptor for the table at `pa`. Nothing but type and address means anything at stage 2. */
export const tableLo = (format: DescriptorFormat, pa: number): number => (tableAddressLo(format, pa) | 3) >>> 0;

/** High word of a table descriptor; see {@link tableLo}. */
export const tableHi = (format: DescriptorFormat, pa: number): number => tableAddressHi(format, pa);

/** The field masks of the low word that hardware or the editor changes in place. */
export const S2_LO_AF: number = fieldLo(S2_AF, 1);
export const S2_LO_READ: number = fieldLo(S2_S2AP, S2AP_READ);
export const S2_LO_WRITE: number = fieldLo(S2_S2AP, S2AP_WRITE);
/** The field masks of the high word. */
export const S2_HI_DBM: number = fieldHi(S2_DBM, 1);
export const S2_HI_CONTIGUOUS: number = fieldHi(S2_CONTIGUOUS, 1);
export const S2_HI_XN: number = fieldHi(S2_XN, 3);
