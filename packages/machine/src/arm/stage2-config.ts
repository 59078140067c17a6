/**
 * VTCR_EL2 and VTTBR_EL2 (Arm ARM D19.2), decoded once per write into a frozen {@link Stage2Config}. FEAT_TTST (small
 * tables, start level 3), FEAT_VMID16 and FEAT_HAFDBS are taken as implemented; FEAT_LPA and FEAT_LPA2 are implemented
 * exactly when the PE has 52-bit physical addresses.
 */
import type { Field } from '@numalab/base';
import { type DescriptorFormat, GRANULES, type Granule, type GranuleName, LAST_LEVEL, levelShift } from './granule.ts';
import { PA_SIZES, placeBits, takeBits } from './register-bits.ts';

export const VTCR_EL2_T0SZ: Field = [5, 0];
export const VTCR_EL2_SL0: Field = [7, 6];
export const VTCR_EL2_IRGN0: Field = [9, 8];
export const VTCR_EL2_ORGN0: Field = [11, 10];
export const VTCR_EL2_SH0: Field = [13, 12];
export const VTCR_EL2_TG0: Field = [15, 14];
export const VTCR_EL2_PS: Field = [18, 16];
export const VTCR_EL2_VS: Field = [19, 19];
export const VTCR_EL2_HA: Field = [21, 21];
export const VTCR_EL2_HD: Field = [22, 22];
export const VTCR_EL2_RES1: Field = [31, 31];
export const VTCR_EL2_DS: Field = [32, 32];
export const VTCR_EL2_SL2: Field = [33, 33];

export const VTTBR_EL2_CNP: Field = [0, 0];
/** BADDR[47:1] in place. */
export const VTTBR_EL2_BADDR: Field = [47, 1];
/** BADDR[51:48] when the root is a 52-bit address; the base is then aligned to 64 bytes. */
export const VTTBR_EL2_BADDR_52: Field = [5, 2];
export const VTTBR_EL2_VMID: Field = [63, 48];

/** A stage-2 regime: what one VTCR_EL2 and one VTTBR_EL2 mean. */
export interface Stage2Config extends DescriptorFormat {
  readonly granule: Granule;
  /** Size of the IPA space in bits: 64 - T0SZ. */
  readonly ipaBits: number;
  /** Level of the root, -1..3. */
  readonly startLevel: number;
  /** Address of the root as hardware uses it: aligned down to {@link rootAlignment}. */
  readonly rootPa: number;
  /** Concatenated tables at the root, 1..16. */
  readonly rootTables: number;
  /** Size of the root in bytes; below a granule if the IPA space needs only part of a table. */
  readonly rootBytes: number;
  /** DS: 52-bit descriptors of 4K and 16K (FEAT_LPA2). */
  readonly ds: boolean;
  /** 64K granule on a PE with 52-bit physical addresses. */
  readonly lpa: boolean;
  /** Size of the output address in bits: the least of PS, what the format can express and `paMax`. */
  readonly oaBits: number;
  /** Physical address size of the PE in bits. */
  readonly paMax: number;
  /** Hardware sets AF. */
  readonly ha: boolean;
  /** Hardware manages the dirty state; means nothing without `ha`. */
  readonly hd: boolean;
  readonly vmid: number;
  readonly cnp: boolean;
  readonly vtcr: bigint;
  readonly vttbr: bigint;
  /** False if T0SZ and the start level are illegal: every walk takes a translation fault at level 0. */
  readonly valid: boolean;
}

/** What {@link makeStage2Config} is given. */
export interface Stage2Options {
  readonly granule: GranuleName;
  /** 16..52 (17..52 for 64K). */
  readonly ipaBits: number;
  /** Output address size, rounded up to one that PS can encode. Default: the IPA size, as pKVM sets up its host. */
  readonly oaBits?: number;
  /** Default: only if 4K or 16K must express more than 48 bits. */
  readonly lpa2?: boolean;
  readonly rootPa: number;
  /** Default 0, the VMID of the pKVM host. */
  readonly vmid?: number;
  /** Default false. */
  readonly ha?: boolean;
  /** Default false. */
  readonly hd?: boolean;
  /** Default false. */
  readonly cnp?: boolean;
  /** Default: the start level that Linux picks. */
  readonly startLevel?: number;
}

const linuxStartLevel = (granule: Granule, ipaBits: number): number => {
  const levels = Math.max(2, Math.floor((ipaBits - 8) / granule.stride));
  return LAST_LEVEL + 1 - levels;
};

/** Start levels by SL2:SL0 (3 bits); NaN where the code is invalid. SL2 exists for 4K with DS=1 only. */
const START_LEVELS: Readonly<Record<GranuleName, readonly number[]>> = {
  '4K': [2, 1, 0, 3, -1],
  '16K': [3, 2, 1, 0],
  '64K': [3, 2, 1],
};

/** The PA size a PE needs before the level may be a root without 52-bit descriptors. */
const PA_MAX_NEEDED: Readonly<Record<GranuleName, Readonly<Record<number, number>>>> = {
  '4K': { 0: 44 },
  '16K': { 1: 42 },
  '64K': { 1: 44 },
};

/** Whether a walk of `ipaBits` may start at `level`. */
const startLevelValid = (format: DescriptorFormat, level: number, ipaBits: number, paMax: number): boolean => {
  const { granule, ds } = format;
  if (!START_LEVELS[granule.name].includes(level)) return false;
  if (level === -1 && !ds) return false;
  if (granule.name === '16K' && level === 0 && !ds) return false;
  if (paMax < (PA_MAX_NEEDED[granule.name][level] ?? 0)) return false;
  const least = levelShift(granule, level) + 1;
  return ipaBits >= least && ipaBits <= least + granule.stride - 1 + 4;
};

/** Bytes to which the root is aligned (hardware ignores lower bits of the base): its size, at least 64 with 52-bit bases. */
export const rootAlignment = (config: Stage2Config): number =>
  Math.max(config.rootBytes, baddrIs52(config, config.vtcr) ? 64 : 0);

/** VTTBR holds a 52-bit base: always with DS=1, and for 64K if PS says 52 bits and the PE has them. */
const baddrIs52 = ({ ds, lpa }: DescriptorFormat, vtcr: bigint): boolean =>
  ds || (lpa && PA_SIZES[takeBits(vtcr, VTCR_EL2_PS)] === 52);

const GRANULE_OF_TG0: readonly (GranuleName | undefined)[] = ['4K', '64K', '16K', undefined];

/**
 * What hardware with `paMax` physical address bits makes of any two register values. Illegal combinations give a config
 * with `valid: false` and harmless numbers.
 */
export const decodeStage2Config = (vtcr: bigint, vttbr: bigint, paMax: number): Stage2Config => {
  const name = GRANULE_OF_TG0[takeBits(vtcr, VTCR_EL2_TG0)];
  const granule = GRANULES[name ?? '4K'];
  const wide = paMax >= 52;
  const ds = wide && granule.name !== '64K' && takeBits(vtcr, VTCR_EL2_DS) === 1;
  const format: DescriptorFormat = { granule, ds, lpa: wide && granule.name === '64K' };
  const expressible = ds || format.lpa ? 52 : 48;
  const ipaBits = 64 - takeBits(vtcr, VTCR_EL2_T0SZ);
  const sl2 = granule.name === '4K' && ds ? takeBits(vtcr, VTCR_EL2_SL2) : 0;
  const startLevel = START_LEVELS[granule.name][(sl2 << 2) | takeBits(vtcr, VTCR_EL2_SL0)] ?? Number.NaN;
  const valid =
    name !== undefined &&
    ipaBits <= Math.min(paMax, expressible) &&
    ipaBits >= (granule.name === '64K' ? 17 : 16) &&
    startLevelValid(format, startLevel, ipaBits, paMax);
  const rootBytes = valid ? 2 ** (ipaBits - levelShift(granule, startLevel) + 3) : granule.bytes;
  const wideBase = baddrIs52(format, vtcr);
  const alignment = BigInt(Math.max(rootBytes, wideBase ? 64 : 2));
  let base = placeBits(VTTBR_EL2_BADDR, takeBits(vttbr, VTTBR_EL2_BADDR));
  if (wideBase) base |= BigInt(takeBits(vttbr, VTTBR_EL2_BADDR_52)) << 48n;
  return Object.freeze({
    granule,
    ipaBits,
    startLevel: valid ? startLevel : 0,
    rootPa: Number((base / alignment) * alignment),
    rootTables: Math.max(1, rootBytes / granule.bytes),
    rootBytes,
    ds,
    lpa: format.lpa,
    oaBits: Math.min(PA_SIZES[takeBits(vtcr, VTCR_EL2_PS)] ?? 52, expressible, paMax),
    paMax,
    ha: takeBits(vtcr, VTCR_EL2_HA) === 1,
    hd: takeBits(vtcr, VTCR_EL2_HD) === 1,
    vmid: takeBits(vttbr, VTTBR_EL2_VMID) & (takeBits(vtcr, VTCR_EL2_VS) === 1 ? 0xffff : 0xff),
    cnp: takeBits(vttbr, VTTBR_EL2_CNP) === 1,
    vtcr,
    vttbr,
    valid,
  });
};

const demand = (condition: boolean, message: string): void => {
  if (!condition) throw new RangeError(message);
};

/**
 * The configuration Linux would program for these sizes: its start level and concatenation, SH0 inner, table walks
 * write-back, 16-bit VMIDs. Throws RangeError if no legal VTCR_EL2/VTTBR_EL2 expresses the options, if the output address
 * is smaller than the IPA, or if `rootPa` is misaligned.
 */
export const makeStage2Config = (options: Stage2Options): Stage2Config => {
  const { ipaBits, rootPa, vmid = 0, ha = false, hd = false, cnp = false } = options;
  const granule = GRANULES[options.granule];
  demand(Number.isInteger(ipaBits) && ipaBits >= 16 && ipaBits <= 52, `ipaBits out of range: ${ipaBits}`);
  const wanted = options.oaBits ?? ipaBits;
  demand(wanted >= ipaBits && wanted <= 52, `oaBits must be from ipaBits (${ipaBits}) to 52: ${wanted}`);
  const ps = PA_SIZES.findIndex((size) => size >= wanted);
  const oaBits = PA_SIZES[ps]!;
  const lpa2 = options.lpa2 ?? (granule.name !== '64K' && oaBits > 48);
  demand(!(lpa2 && granule.name === '64K'), 'lpa2 needs a granule of 4K or 16K');
  demand(
    oaBits <= 48 || lpa2 || granule.name === '64K',
    `${oaBits} address bits need lpa2 with granule ${granule.name}`,
  );
  const startLevel = options.startLevel ?? linuxStartLevel(granule, ipaBits);
  const sl = START_LEVELS[granule.name].indexOf(startLevel);
  demand(sl >= 0, `start level ${startLevel} does not exist for granule ${granule.name}`);
  const vtcr =
    placeBits(VTCR_EL2_RES1, 1) |
    placeBits(VTCR_EL2_T0SZ, 64 - ipaBits) |
    placeBits(VTCR_EL2_SL0, sl & 3) |
    placeBits(VTCR_EL2_SL2, sl >> 2) |
    placeBits(VTCR_EL2_IRGN0, 1) |
    placeBits(VTCR_EL2_ORGN0, 1) |
    placeBits(VTCR_EL2_SH0, 3) |
    placeBits(VTCR_EL2_TG0, granule.tg0) |
    placeBits(VTCR_EL2_PS, ps) |
    placeBits(VTCR_EL2_VS, 1) |
    placeBits(VTCR_EL2_HA, ha ? 1 : 0) |
    placeBits(VTCR_EL2_HD, hd ? 1 : 0) |
    placeBits(VTCR_EL2_DS, lpa2 ? 1 : 0);
  const root = BigInt(rootPa);
  const wideBase = lpa2 || oaBits === 52;
  const vttbr =
    placeBits(VTTBR_EL2_VMID, vmid) |
    placeBits(VTTBR_EL2_CNP, cnp ? 1 : 0) |
    (root & 0xffff_ffff_fffen) |
    (wideBase ? placeBits(VTTBR_EL2_BADDR_52, Number(root >> 48n)) : 0n);
  const config = decodeStage2Config(vtcr, vttbr, lpa2 ? 52 : oaBits);
  demand(
    config.valid && config.startLevel === startLevel,
    `no legal VTCR_EL2: ${granule.name}, ${ipaBits} IPA bits, start level ${startLevel}`,
  );
  demand(config.rootPa === rootPa, `root must be aligned to ${rootAlignment(config)} and below 2^${oaBits}: ${rootPa}`);
  return config;
};
