import { InputError } from '@numalab/base';
import { stringAt, u32At } from './bytes.ts';
import { type ElfKernel, isElf, readElf } from './elf.ts';
import { HEADER_BYTES, hasImageMagic } from './header.ts';
import type { KernelFormat } from './kernel-image.ts';

/** Unpacks one whole compressed stream; throws on corrupt data. Bytes after the stream are to be ignored. */
export type Inflate = (data: Uint8Array) => Uint8Array;

/** What can be unpacked. Pure code has no decompressor of its own; whoever reads files brings them along. */
export interface Decompressors {
  readonly gzip?: Inflate;
  readonly zstd?: Inflate;
  readonly xz?: Inflate;
  readonly lz4?: Inflate;
  readonly lzma?: Inflate;
  readonly lzo?: Inflate;
}

/** A kernel out of its wrapping. */
export interface UnpackedKernel {
  readonly format: KernelFormat;
  readonly bytes: Uint8Array;
  readonly elf: ElfKernel | null;
}

const MZ = 0x5a4d;
const ZIMG = 0x676d_697a;
const METHODS = ['gzip', 'zstd', 'xz', 'lz4', 'lzma', 'lzo'] as const;

const isGzip = (bytes: Uint8Array): boolean => bytes.length >= 18 && bytes[0] === 0x1f && bytes[1] === 0x8b;

const isZboot = (bytes: Uint8Array): boolean =>
  bytes.length >= HEADER_BYTES && (u32At(bytes, 0) & 0xffff) === MZ && u32At(bytes, 4) === ZIMG;

const unpack = (
  method: (typeof METHODS)[number],
  data: Uint8Array,
  decompress: Decompressors,
  name: string,
): Uint8Array => {
  const inflate = decompress[method];
  if (inflate === undefined)
    throw new InputError(name, `is packed with ${method}, which is not supported; unpack it first`);
  try {
    return inflate(data);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message.split('\n', 1)[0]! : String(cause);
    throw new InputError(name, `truncated or corrupt ${method} data: ${reason}`);
  }
};

/**
 * The payload of an EFI zboot image: `zimg` at 4, offset and size of the compressed Image at 8 and 12, the name of the
 * method at 0x18. The method's name may carry a level (`zstd22`) or a variant (`xzkern`).
 */
const unpackZboot = (bytes: Uint8Array, decompress: Decompressors, name: string): Uint8Array => {
  const offset = u32At(bytes, 8);
  const size = u32At(bytes, 12);
  const word = stringAt(bytes, 0x18, 32);
  const method = METHODS.find((candidate) => word.startsWith(candidate));
  if (method === undefined)
    throw new InputError(name, `corrupt zboot header: unknown compression '${printable(word)}'`);
  if (offset < HEADER_BYTES || size === 0) throw new InputError(name, 'corrupt zboot header: its payload is empty');
  if (offset + size > bytes.length) {
    throw new InputError(name, `truncated: ${bytes.length} bytes, but the zboot payload ends at ${offset + size}`);
  }
  return unpack(method, bytes.subarray(offset, offset + size), decompress, name);
};

const printable = (text: string): string => text.replace(/[^\x20-\x7e]/g, '?').slice(0, 32);

const describeStranger = (bytes: Uint8Array): string => {
  if (bytes.length > 0x206 && u32At(bytes, 0x202) === 0x5372_6448) return 'is an x86 bzImage, not an arm64 kernel';
  const magic = u32At(bytes, 0x38).toString(16).padStart(8, '0');
  return `is not an arm64 kernel: no Image magic at 0x38 (found 0x${magic}), no gzip, zboot or ELF header`;
};

/**
 * Recognises a raw arm64 Image, one packed with gzip or as an EFI zboot program, and a vmlinux ELF file (packed or not), and
 * gives the bytes from `_text`. Throws {@link InputError} for anything else.
 */
export const unpackKernel = (file: Uint8Array, decompress: Decompressors, name: string): UnpackedKernel => {
  let bytes = file;
  let format: KernelFormat = 'raw';
  // One layer is the rule; a gzip file around a zboot image occurs. More is not a kernel.
  for (let depth = 0; depth < 3; depth++) {
    if (isElf(bytes)) {
      const elf = readElf(bytes, name);
      return { format: 'elf', bytes: elf.bytes, elf };
    }
    if (isGzip(bytes)) {
      bytes = unpack('gzip', bytes, decompress, name);
      if (format === 'raw') format = 'gzip';
    } else if (isZboot(bytes)) {
      bytes = unpackZboot(bytes, decompress, name);
      if (format === 'raw') format = 'zboot';
    } else if (hasImageMagic(bytes)) {
      return { format, bytes, elf: null };
    } else break;
  }
  if (bytes.length < HEADER_BYTES) {
    throw new InputError(name, `truncated: ${bytes.length} bytes, less than an Image header (${HEADER_BYTES})`);
  }
  throw new InputError(name, describeStranger(bytes));
};
