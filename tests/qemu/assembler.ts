/**
 * The few A64 instructions that the EL2 payload of the rig needs, as a list of words with labels. Encodings: Arm ARM DDI 0487,
 * C6.2. It is separate from the encoder of packages/machine on purpose: the rig judges that code's neighbours and should
 * share nothing with them.
 */

/** A system register or system instruction as op0, op1, CRn, CRm, op2. */
export type SystemName = readonly [op0: number, op1: number, crn: number, crm: number, op2: number];

/** The names of {@link SYSTEM}, as in the manual. */
export type SystemKey =
  | 'ID_AA64MMFR0_EL1'
  | 'ID_AA64MMFR1_EL1'
  | 'ID_AA64MMFR2_EL1'
  | 'SCTLR_EL1'
  | 'TCR_EL1'
  | 'CURRENT_EL'
  | 'PAR_EL1'
  | 'HCR_EL2'
  | 'VTTBR_EL2'
  | 'VTCR_EL2'
  | 'ELR_EL2'
  | 'ESR_EL2'
  | 'FAR_EL2'
  | 'VBAR_EL2'
  | 'AT_S12E1R'
  | 'AT_S12E1W'
  | 'TLBI_ALLE1';

/** The system registers and instructions that the payload names. */
export const SYSTEM: Readonly<Record<SystemKey, SystemName>> = {
  ID_AA64MMFR0_EL1: [3, 0, 0, 7, 0],
  ID_AA64MMFR1_EL1: [3, 0, 0, 7, 1],
  ID_AA64MMFR2_EL1: [3, 0, 0, 7, 2],
  SCTLR_EL1: [3, 0, 1, 0, 0],
  TCR_EL1: [3, 0, 2, 0, 2],
  CURRENT_EL: [3, 0, 4, 2, 2],
  PAR_EL1: [3, 0, 7, 4, 0],
  HCR_EL2: [3, 4, 1, 1, 0],
  VTTBR_EL2: [3, 4, 2, 1, 0],
  VTCR_EL2: [3, 4, 2, 1, 2],
  ELR_EL2: [3, 4, 4, 0, 1],
  ESR_EL2: [3, 4, 5, 2, 0],
  FAR_EL2: [3, 4, 6, 0, 0],
  VBAR_EL2: [3, 4, 12, 0, 0],
  AT_S12E1R: [1, 4, 7, 8, 4],
  AT_S12E1W: [1, 4, 7, 8, 5],
  TLBI_ALLE1: [1, 4, 8, 7, 4],
};

const XZR = 31;

const systemBits = ([op0, op1, crn, crm, op2]: SystemName): number =>
  (((op0 & 3) << 19) | (op1 << 16) | (crn << 12) | (crm << 8) | (op2 << 5)) >>> 0;

/** A program under construction. Registers are numbers 0 to 30; branch targets are labels, resolved by {@link words}. */
export class Assembler {
  private readonly code: number[] = [];
  private readonly labels = new Map<string, number>();
  private readonly fixups: { at: number; label: string; lsb: number; width: number }[] = [];

  /** Byte offset of the next instruction. */
  get offset(): number {
    return this.code.length * 4;
  }

  label(name: string): void {
    this.labels.set(name, this.code.length);
  }

  /** Fills up to a byte offset with zero words, which are UDF and trap if ever reached. */
  padTo(offset: number): void {
    if (offset < this.offset) throw new Error(`code is past ${offset}`);
    while (this.offset < offset) this.word(0);
  }

  word(value: number): void {
    this.code.push(value >>> 0);
  }

  /** Four instructions that load any 64-bit constant. */
  loadConstant(rd: number, value: bigint): void {
    for (let part = 0; part < 4; part++) {
      const chunk = Number((value >> BigInt(16 * part)) & 0xffffn);
      this.word((part === 0 ? 0xd280_0000 : 0xf280_0000) | (part << 21) | (chunk << 5) | rd);
    }
  }

  mrs(rt: number, name: SystemName): void {
    this.word(0xd520_0000 | systemBits(name) | rt);
  }

  msr(name: SystemName, rt: number): void {
    this.word(0xd500_0000 | systemBits(name) | rt);
  }

  /** A system instruction: AT, TLBI. */
  sys(name: SystemName, rt: number = XZR): void {
    this.word(0xd500_0000 | systemBits(name) | rt);
  }

  isb(): void {
    this.word(0xd503_3fdf);
  }

  dsb(): void {
    this.word(0xd503_3f9f);
  }

  /** `LDR Xt, [Xn], #8` */
  loadNext(rt: number, rn: number): void {
    this.word(0xf840_8400 | (rn << 5) | rt);
  }

  /** `STR Xt, [Xn], #8` */
  storeNext(rt: number, rn: number): void {
    this.word(0xf800_8400 | (rn << 5) | rt);
  }

  /** `UBFX Xd, Xn, #0, #63`: clears bit 63. */
  clearTopBit(rd: number, rn: number): void {
    this.word(0xd340_0000 | (62 << 10) | (rn << 5) | rd);
  }

  /** `SUB Xd, Xd, #1` */
  decrement(rd: number): void {
    this.word(0xd100_0400 | (rd << 5) | rd);
  }

  branch(label: string): void {
    this.fix(label, 0, 26, 0x1400_0000);
  }

  branchIfZero(rt: number, label: string): void {
    this.fix(label, 5, 19, 0xb400_0000 | rt);
  }

  branchIfNotZero(rt: number, label: string): void {
    this.fix(label, 5, 19, 0xb500_0000 | rt);
  }

  /** `TBNZ Xt, #63, label` */
  branchIfTopBit(rt: number, label: string): void {
    this.fix(label, 5, 14, 0xb700_0000 | (31 << 19) | rt);
  }

  /** The A64 semihosting call: operation in W0, parameter block in X1. Leaves the result in X0. */
  semihosting(operation: number, block: bigint): void {
    this.loadConstant(0, BigInt(operation));
    this.loadConstant(1, block);
    this.word(0xd45e_0000); // HLT #0xF000
  }

  private fix(label: string, lsb: number, width: number, word: number): void {
    this.fixups.push({ at: this.code.length, label, lsb, width });
    this.word(word);
  }

  /** The finished words. Throws if a label is missing. */
  words(): Uint32Array {
    for (const { at, label, lsb, width } of this.fixups) {
      const target = this.labels.get(label);
      if (target === undefined) throw new Error(`no label ${label}`);
      this.code[at] = (this.code[at]! | (((target - at) & (2 ** width - 1)) << lsb)) >>> 0;
    }
    this.fixups.length = 0;
    return Uint32Array.from(this.code);
  }
}
