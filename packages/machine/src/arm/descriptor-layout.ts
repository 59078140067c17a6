/**
 * The fields of every descriptor format by name, all 64 bits of it: for printing descriptors, and for the test that no two
 * fields overlap and none is missing.
 */
import type { Field } from '@numalab/base';
import { type DescriptorFormat, LAST_LEVEL, levelShift } from './granule.ts';
import { OA_DS_MIDDLE, OA_DS_TOP, OA_IN_PLACE_MSB, OA_LPA } from './output-address.ts';
import * as s1 from './stage1-descriptor.ts';
import * as s2 from './stage2-descriptor.ts';

/** Fields by name. Names that begin with RES0 or IGNORED mean nothing to hardware. */
export type Layout = Readonly<Record<string, Field>>;

/** The address of a descriptor aligned to 2^shift, with what fills the bits between the attributes and the address. */
const addressFields = (format: DescriptorFormat, shift: number, nT: Field | null, sh: Layout): Layout => {
  const low: Record<string, Field> = {};
  if (format.lpa) low.ADDRESS_51_48 = OA_LPA;
  else if (shift > 12) low.RES0_LOW = [Math.min(shift, 16) - 1, 12];
  if (shift > 16) {
    low[nT === null ? 'RES0_16' : 'NT'] = nT ?? [16, 16];
    low.RES0_BLOCK = [shift - 1, 17];
  }
  return {
    ...low,
    ADDRESS: [OA_IN_PLACE_MSB, shift],
    ...(format.ds ? { ADDRESS_49_48: OA_DS_MIDDLE, ADDRESS_51_50: OA_DS_TOP } : { RES0_49_48: [49, 48], ...sh }),
  };
};

/** Layout of a stage-2 block (level below 3) or page (level 3). */
export const stage2LeafLayout = (format: DescriptorFormat, level: number): Layout => ({
  VALID: s2.S2_VALID,
  TYPE: s2.S2_TYPE,
  MEM_ATTR: s2.S2_MEM_ATTR,
  S2AP: s2.S2_S2AP,
  AF: s2.S2_AF,
  FNXS: s2.S2_FNXS,
  ...addressFields(format, levelShift(format.granule, level), level < LAST_LEVEL ? s2.S2_NT : null, { SH: s2.S2_SH }),
  RES0_50: [50, 50],
  DBM: s2.S2_DBM,
  CONTIGUOUS: s2.S2_CONTIGUOUS,
  XN: s2.S2_XN,
  SOFTWARE: s2.S2_SOFTWARE,
  PBHA: s2.S2_PBHA,
  AMEC: s2.S2_AMEC,
});

/** Layout of a stage-2 table descriptor. Bit 10 is an access flag with FEAT_HAFT, which is not modelled. */
export const stage2TableLayout = (format: DescriptorFormat): Layout => ({
  VALID: s2.S2_VALID,
  TYPE: s2.S2_TYPE,
  IGNORED_7_2: [7, 2],
  ...addressFields(format, format.granule.shift, null, { IGNORED_9_8: [9, 8] }),
  IGNORED_11_10: [11, 10],
  RES0_50: [50, 50],
  IGNORED_58_51: [58, 51],
  RES0_63_59: [63, 59],
});

/** Layout of a stage-1 block (level below 3) or page (level 3). */
export const stage1LeafLayout = (format: DescriptorFormat, level: number): Layout => ({
  VALID: s1.S1_VALID,
  TYPE: s1.S1_TYPE,
  ATTR_INDEX: s1.S1_ATTR_INDEX,
  NS: s1.S1_NS,
  AP: s1.S1_AP,
  AF: s1.S1_AF,
  NG: s1.S1_NG,
  ...addressFields(format, levelShift(format.granule, level), level < LAST_LEVEL ? s1.S1_NT : null, { SH: s1.S1_SH }),
  GP: s1.S1_GP,
  DBM: s1.S1_DBM,
  CONTIGUOUS: s1.S1_CONTIGUOUS,
  PXN: s1.S1_PXN,
  UXN: s1.S1_UXN,
  SOFTWARE: s1.S1_SOFTWARE,
  PBHA: s1.S1_PBHA,
  IGNORED_63: [63, 63],
});

/** Layout of a stage-1 table descriptor. */
export const stage1TableLayout = (format: DescriptorFormat): Layout => ({
  VALID: s1.S1_VALID,
  TYPE: s1.S1_TYPE,
  IGNORED_7_2: [7, 2],
  ...addressFields(format, format.granule.shift, null, { IGNORED_9_8: [9, 8] }),
  IGNORED_11_10: [11, 10],
  RES0_50: [50, 50],
  IGNORED_58_51: [58, 51],
  PXN_TABLE: s1.S1_PXN_TABLE,
  UXN_TABLE: s1.S1_UXN_TABLE,
  AP_TABLE: s1.S1_AP_TABLE,
  NS_TABLE: s1.S1_NS_TABLE,
});
