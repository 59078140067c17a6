import { a64 } from '@numalab/machine';
import { IMAGE_MAGIC } from '../image/header.ts';
import type { ImageBuilder } from './image-builder.ts';
import { LAYOUT } from './layout.ts';

/** "MZ" as the harmless instruction CCMP X18, #0, #0xd, PL, which the EFI stub's header begins with. */
const CODE0 = 0xfa40_5a4d;
const FLAG_4K = 1 << 1;
const FLAG_ANYWHERE = 1 << 3;
const PE_OFFSET = 0x40;
const OPTIONAL_HEADER_BYTES = 160;

const emitPeSection = (builder: ImageBuilder, name: string, address: number, end: number, rawEnd: number): void => {
  builder.emitBytes(Array.from(name.padEnd(8, '\0'), (char) => char.charCodeAt(0)));
  builder.emit(end - address, address, rawEnd - address, address, 0, 0, 0, 0x6000_0020);
};

/** The Image header (booting.rst) and the PE header of the EFI stub, which tells how long the file must be. */
export const emitImageHeader = (builder: ImageBuilder, entry: number): void => {
  builder.symbol('_text', 'T', 0);
  builder.at = 0;
  builder.emit(CODE0, a64.b(entry - 4), 0, 0, LAYOUT.end, 0, FLAG_4K | FLAG_ANYWHERE, 0);
  builder.emit(0, 0, 0, 0, 0, 0, IMAGE_MAGIC, PE_OFFSET);
  // COFF: signature, machine and section count, three unused words, optional header size and characteristics.
  builder.emit(0x4550, 0xaa64 | (2 << 16), 0, 0, 0, OPTIONAL_HEADER_BYTES | (0x0206 << 16));
  const optional = builder.at;
  builder.emit(0x020b, LAYOUT.initData - LAYOUT.stext, LAYOUT.end - LAYOUT.initData, 0, entry, LAYOUT.stext);
  // Image base, section and file alignment, versions, size of the image and of its headers.
  builder.emit(0, 0, 0x1_0000, 0x200, 0, 0, 0, 0, LAYOUT.end, LAYOUT.stext);
  builder.moveTo(optional + OPTIONAL_HEADER_BYTES);
  emitPeSection(builder, '.text', LAYOUT.stext, LAYOUT.initData, LAYOUT.initData);
  emitPeSection(builder, '.data', LAYOUT.initData, LAYOUT.end, LAYOUT.edata);
};
