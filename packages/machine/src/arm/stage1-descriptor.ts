/**
 * Stage-1 descriptors of the EL1&0 regime (VMSAv8-64, Arm ARM DDI 0487 issue J, D8.3), enough to build and walk the
 * tables of a kernel. Kinds and addresses are those of stage 2: `descriptorKind` and `outputAddress` serve both.
 */
import { type Field, fieldHi, fieldLo, getField } from '@numalab/base';
import { type DescriptorFormat, LAST_LEVEL } from './granule.ts';
import { leafAddressHi, leafAddressLo, tableAddressHi, tableAddressLo } from './output-address.ts';

export const S1_VALID: Field = [0, 0];
/** 1 for a table or a page, 0 for a block. */
export const S1_TYPE: Field = [1, 1];
/** Index into MAIR_EL1. */
export const S1_ATTR_INDEX: Field = [4, 2];
export const S1_NS: Field = [5, 5];
/** AP[2:1]: the lower bit gives EL0 access, the upper one takes away writes. */
export const S1_AP: Field = [7, 6];
/** Shareability; holds OA[51:50] instead when DS=1. */
export const S1_SH: Field = [9, 8];
export const S1_AF: Field = [10, 10];
/** The translation belongs to one ASID. */
export const S1_NG: Field = [11, 11];
/** Only in blocks. */
export const S1_NT: Field = [16, 16];
/** Guarded page: branch targets are checked. */
export const S1_GP: Field = [50, 50];
export const S1_DBM: Field = [51, 51];
export const S1_CONTIGUOUS: Field = [52, 52];
export const S1_PXN: Field = [53, 53];
export const S1_UXN: Field = [54, 54];
export const S1_SOFTWARE: Field = [58, 55];
export const S1_PBHA: Field = [62, 59];
/** Table descriptors; limits what lies below. */
export const S1_PXN_TABLE: Field = [59, 59];
export const S1_UXN_TABLE: Field = [60, 60];
/** The lower bit takes away EL0 access, the upper one writes. */
export const S1_AP_TABLE: Field = [62, 61];
export const S1_NS_TABLE: Field = [63, 63];

/** AP[2:1]. */
export const AP_EL1_RW = 0;
export const AP_ALL_RW = 1;
export const AP_EL1_RO = 2;
export const AP_ALL_RO = 3;

/** The attributes of a leaf, by name. */
export interface Stage1Attributes {
  /** One of the AP codes. */
  readonly ap: number;
  readonly pxn: boolean;
  readonly uxn: boolean;
  /** Index into MAIR_EL1. Default 0. */
  readonly attrIndex?: number;
  /** Shareability, dropped from descriptors with DS=1. Default 3, inner. */
  readonly sh?: number;
  /** Access flag. Default true. */
  readonly af?: boolean;
  /** Not global. Default false, as for all of the kernel's own mappings. */
  readonly nG?: boolean;
  /** Default false. */
  readonly guarded?: boolean;
  /** Default false. */
  readonly dbm?: boolean;
  /** Default false. */
  readonly contiguous?: boolean;
  /** Software bits 58:55. Default 0. */
  readonly software?: number;
}

/** Attribute bits of the low word: AttrIndx, NS, AP, SH, AF, nG. */
const LO_ATTRS = 0xffc;
/** Attribute bits of the high word: bits 58:50 of the descriptor. In a packed number they stand 6 bits lower. */
const HI_ATTRS = 0x07fc_0000;
const HI_PACK = 6;

const flag = (value: boolean): number => (value ? 1 : 0);

/** Packs attributes into one small integer: bits 11:2 of the low word, and bits 58:50 of the descriptor from bit 12 on. */
export const stage1Attributes = (attributes: Stage1Attributes): number => {
  const { ap, pxn, uxn, attrIndex = 0, sh = 3, af = true, nG = false } = attributes;
  const { guarded = false, dbm = false, contiguous = false, software = 0 } = attributes;
  const lo =
    fieldLo(S1_ATTR_INDEX, attrIndex) |
    fieldLo(S1_AP, ap) |
    fieldLo(S1_SH, sh) |
    fieldLo(S1_AF, flag(af)) |
    fieldLo(S1_NG, flag(nG));
  const hi =
    fieldHi(S1_GP, flag(guarded)) |
    fieldHi(S1_DBM, flag(dbm)) |
    fieldHi(S1_CONTIGUOUS, flag(contiguous)) |
    fieldHi(S1_PXN, flag(pxn)) |
    fieldHi(S1_UXN, flag(uxn)) |
    fieldHi(S1_SOFTWARE, software);
  return lo | (hi >>> HI_PACK);
};

/** The attributes of a packed number, by name. */
export const unpackStage1Attributes = (attrs: number): Required<Stage1Attributes> => {
  const lo = attrs & LO_ATTRS;
  const hi = (attrs << HI_PACK) & HI_ATTRS;
  const isSet = (field: Field): boolean => getField(lo, hi, field) === 1;
  return {
    ap: getField(lo, hi, S1_AP),
    pxn: isSet(S1_PXN),
    uxn: isSet(S1_UXN),
    attrIndex: getField(lo, hi, S1_ATTR_INDEX),
    sh: getField(lo, hi, S1_SH),
    af: isSet(S1_AF),
    nG: isSet(S1_NG),
    guarded: isSet(S1_GP),
    dbm: isSet(S1_DBM),
    contiguous: isSet(S1_CONTIGUOUS),
    software: getField(lo, hi, S1_SOFTWARE),
  };
};

const loAttributeMask = (format: DescriptorFormat): number => (format.ds ? LO_ATTRS & ~fieldLo(S1_SH, 3) : LO_ATTRS);

/** The packed attributes of a leaf. With DS=1 the SH part is 0. */
export const stage1LeafAttributes = (format: DescriptorFormat, lo: number, hi: number): number =>
  (lo & loAttributeMask(format)) | ((hi & HI_ATTRS) >>> HI_PACK);

/** Low word of a block (level below 3) or page (level 3) at `ipa`, a multiple of the level's size. */
export const stage1LeafLo = (format: DescriptorFormat, ipa: number, level: number, attrs: number): number =>
  (leafAddressLo(format, ipa, level) | (attrs & loAttributeMask(format)) | (level === LAST_LEVEL ? 3 : 1)) >>> 0;

/** High word of a block or page; see {@link stage1LeafLo}. */
export const stage1LeafHi = (format: DescriptorFormat, ipa: number, level: number, attrs: number): number =>
  (leafAddressHi(format, ipa, level) | ((attrs << HI_PACK) & HI_ATTRS)) >>> 0;

/** What a table descriptor takes away from everything below it. */
export interface Stage1TableLimits {
  /** APTable[1:0]: 1 no EL0 access, 2 no writes, 3 both. Default 0. */
  readonly apTable?: number;
  /** Default false. */
  readonly pxnTable?: boolean;
  /** Default false. */
  readonly uxnTable?: boolean;
}

/** Low word of a table descriptor for the table at `ipa`. */
export const stage1TableLo = (format: DescriptorFormat, ipa: number): number => (tableAddressLo(format, ipa) | 3) >>> 0;

/** High word of a table descriptor for the table at `ipa`. */
export const stage1TableHi = (format: DescriptorFormat, ipa: number, limits: Stage1TableLimits = {}): number =>
  (tableAddressHi(format, ipa) |
    fieldHi(S1_AP_TABLE, limits.apTable ?? 0) |
    fieldHi(S1_PXN_TABLE, flag(limits.pxnTable ?? false)) |
    fieldHi(S1_UXN_TABLE, flag(limits.uxnTable ?? false))) >>>
  0;
