/**
 * What an instruction word does to control flow, for the random walk over kernel text: a few nanoseconds a word, no
 * allocation. The top byte decides nearly always; the three top bytes it does not decide are looked at again.
 * Encodings: Arm ARM DDI 0487, C4.1.66 (branches, exceptions, system) and C4.1.92 (loads of literals).
 */

/** Anything else: the walk goes on at the next word. */
export const CLASS_OTHER = 0;
/** B. */
export const CLASS_B = 1;
/** BL. */
export const CLASS_BL = 2;
/** B.cond, BC.cond, CBZ, CBNZ, TBZ, TBNZ. */
export const CLASS_CONDITIONAL = 3;
/** RET, RETAA, RETAB. */
export const CLASS_RET = 4;
/** BR, BRAA, BRAB, BRAAZ, BRABZ. */
export const CLASS_INDIRECT_JUMP = 5;
/** BLR, BLRAA, BLRAB, BLRAAZ, BLRABZ. */
export const CLASS_INDIRECT_CALL = 6;
/** LDR and LDRSW of a literal, vector registers included; PRFM is no load. */
export const CLASS_LITERAL_LOAD = 7;
/** ADRP. */
export const CLASS_ADRP = 8;
/** SVC, HVC, SMC, BRK, HLT, DCPSn, ERET, DRPS, UDF and the unallocated words around it. */
export const CLASS_EXCEPTION = 9;
/** ISB: a context synchronisation event. */
export const CLASS_BARRIER = 10;
/** Names by class. */
export const CLASS_NAMES: readonly string[] =
  'other b bl conditional ret indirect-jump indirect-call literal-load adrp exception barrier'.split(' ');

/** Top byte 0xD5 (system) or 0xD6, 0xD7 (branch to register): more bits are needed. */
const LOOK_AGAIN = 0xff;

const buildTopBytes = (): Uint8Array => {
  const table = new Uint8Array(256);
  const set = (kind: number, ...tops: number[]): void => {
    for (const top of tops) table[top] = kind;
  };
  set(CLASS_B, 0x14, 0x15, 0x16, 0x17);
  set(CLASS_BL, 0x94, 0x95, 0x96, 0x97);
  set(CLASS_CONDITIONAL, 0x54, 0x34, 0x35, 0xb4, 0xb5, 0x36, 0x37, 0xb6, 0xb7);
  set(CLASS_LITERAL_LOAD, 0x18, 0x58, 0x98, 0x1c, 0x5c, 0x9c);
  set(CLASS_ADRP, 0x90, 0xb0, 0xd0, 0xf0);
  set(CLASS_EXCEPTION, 0x00, 0x01, 0xd4);
  set(LOOK_AGAIN, 0xd5, 0xd6, 0xd7);
  return table;
};

const TOP_BYTES: Uint8Array = buildTopBytes();

const classAgain = (word: number): number => {
  // ISB whatever its CRm: the reserved options behave as SY.
  if (word >>> 24 === 0xd5) return (word & 0xffff_f0ff) >>> 0 === 0xd503_30df ? CLASS_BARRIER : CLASS_OTHER;
  // 1101011 opc(24:21) 11111 op3(15:10) Rn op4(4:0): op3 and op4 are 0, or 00001x for the pointer-authentication forms,
  // of which opc<3> tells those with a modifier in op4 from those without. What is left is unallocated, or ERET and DRPS.
  const plain = (word & 0xfc1f) === 0;
  const authenticated = (word & 0xf81f) === 0x081f;
  const modified = (word & 0xf800) === 0x0800;
  switch ((word >>> 16) & 0x1ff) {
    case 0x01f:
      return plain || authenticated ? CLASS_INDIRECT_JUMP : CLASS_EXCEPTION;
    case 0x03f:
      return plain || authenticated ? CLASS_INDIRECT_CALL : CLASS_EXCEPTION;
    case 0x05f:
      return plain || (word & 0xfbff) === 0x0bff ? CLASS_RET : CLASS_EXCEPTION;
    case 0x11f:
      return modified ? CLASS_INDIRECT_JUMP : CLASS_EXCEPTION;
    case 0x13f:
      return modified ? CLASS_INDIRECT_CALL : CLASS_EXCEPTION;
    default:
      return CLASS_EXCEPTION;
  }
};

/** The class of an instruction word (u32 or its int32 twin): one of the CLASS_ constants. */
export const instructionClass = (word: number): number => {
  const kind = TOP_BYTES[word >>> 24]!;
  return kind === LOOK_AGAIN ? classAgain(word) : kind;
};

/**
 * The signed byte offset from the branch to its target, for B, BL and the conditional branches; meaningless for other
 * words.
 */
export const branchOffset = (word: number): number => {
  const top = word >>> 24;
  if ((top & 0x7c) === 0x14) return (word << 6) >> 4;
  if ((top & 0x7e) === 0x36) return ((word << 13) >> 16) & ~3;
  return ((word << 8) >> 11) & ~3;
};

/** The signed byte offset from a literal load to its literal; meaningless for other words. */
export const literalOffset = (word: number): number => ((word << 8) >> 11) & ~3;

/** Bytes that a literal load reads: 4, 8 or 16; meaningless for other words. */
export const literalBytes = (word: number): number => {
  const top = word >>> 24;
  if (top === 0x18 || top === 0x98 || top === 0x1c) return 4;
  return top === 0x9c ? 16 : 8;
};

/** The signed byte offset from the page of an ADRP to the page it forms; meaningless for other words. */
export const adrpOffset = (word: number): number => ((((word << 8) >> 11) & ~3) | ((word >>> 29) & 3)) * 4096;

/**
 * Whether a word may replace, or be replaced by, another such word while cores execute it, without stopping them: B,
 * B.cond, BL, BRK, CBNZ, CBZ, HVC, ISB, NOP, SMC, SVC, TBNZ, TBZ (Arm ARM B2.2.5). Then a core executes either the old
 * or the new one; for any other pair the result is constrained unpredictable.
 */
export const hotpatchSafe = (word: number): boolean => {
  const kind = instructionClass(word);
  if (kind === CLASS_B || kind === CLASS_BL || kind === CLASS_BARRIER) return true;
  // B.cond has bit 4 clear; BC.cond is not on the list.
  if (kind === CLASS_CONDITIONAL) return word >>> 24 !== 0x54 || (word & 0x10) === 0;
  if (kind !== CLASS_EXCEPTION) return word >>> 0 === 0xd503_201f;
  const exception = (word & 0xffe0_001f) >>> 0;
  return exception === 0xd420_0000 || (exception >= 0xd400_0001 && exception <= 0xd400_0003);
};
