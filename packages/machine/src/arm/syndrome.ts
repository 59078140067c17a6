/**
 * The registers in which EL2 learns of a fault: ESR_EL2, HPFAR_EL2 and PAR_EL1 (Arm ARM D19.2). ESR_EL2 is its low word
 * only: the high word (ISS2) is 0, because none of the features that set it is modelled.
 */
import { type Field, fieldHi, fieldLo, fromWords, getField, highWord, lowWord } from '@numalab/base';
import {
  FSC_ACCESS_FLAG,
  FSC_ADDRESS_SIZE,
  FSC_EXTERNAL,
  FSC_EXTERNAL_WALK,
  FSC_PERMISSION,
  FSC_TRANSLATION,
  fscType,
} from './fault-status.ts';

export const EC_WFX = 0x01;
export const EC_ILLEGAL_STATE = 0x0e;
export const EC_HVC64 = 0x16;
export const EC_SMC64 = 0x17;
/** Trapped MSR, MRS or system instruction. */
export const EC_SYS64 = 0x18;
/** Instruction abort from a lower exception level. */
export const EC_INSTRUCTION_ABORT = 0x20;
/** Instruction abort taken without a change of exception level. */
export const EC_INSTRUCTION_ABORT_SAME = 0x21;
export const EC_PC_ALIGNMENT = 0x22;
/** Data abort from a lower exception level. */
export const EC_DATA_ABORT = 0x24;
/** Data abort taken without a change of exception level. */
export const EC_DATA_ABORT_SAME = 0x25;
export const EC_SERROR = 0x2f;
export const EC_BRK = 0x3c;

export const ESR_ISS2: Field = [55, 32];
export const ESR_EC: Field = [31, 26];
export const ESR_IL: Field = [25, 25];
export const ESR_ISV: Field = [24, 24];
/** log2 of the bytes of the access. */
export const ESR_SAS: Field = [23, 22];
export const ESR_SSE: Field = [21, 21];
export const ESR_SRT: Field = [20, 16];
export const ESR_SF: Field = [15, 15];
export const ESR_AR: Field = [14, 14];
export const ESR_VNCR: Field = [13, 13];
export const ESR_SET: Field = [12, 11];
/** FAR_EL2 is not valid; external aborts only. */
export const ESR_FNV: Field = [10, 10];
export const ESR_EA: Field = [9, 9];
/** The fault comes from cache maintenance or an address translation instruction. */
export const ESR_CM: Field = [8, 8];
/** The fault was on a stage-2 translation for a stage-1 walk. */
export const ESR_S1PTW: Field = [7, 7];
export const ESR_WNR: Field = [6, 6];
export const ESR_FSC: Field = [5, 0];

/** A flag of a syndrome, as boolean or bit. */
type Flag = boolean | 0 | 1;
const bit = (flag: Flag | undefined): number => (flag ? 1 : 0);

/** The fields of the syndrome of a data abort. `sas` to `ar` mean something only with `isv`. */
export interface DataAbort {
  readonly dfsc: number;
  readonly wnr: Flag;
  readonly isv?: Flag;
  readonly sas?: number;
  readonly sse?: Flag;
  readonly srt?: number;
  readonly sf?: Flag;
  readonly ar?: Flag;
  readonly fnv?: Flag;
  readonly ea?: Flag;
  readonly cm?: Flag;
  readonly s1ptw?: Flag;
  /** Taken without a change of exception level, as when EL2 injects it into EL1. */
  readonly same?: Flag;
}

/** ESR_EL2 of a data abort. IL is always 1: ISV=0 demands it, and A64 instructions have 32 bits. */
export const dataAbort = (abort: DataAbort): number => {
  const valid = bit(abort.isv);
  const instruction = valid
    ? fieldLo(ESR_SAS, abort.sas ?? 0) |
      fieldLo(ESR_SSE, bit(abort.sse)) |
      fieldLo(ESR_SRT, abort.srt ?? 0) |
      fieldLo(ESR_SF, bit(abort.sf)) |
      fieldLo(ESR_AR, bit(abort.ar))
    : 0;
  const code = abort.same ? EC_DATA_ABORT_SAME : EC_DATA_ABORT;
  const iss =
    fieldLo(ESR_FNV, bit(abort.fnv)) |
    fieldLo(ESR_EA, bit(abort.ea)) |
    fieldLo(ESR_CM, bit(abort.cm)) |
    fieldLo(ESR_S1PTW, bit(abort.s1ptw)) |
    fieldLo(ESR_WNR, bit(abort.wnr)) |
    fieldLo(ESR_FSC, abort.dfsc);
  return (fieldLo(ESR_EC, code) | fieldLo(ESR_IL, 1) | fieldLo(ESR_ISV, valid) | instruction | iss) >>> 0;
};

/** The fields of the syndrome of an instruction abort. */
export interface InstructionAbort {
  readonly ifsc: number;
  readonly fnv?: Flag;
  readonly ea?: Flag;
  readonly s1ptw?: Flag;
  /** Taken without a change of exception level, as when EL2 injects it into EL1. */
  readonly same?: Flag;
}

/** ESR_EL2 of an instruction abort. */
export const instructionAbort = ({ ifsc, fnv, ea, s1ptw, same }: InstructionAbort): number =>
  (fieldLo(ESR_EC, same ? EC_INSTRUCTION_ABORT_SAME : EC_INSTRUCTION_ABORT) |
    fieldLo(ESR_IL, 1) |
    fieldLo(ESR_FNV, bit(fnv)) |
    fieldLo(ESR_EA, bit(ea)) |
    fieldLo(ESR_S1PTW, bit(s1ptw)) |
    fieldLo(ESR_FSC, ifsc)) >>>
  0;

/** One field of the low word of a syndrome. */
export const esrField = (esr: number, field: Field): number => getField(esr, 0, field);

/** A syndrome of an abort taken apart; for printing and tests, it allocates. */
export const decodeAbort = (esr: number): Readonly<Record<string, number>> => ({
  ec: esrField(esr, ESR_EC),
  il: esrField(esr, ESR_IL),
  isv: esrField(esr, ESR_ISV),
  sas: esrField(esr, ESR_SAS),
  sse: esrField(esr, ESR_SSE),
  srt: esrField(esr, ESR_SRT),
  sf: esrField(esr, ESR_SF),
  ar: esrField(esr, ESR_AR),
  fnv: esrField(esr, ESR_FNV),
  ea: esrField(esr, ESR_EA),
  cm: esrField(esr, ESR_CM),
  s1ptw: esrField(esr, ESR_S1PTW),
  wnr: esrField(esr, ESR_WNR),
  fsc: esrField(esr, ESR_FSC),
});

/** FIPA: IPA[55:12]. */
export const HPFAR_FIPA: Field = [47, 4];
const FIPA_PAGE = 0x1000;

/** HPFAR_EL2 for a fault at `ipa`. The page is 4 KiB with every granule. */
export const hpfarOf = (ipa: number): number => Math.floor(ipa / FIPA_PAGE) * 2 ** HPFAR_FIPA[1];

/** The 4 KiB page of the IPA that HPFAR_EL2 (given without its NS bit 63) reports. */
export const hpfarToIpa = (hpfar: number): number => Math.floor(hpfar / 2 ** HPFAR_FIPA[1]) * FIPA_PAGE;

/**
 * Whether hardware wrote HPFAR_EL2 for this stage-2 abort. A permission fault on the access itself leaves it UNKNOWN: EL2
 * must ask AT S1E1R. Only meaningful for a syndrome of a stage-2 abort.
 */
export const hpfarValid = (esr: number): boolean => {
  const type = fscType(esrField(esr, ESR_FSC));
  if (type === FSC_TRANSLATION || type === FSC_ACCESS_FLAG || type === FSC_ADDRESS_SIZE) return true;
  return type === FSC_PERMISSION && esrField(esr, ESR_S1PTW) === 1;
};

/** Whether FAR_EL2 holds the address of this abort: FnV is defined for external aborts only. */
export const farValid = (esr: number): boolean => {
  const type = fscType(esrField(esr, ESR_FSC));
  return (type !== FSC_EXTERNAL && type !== FSC_EXTERNAL_WALK) || esrField(esr, ESR_FNV) === 0;
};

export const PAR_F: Field = [0, 0];
/** Fault status, when F = 1. */
export const PAR_FST: Field = [6, 1];
/** The fault was in a stage-2 translation for a stage-1 walk, when F = 1. */
export const PAR_PTW: Field = [8, 8];
/** The fault was at stage 2, when F = 1. */
export const PAR_S: Field = [9, 9];
/** Shareability, when F = 0. */
export const PAR_SH: Field = [8, 7];
export const PAR_NS: Field = [9, 9];
export const PAR_RES1: Field = [11, 11];
/** Output address [51:12], when F = 0. */
export const PAR_PA: Field = [51, 12];
/** Memory attributes in the encoding of MAIR_EL1, when F = 0. */
export const PAR_ATTR: Field = [63, 56];

/** Low word of PAR_EL1 after a translation that succeeded. `address` is a PA, or an IPA for AT S1E1R. */
export const parLo = (address: number, sh: number): number =>
  ((lowWord(address) & 0xffff_f000) | fieldLo(PAR_SH, sh) | fieldLo(PAR_NS, 1) | fieldLo(PAR_RES1, 1)) >>> 0;

/** High word of PAR_EL1 after a translation that succeeded. */
export const parHi = (address: number, attr: number): number =>
  ((highWord(address) & 0xf_ffff) | fieldHi(PAR_ATTR, attr)) >>> 0;

/** Low word of PAR_EL1 after a translation that failed; the high word is 0. */
export const parFault = (fst: number, ptw: Flag, stage2: Flag): number =>
  fieldLo(PAR_F, 1) |
  fieldLo(PAR_FST, fst) |
  fieldLo(PAR_PTW, bit(ptw)) |
  fieldLo(PAR_S, bit(stage2)) |
  fieldLo(PAR_RES1, 1);

/** Whether PAR_EL1 reports a failed translation. */
export const parFailed = (lo: number): boolean => getField(lo, 0, PAR_F) === 1;

/** The page address in PAR_EL1 after a translation that succeeded. */
export const parAddress = (lo: number, hi: number): number => fromWords(lo & 0xffff_f000, hi & 0xf_ffff);

/** What EL2 uses for HPFAR_EL2 after AT S1E1R: (PAR[51:12]) >> 8. */
export const parToHpfar = (lo: number, hi: number): number => hpfarOf(parAddress(lo, hi));
