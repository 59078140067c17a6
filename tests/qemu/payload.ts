/**
 * The bare-metal program that asks QEMU's CPU for translations, together with its data, as one blob. It runs at EL2 with the
 * MMU off: copies the table pages to where the tables say they are, points VTCR_EL2 and VTTBR_EL2 at them, executes one AT
 * instruction for each request, and writes a file through semihosting.
 *
 * Stage 1 is off (SCTLR_EL1.M = 0), so the address given to AT is the IPA itself. The CPU has 52-bit physical addresses, so
 * stage 1 lets every IPA below 2^52 through.
 */
import { Assembler, SYSTEM, type SystemName } from './assembler.ts';

/** Bytes of table memory at a physical address. */
export interface Segment {
  readonly pa: number;
  readonly bytes: Uint8Array;
}

/** What the payload is made of. `requests` are IPAs, with bit 63 set for a write. */
export interface PayloadInput {
  readonly vtcr: bigint;
  readonly vttbr: bigint;
  readonly segments: readonly Segment[];
  readonly requests: BigUint64Array;
}

/** Name of the file the payload writes, in QEMU's working directory. */
export const RESULT_FILE = 'results.bin';
/** 64-bit words in front of the results: see {@link emitReport}. */
export const RESULT_HEADER_WORDS = 8;
/** First header word of a run that reached its end; anything else is the offset of an exception. */
export const RESULT_OK = 0x600dn;

const SYS_OPEN = 0x01;
const SYS_CLOSE = 0x02;
const SYS_WRITE = 0x05;
const SYS_EXIT = 0x18;
const MODE_WRITE_BINARY = 5n;
const ADP_STOPPED_APPLICATION_EXIT = 0x20026n;

const HCR_EL2_VM = 1n;
const HCR_EL2_RW = 1n << 31n;
/** The RES1 bits of SCTLR_EL1, with M, C and I clear. */
const SCTLR_EL1_RES1 = 0x30d0_0800n;

const VECTORS = 0x800;
const CODE_END = 0x1000;

/** Where each part of the blob lies, as physical addresses. */
interface Layout {
  readonly base: bigint;
  readonly blocks: bigint;
  readonly copies: bigint;
  readonly requests: bigint;
  readonly results: bigint;
  readonly resultBytes: bigint;
}

// Registers that live through the program.
const CURSOR = 19;
const OUT = 20;
const COUNT = 21;
const VALUE = 22;
const STATUS = 23;
const HANDLE_BLOCK = 24;

const emitCopies = (asm: Assembler, layout: Layout): void => {
  // The vectors come first: a segment outside RAM must end the run with a report, not hang it.
  asm.loadConstant(VALUE, layout.base + BigInt(VECTORS));
  asm.msr(SYSTEM.VBAR_EL2, VALUE);
  asm.isb();
  // Each entry: destination, number of 64-bit words, and then the words. A count of zero ends the list.
  asm.loadConstant(CURSOR, layout.copies);
  asm.label('next-segment');
  asm.loadNext(OUT, CURSOR);
  asm.loadNext(COUNT, CURSOR);
  asm.branchIfZero(COUNT, 'copied');
  asm.label('copy');
  asm.loadNext(VALUE, CURSOR);
  asm.storeNext(VALUE, OUT);
  asm.decrement(COUNT);
  asm.branchIfNotZero(COUNT, 'copy');
  asm.branch('next-segment');
  asm.label('copied');
};

const emitRegisters = (asm: Assembler, input: PayloadInput): void => {
  const set = (name: SystemName, value: bigint): void => {
    asm.loadConstant(VALUE, value);
    asm.msr(name, VALUE);
  };
  set(SYSTEM.SCTLR_EL1, SCTLR_EL1_RES1);
  set(SYSTEM.TCR_EL1, 0n);
  set(SYSTEM.VTCR_EL2, input.vtcr);
  set(SYSTEM.VTTBR_EL2, input.vttbr);
  set(SYSTEM.HCR_EL2, HCR_EL2_RW | HCR_EL2_VM);
  asm.dsb();
  asm.isb();
  asm.sys(SYSTEM.TLBI_ALLE1);
  asm.dsb();
  asm.isb();
};

const emitTranslations = (asm: Assembler, layout: Layout, count: number): void => {
  asm.loadConstant(CURSOR, layout.requests);
  asm.loadConstant(OUT, layout.results + BigInt(RESULT_HEADER_WORDS * 8));
  asm.loadConstant(COUNT, BigInt(count));
  asm.label('next-request');
  asm.branchIfZero(COUNT, 'done');
  asm.loadNext(VALUE, CURSOR);
  asm.branchIfTopBit(VALUE, 'write');
  asm.sys(SYSTEM.AT_S12E1R, VALUE);
  asm.branch('translated');
  asm.label('write');
  asm.clearTopBit(VALUE, VALUE);
  asm.sys(SYSTEM.AT_S12E1W, VALUE);
  asm.label('translated');
  asm.isb();
  asm.mrs(VALUE, SYSTEM.PAR_EL1);
  asm.storeNext(VALUE, OUT);
  asm.decrement(COUNT);
  asm.branch('next-request');
  asm.label('done');
  asm.loadConstant(STATUS, RESULT_OK);
};

/** Header: status, ESR_EL2, ELR_EL2, FAR_EL2, CurrentEL, ID_AA64MMFR0_EL1, ID_AA64MMFR1_EL1, ID_AA64MMFR2_EL1. */
const emitReport = (asm: Assembler, layout: Layout): void => {
  asm.label('report');
  asm.loadConstant(OUT, layout.results);
  asm.storeNext(STATUS, OUT);
  const { ESR_EL2, ELR_EL2, FAR_EL2, CURRENT_EL, ID_AA64MMFR0_EL1, ID_AA64MMFR1_EL1, ID_AA64MMFR2_EL1 } = SYSTEM;
  for (const name of [ESR_EL2, ELR_EL2, FAR_EL2, CURRENT_EL, ID_AA64MMFR0_EL1, ID_AA64MMFR1_EL1, ID_AA64MMFR2_EL1]) {
    asm.mrs(VALUE, name);
    asm.storeNext(VALUE, OUT);
  }
  asm.semihosting(SYS_OPEN, layout.blocks);
  asm.loadConstant(HANDLE_BLOCK, layout.blocks + 32n);
  asm.storeNext(0, HANDLE_BLOCK);
  asm.semihosting(SYS_WRITE, layout.blocks + 32n);
  asm.semihosting(SYS_CLOSE, layout.blocks + 32n);
  asm.semihosting(SYS_EXIT, layout.blocks + 64n);
  asm.label('halt');
  asm.branch('halt');
};

const emitVectors = (asm: Assembler): void => {
  asm.padTo(VECTORS);
  for (let vector = 0; vector < 16; vector++) {
    asm.padTo(VECTORS + vector * 0x80);
    asm.loadConstant(STATUS, BigInt(vector * 0x80));
    asm.branch('report');
  }
  asm.padTo(CODE_END);
};

/** Semihosting parameter blocks: SYS_OPEN at 0, SYS_WRITE (and SYS_CLOSE) at 32, SYS_EXIT at 64, the file name at 96. */
const parameterBlocks = (layout: Layout): Uint8Array => {
  const blocks = new Uint8Array(128);
  const view = new DataView(blocks.buffer);
  const put = (offset: number, values: readonly bigint[]): void => {
    values.forEach((value, i) => {
      view.setBigUint64(offset + i * 8, value, true);
    });
  };
  put(0, [layout.blocks + 96n, MODE_WRITE_BINARY, BigInt(RESULT_FILE.length)]);
  put(32, [0n, layout.results, layout.resultBytes]);
  put(64, [ADP_STOPPED_APPLICATION_EXIT, 0n]);
  blocks.set(new TextEncoder().encode(RESULT_FILE), 96);
  return blocks;
};

/** Bytes of RAM that the payload needs from its base on, results included. */
export const payloadBytes = (input: PayloadInput): number =>
  CODE_END +
  128 +
  input.segments.reduce((sum, { bytes }) => sum + 16 + bytes.length, 16) +
  input.requests.byteLength +
  (RESULT_HEADER_WORDS + input.requests.length) * 8;

/** Assembles the blob to be loaded, and entered at EL2, at physical address `base` (a multiple of 4 KiB). */
export const buildPayload = (input: PayloadInput, base: number): Uint8Array => {
  const copyBytes = input.segments.reduce((sum, { bytes }) => sum + 16 + bytes.length, 16);
  const blocks = BigInt(base + CODE_END);
  const copies = blocks + 128n;
  const requests = copies + BigInt(copyBytes);
  const results = requests + BigInt(input.requests.byteLength);
  const resultBytes = BigInt((RESULT_HEADER_WORDS + input.requests.length) * 8);
  const layout = { base: BigInt(base), blocks, copies, requests, results, resultBytes };

  const asm = new Assembler();
  emitCopies(asm, layout);
  emitRegisters(asm, input);
  emitTranslations(asm, layout, input.requests.length);
  emitReport(asm, layout);
  emitVectors(asm);

  const blob = new Uint8Array(Number(results) - base);
  const view = new DataView(blob.buffer);
  asm.words().forEach((word, i) => {
    view.setUint32(i * 4, word, true);
  });
  blob.set(parameterBlocks(layout), CODE_END);
  let at = CODE_END + 128;
  for (const { pa, bytes } of input.segments) {
    if (bytes.length % 8 !== 0 || pa % 8 !== 0) throw new Error(`segment at ${pa.toString(16)} is not 8-byte aligned`);
    view.setBigUint64(at, BigInt(pa), true);
    view.setBigUint64(at + 8, BigInt(bytes.length / 8), true);
    blob.set(bytes, at + 16);
    at += 16 + bytes.length;
  }
  input.requests.forEach((request, i) => {
    view.setBigUint64(at + 16 + i * 8, request, true);
  });
  return blob;
};
