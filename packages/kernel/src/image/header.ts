import { alignUp, InputError } from '@numalab/base';
import { stringAt, u16At, u32At, u64At } from './bytes.ts';
import type { ImageHeader } from './kernel-image.ts';

/** `ARM\x64`, at 0x38. */
export const IMAGE_MAGIC = 0x644d_5241;
/** Bytes of the header. */
export const HEADER_BYTES = 64;
const PE_SIGNATURE = 0x0000_4550;
const PE_MACHINE_ARM64 = 0xaa64;
/** Offsets are kept in int32 columns; no kernel comes near. */
const SIZE_LIMIT = 0x4000_0000;

/** Whether the bytes start like a raw arm64 Image. */
export const hasImageMagic = (bytes: Uint8Array): boolean =>
  bytes.length >= HEADER_BYTES && u32At(bytes, 0x38) === IMAGE_MAGIC;

const PAGE_SIZES = [null, 4096, 16384, 65536] as const;

/**
 * Decodes the header of a raw Image (booting.rst). Throws {@link InputError} if it is big-endian or contradicts itself.
 */
export const readHeader = (bytes: Uint8Array, name: string): ImageHeader => {
  const flags = u32At(bytes, 0x18);
  if ((flags & 1) !== 0) throw new InputError(name, 'is a big-endian kernel; only little-endian ones are supported');
  for (const [field, offset] of [
    ['flags[63:32]', 0x1c],
    ['res2', 0x20],
    ['res3', 0x28],
    ['res4', 0x30],
  ] as const) {
    const isZero = u32At(bytes, offset) === 0 && (offset === 0x1c || u32At(bytes, offset + 4) === 0);
    if (!isZero) throw new InputError(name, `corrupt Image header: reserved field ${field} is not zero`);
  }
  const textOffset = u64At(bytes, 0x08);
  const imageSize = u64At(bytes, 0x10);
  if (imageSize >= SIZE_LIMIT) throw new InputError(name, `corrupt Image header: image_size is ${imageSize} bytes`);
  if (textOffset >= 0x20_0000 || textOffset % 4096 !== 0) {
    throw new InputError(name, `corrupt Image header: text_offset is ${textOffset}`);
  }
  const pageSize = PAGE_SIZES[(flags >>> 1) & 3]!;
  return { textOffset, imageSize, flags, pageSize, placeAnywhere: (flags & 8) !== 0 };
};

/** A section of the PE header that the EFI stub carries. */
export interface PeSection {
  readonly name: string;
  readonly address: number;
  readonly virtualSize: number;
  readonly rawSize: number;
}

/**
 * The sections of the PE header that word 0x3c names; empty if the kernel has no EFI stub. They tell exactly where the
 * file must end, which the Image header does not. Throws {@link InputError} if the header is cut off or of another machine.
 */
export const readPeSections = (bytes: Uint8Array, name: string): PeSection[] => {
  const pe = u32At(bytes, 0x3c);
  if (pe === 0) return [];
  if (pe + 24 > bytes.length) throw new InputError(name, `truncated: ${bytes.length} bytes, inside the PE header`);
  if (u32At(bytes, pe) !== PE_SIGNATURE) throw new InputError(name, `corrupt Image header: no PE header at ${pe}`);
  const machine = u16At(bytes, pe + 4);
  if (machine !== PE_MACHINE_ARM64) {
    throw new InputError(name, `is not an arm64 kernel: its PE machine is 0x${machine.toString(16)}`);
  }
  const count = u16At(bytes, pe + 6);
  const table = pe + 24 + u16At(bytes, pe + 20);
  if (table + 40 * count > bytes.length) {
    throw new InputError(name, `truncated: ${bytes.length} bytes, inside the PE section table`);
  }
  return Array.from({ length: count }, (_, i) => ({
    name: stringAt(bytes, table + 40 * i, 8),
    virtualSize: u32At(bytes, table + 40 * i + 8),
    address: u32At(bytes, table + 40 * i + 12),
    rawSize: u32At(bytes, table + 40 * i + 16),
  }));
};

/**
 * The bytes of a raw Image without what was appended to it (a signature), checked to be complete. Throws
 * {@link InputError} if bytes are missing at the end.
 */
export const trimImage = (bytes: Uint8Array, header: ImageHeader, name: string): Uint8Array => {
  let end = 0;
  for (const section of readPeSections(bytes, name)) end = Math.max(end, section.address + section.rawSize);
  if (end === 0) end = bytes.length;
  if (bytes.length < end) {
    throw new InputError(name, `truncated: ${bytes.length} bytes, but its PE header asks for ${end}`);
  }
  if (header.imageSize !== 0 && alignUp(end, 4) > header.imageSize) {
    throw new InputError(
      name,
      `corrupt Image header: image_size ${header.imageSize} is less than the file's ${end} bytes`,
    );
  }
  return bytes.subarray(0, end);
};
