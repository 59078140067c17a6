/**
 * TCR_EL1 and TTBR1_EL1 (Arm ARM D19.2), decoded once per write: the upper half of the address space, where the kernel
 * lives. FEAT_TTST and FEAT_HAFDBS are taken as implemented; FEAT_LPA, FEAT_LVA and FEAT_LPA2 exactly when the PE has 52-bit
 * physical addresses. All addresses here are IPAs: stage 2 translates them.
 */
import type { Field } from '@numalab/base';
import { type DescriptorFormat, GRANULES, type Granule, type GranuleName, LAST_LEVEL, levelShift } from './granule.ts';
import { PA_SIZES, placeBits, takeBits } from './register-bits.ts';

export const TCR_EL1_T0SZ: Field = [5, 0];
export const TCR_EL1_EPD0: Field = [7, 7];
export const TCR_EL1_TG0: Field = [15, 14];
export const TCR_EL1_T1SZ: Field = [21, 16];
export const TCR_EL1_A1: Field = [22, 22];
export const TCR_EL1_EPD1: Field = [23, 23];
export const TCR_EL1_IRGN1: Field = [25, 24];
export const TCR_EL1_ORGN1: Field = [27, 26];
export const TCR_EL1_SH1: Field = [29, 28];
export const TCR_EL1_TG1: Field = [31, 30];
export const TCR_EL1_IPS: Field = [34, 32];
/** 16-bit ASIDs. */
export const TCR_EL1_AS: Field = [36, 36];
export const TCR_EL1_TBI1: Field = [38, 38];
export const TCR_EL1_HA: Field = [39, 39];
export const TCR_EL1_HD: Field = [40, 40];
/** Table descriptors below TTBR1 limit nothing. */
export const TCR_EL1_HPD1: Field = [42, 42];
export const TCR_EL1_DS: Field = [59, 59];

export const TTBR1_EL1_CNP: Field = [0, 0];
/** BADDR[47:1] in place. */
export const TTBR1_EL1_BADDR: Field = [47, 1];
/** BADDR[51:48] when the root is a 52-bit address. */
export const TTBR1_EL1_BADDR_52: Field = [5, 2];
export const TTBR1_EL1_ASID: Field = [63, 48];

/** A stage-1 regime below TTBR1: what one TCR_EL1 and one TTBR1_EL1 mean. */
export interface Stage1Config extends DescriptorFormat {
  readonly granule: Granule;
  /** Size of the VA range in bits: 64 - T1SZ. The range ends at the top of the address space. */
  readonly vaBits: number;
  /** Level of the root, -1..3. */
  readonly startLevel: number;
  /** Address of the root, an IPA, aligned down to its size. */
  readonly rootPa: number;
  /** Size of the root in bytes, at most a granule: stage 1 does not concatenate. */
  readonly rootBytes: number;
  /** DS: 52-bit descriptors of 4K and 16K (FEAT_LPA2). */
  readonly ds: boolean;
  /** 64K granule on a PE with 52-bit physical addresses. */
  readonly lpa: boolean;
  /** Size of the output address in bits: the least of IPS, what the format can express and `paMax`. */
  readonly oaBits: number;
  /** Physical address size of the PE in bits. */
  readonly paMax: number;
  /** Hardware sets AF. */
  readonly ha: boolean;
  /** Hardware manages the dirty state; means nothing without `ha`. */
  readonly hd: boolean;
  /** Table descriptors limit nothing. */
  readonly hpd: boolean;
  readonly asid: number;
  readonly cnp: boolean;
  readonly tcr: bigint;
  readonly ttbr1: bigint;
  /** False if T1SZ is illegal or walks are disabled: every walk takes a translation fault at level 0. */
  readonly valid: boolean;
}

/** What {@link makeStage1Config} is given. */
export interface Stage1Options {
  readonly granule: GranuleName;
  /** 16..52 (17..52 for 64K). */
  readonly vaBits: number;
  /** An IPA. */
  readonly rootPa: number;
  /** Output address size, rounded up to one that IPS can encode. Default: 52 with `lpa2` or 64K and 52-bit VAs, else 48. */
  readonly oaBits?: number;
  /** Default: only if 4K or 16K must express more than 48 bits. */
  readonly lpa2?: boolean;
  /** Default 0. */
  readonly asid?: number;
  /** Default false. */
  readonly ha?: boolean;
  /** Default false. */
  readonly hd?: boolean;
  /** Default false. */
  readonly hpd?: boolean;
  /** Default false. */
  readonly cnp?: boolean;
}

const GRANULE_OF_TG1: readonly (GranuleName | undefined)[] = [undefined, '16K', '4K', '64K'];

/**
 * What hardware with `paMax` physical address bits makes of any two register values. Illegal combinations give a config
 * with `valid: false` and harmless numbers.
 */
export const decodeStage1Config = (tcr: bigint, ttbr1: bigint, paMax: number): Stage1Config => {
  const name = GRANULE_OF_TG1[takeBits(tcr, TCR_EL1_TG1)];
  const granule = GRANULES[name ?? '4K'];
  const isSet = (field: Field): boolean => takeBits(tcr, field) === 1;
  const wide = paMax >= 52;
  const ds = wide && granule.name !== '64K' && isSet(TCR_EL1_DS);
  const lpa = wide && granule.name === '64K';
  const vaBits = 64 - takeBits(tcr, TCR_EL1_T1SZ);
  const valid =
    name !== undefined &&
    !isSet(TCR_EL1_EPD1) &&
    vaBits <= (ds || lpa ? 52 : 48) &&
    vaBits >= (granule.name === '64K' ? 17 : 16);
  const startLevel = valid ? LAST_LEVEL - Math.floor((vaBits - 1 - granule.shift) / granule.stride) : 0;
  const rootBytes = valid ? 2 ** (vaBits - levelShift(granule, startLevel) + 3) : granule.bytes;
  const ips = PA_SIZES[takeBits(tcr, TCR_EL1_IPS)] ?? 52;
  const wideBase = ds || (lpa && ips === 52);
  const alignment = BigInt(Math.max(rootBytes, wideBase ? 64 : 2));
  let base = placeBits(TTBR1_EL1_BADDR, takeBits(ttbr1, TTBR1_EL1_BADDR));
  if (wideBase) base |= BigInt(takeBits(ttbr1, TTBR1_EL1_BADDR_52)) << 48n;
  return Object.freeze({
    granule,
    vaBits,
    startLevel,
    rootPa: Number((base / alignment) * alignment),
    rootBytes,
    ds,
    lpa,
    oaBits: Math.min(ips, ds || lpa ? 52 : 48, paMax),
    paMax,
    ha: isSet(TCR_EL1_HA),
    hd: isSet(TCR_EL1_HD),
    hpd: isSet(TCR_EL1_HPD1),
    asid: takeBits(ttbr1, TTBR1_EL1_ASID) & (isSet(TCR_EL1_AS) ? 0xffff : 0xff),
    cnp: takeBits(ttbr1, TTBR1_EL1_CNP) === 1,
    tcr,
    ttbr1,
    valid,
  });
};

const demand = (condition: boolean, message: string): void => {
  if (!condition) throw new RangeError(message);
};

/**
 * A configuration as a kernel programs it: TTBR1 with inner-shareable write-back walks and 16-bit ASIDs, TTBR0 of the same
 * size and disabled. Throws RangeError if no legal TCR_EL1/TTBR1_EL1 expresses the options or `rootPa` is misaligned.
 */
export const makeStage1Config = (options: Stage1Options): Stage1Config => {
  const { vaBits, rootPa, asid = 0, ha = false, hd = false, hpd = false, cnp = false } = options;
  const granule = GRANULES[options.granule];
  const is64K = granule.name === '64K';
  demand(Number.isInteger(vaBits) && vaBits >= 16 && vaBits <= 52, `vaBits out of range: ${vaBits}`);
  const wanted = options.oaBits ?? (options.lpa2 || vaBits > 48 ? 52 : 48);
  const ips = PA_SIZES.findIndex((size) => size >= wanted);
  demand(ips >= 0, `oaBits out of range: ${wanted}`);
  const oaBits = PA_SIZES[ips]!;
  const lpa2 = options.lpa2 ?? (!is64K && (oaBits > 48 || vaBits > 48));
  demand(!(lpa2 && is64K), 'lpa2 needs a granule of 4K or 16K');
  const tcr =
    placeBits(TCR_EL1_T0SZ, 64 - vaBits) |
    placeBits(TCR_EL1_EPD0, 1) |
    placeBits(TCR_EL1_TG0, granule.tg0) |
    placeBits(TCR_EL1_T1SZ, 64 - vaBits) |
    placeBits(TCR_EL1_IRGN1, 1) |
    placeBits(TCR_EL1_ORGN1, 1) |
    placeBits(TCR_EL1_SH1, 3) |
    placeBits(TCR_EL1_TG1, granule.tg1) |
    placeBits(TCR_EL1_IPS, ips) |
    placeBits(TCR_EL1_AS, 1) |
    placeBits(TCR_EL1_HA, ha ? 1 : 0) |
    placeBits(TCR_EL1_HD, hd ? 1 : 0) |
    placeBits(TCR_EL1_HPD1, hpd ? 1 : 0) |
    placeBits(TCR_EL1_DS, lpa2 ? 1 : 0);
  const root = BigInt(rootPa);
  const ttbr1 =
    placeBits(TTBR1_EL1_ASID, asid) |
    placeBits(TTBR1_EL1_CNP, cnp ? 1 : 0) |
    (root & 0xffff_ffff_fffen) |
    placeBits(TTBR1_EL1_BADDR_52, Number(root >> 48n));
  const config = decodeStage1Config(tcr, ttbr1, lpa2 || (is64K && vaBits > 48) ? 52 : oaBits);
  demand(config.valid, `no legal TCR_EL1: ${granule.name}, ${vaBits} VA bits`);
  demand(config.rootPa === rootPa, `root is misaligned or too high: ${rootPa}`);
  return config;
};
