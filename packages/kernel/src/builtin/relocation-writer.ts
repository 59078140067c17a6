import type { ImageBuilder } from './image-builder.ts';
import { linkAddress } from './kallsyms-writer.ts';

/** A relocated quad: its place and the offset that it points at; -1 for a slot that the build has emptied. */
export interface BuiltPointer {
  readonly slot: number;
  readonly target: number;
}

const R_AARCH64_RELATIVE = 0x403;
const R_AARCH64_GLOB_DAT = 0x401;

/** A RELA table: slots stay zero, values are addends. Like a linker's, it ends with records that are not RELATIVE. */
export const emitRela = (builder: ImageBuilder, pointers: readonly BuiltPointer[]): void => {
  for (const { slot, target } of pointers) {
    const place = linkAddress(slot);
    const value = target < 0 ? { lo: 0, hi: 0 } : linkAddress(target);
    builder.emit(place.lo, place.hi, R_AARCH64_RELATIVE, 0, value.lo, value.hi);
  }
  for (let i = 0; i < 3; i++) builder.emit(0, 0, 0, 0, 0, 0);
  const weak = linkAddress(pointers[0]!.slot);
  builder.emit(weak.lo, weak.hi, R_AARCH64_GLOB_DAT, 0x23, 0, 0);
};

/** A RELR table: slots hold their values; an address, then bitmaps of the 63 slots that follow. */
export const emitRelr = (builder: ImageBuilder, pointers: readonly BuiltPointer[]): void => {
  for (const { slot, target } of pointers) {
    const value = target < 0 ? { lo: 0, hi: 0 } : linkAddress(target);
    builder.patch(slot, value.lo);
    builder.patch(slot + 4, value.hi);
  }
  for (let i = 0; i < pointers.length; ) {
    const place = linkAddress(pointers[i]!.slot);
    builder.emit(place.lo, place.hi);
    let next = pointers[i++]!.slot + 8;
    while (i < pointers.length && pointers[i]!.slot < next + 8 * 63) {
      let [lo, hi] = [1, 0];
      for (; i < pointers.length && pointers[i]!.slot < next + 8 * 63; i++) {
        const bit = (pointers[i]!.slot - next) / 8 + 1;
        if (bit < 32) lo |= 1 << bit;
        else hi |= 1 << (bit - 32);
      }
      builder.emit(lo >>> 0, hi >>> 0);
      next += 8 * 63;
    }
  }
};
