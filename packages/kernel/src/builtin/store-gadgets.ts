import { a64 } from '@numalab/machine';
import type { ImageBuilder } from './image-builder.ts';

const { SIZE_BYTE, SIZE_HALF, SIZE_WORD, SIZE_DOUBLE, SIZE_QUAD } = a64;

/** X0 holds the address, X1 the value, X2 the second value; W3 is the status, X3 the old or the expected value. */
const ADDRESS = 0;
const VALUE = 1;
const SECOND = 2;
const OLD = 3;
const LOADED = 4;

/**
 * A function per form of store: the store and RET, with a load-exclusive before a store-exclusive. They let a test make a vCPU
 * perform any form at a chosen place; the symbol is `numalab_store_` and the form.
 */
export const STORE_GADGETS: Readonly<Record<string, readonly number[]>> = {
  str_w: [a64.str(SIZE_WORD, VALUE, ADDRESS)],
  str_x: [a64.str(SIZE_DOUBLE, VALUE, ADDRESS)],
  strb: [a64.str(SIZE_BYTE, VALUE, ADDRESS)],
  strh: [a64.str(SIZE_HALF, VALUE, ADDRESS)],
  str_w_post: [a64.strPost(SIZE_WORD, VALUE, ADDRESS, 4)],
  str_w_pre: [a64.strPre(SIZE_WORD, VALUE, ADDRESS, 4)],
  str_x_post: [a64.strPost(SIZE_DOUBLE, VALUE, ADDRESS, 8)],
  str_x_pre: [a64.strPre(SIZE_DOUBLE, VALUE, ADDRESS, 8)],
  stp_w: [a64.stp(SIZE_WORD, VALUE, SECOND, ADDRESS)],
  stp_x: [a64.stp(SIZE_DOUBLE, VALUE, SECOND, ADDRESS)],
  stp_x_pre: [a64.stpPre(SIZE_DOUBLE, VALUE, SECOND, ADDRESS, 16)],
  stp_x_post: [a64.stpPost(SIZE_DOUBLE, VALUE, SECOND, ADDRESS, 16)],
  stxr_w: [a64.ldxr(SIZE_WORD, LOADED, ADDRESS), a64.stxr(SIZE_WORD, OLD, VALUE, ADDRESS)],
  stlxr_x: [a64.ldxr(SIZE_DOUBLE, LOADED, ADDRESS), a64.stlxr(SIZE_DOUBLE, OLD, VALUE, ADDRESS)],
  cas_w: [a64.cas(SIZE_WORD, OLD, VALUE, ADDRESS)],
  cas_x: [a64.cas(SIZE_DOUBLE, OLD, VALUE, ADDRESS)],
  swp_w: [a64.swp(SIZE_WORD, VALUE, OLD, ADDRESS)],
  swp_x: [a64.swp(SIZE_DOUBLE, VALUE, OLD, ADDRESS)],
  ldadd_w: [a64.ldadd(SIZE_WORD, VALUE, OLD, ADDRESS)],
  ldset_x: [a64.ldset(SIZE_DOUBLE, VALUE, OLD, ADDRESS)],
  stnp_x: [a64.stnp(SIZE_DOUBLE, VALUE, SECOND, ADDRESS)],
  dc_zva: [a64.dcZva(ADDRESS)],
  str_q: [a64.strV(SIZE_QUAD, VALUE, ADDRESS)],
};

/** Emits every gadget, 16-byte aligned. */
export const emitStoreGadgets = (builder: ImageBuilder): void => {
  for (const [form, words] of Object.entries(STORE_GADGETS)) {
    builder.align(16, a64.NOP);
    builder.symbol(`numalab_store_${form}`, 'T');
    builder.emit(...words, a64.ret());
  }
};

/**
 * The copy loop of text patching: the widest aligned scalar stores, plain STR of X and then of W. X0 is the destination, X1
 * the source, X2 the byte count, a multiple of 4.
 */
export const emitCopyToKernelNofault = (builder: ImageBuilder): void => {
  builder.symbol('copy_to_kernel_nofault', 'T');
  builder.emit(
    a64.cmpImm(2, 8),
    a64.bCond(a64.CONDITIONS.indexOf('cc'), 24),
    a64.ldrPost(SIZE_DOUBLE, 3, 1, 8),
    a64.str(SIZE_DOUBLE, 3, 0),
    a64.addImm(0, 0, 8),
    a64.subImm(2, 2, 8),
    a64.b(-24),
    a64.cbz(2, 24),
    a64.ldrPost(SIZE_WORD, 3, 1, 4),
    a64.str(SIZE_WORD, 3, 0),
    a64.addImm(0, 0, 4),
    a64.subImm(2, 2, 4),
    a64.b(-20),
    a64.movz(0, 0),
    a64.ret(),
  );
};
