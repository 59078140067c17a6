import { InputError, Random } from '@numalab/base';
import { describe, expect, it } from 'vitest';
import { generateKernel } from '../builtin/index.ts';
import { type Decompressors, type KernelImage, readKernelImage } from './index.ts';
import type { ReadOptions } from './read.ts';

const kernel = generateKernel(3);
const { bytes } = kernel;
const LINK = 0xffff_8000_8000_0000n;

const read = (file: Uint8Array, options: Partial<ReadOptions> = {}): KernelImage =>
  readKernelImage(file, { name: 'k.img', decompress: {}, ...options });

const changed = (change: (view: DataView) => void): Uint8Array => {
  const copy = bytes.slice();
  change(new DataView(copy.buffer));
  return copy;
};

const expectRefusal = (file: Uint8Array, what: RegExp, options: Partial<ReadOptions> = {}): void => {
  let message = '';
  try {
    read(file, options);
  } catch (error) {
    expect(error).toBeInstanceOf(InputError);
    message = (error as InputError).message;
  }
  expect(message).toMatch(what);
  expect(message).not.toContain('\n');
};

/** Quicker than toEqual on 5 MB. */
const isKernel = (found: Uint8Array): boolean =>
  found.length === bytes.length && found.every((byte, i) => byte === bytes[i]);

const systemMap = (shift = 0): string =>
  kernel.symbols
    .map(
      ({ offset, type, name }) =>
        `${(LINK + BigInt(offset + (name === '_text' ? 0 : shift))).toString(16)} ${type} ${name}\n`,
    )
    .join('');

describe('bad input is refused in one line', () => {
  it.each([
    ['an empty file', 0, /^k\.img: truncated: 0 bytes, less than an Image header/],
    ['half a header', 40, /^k\.img: truncated: 40 bytes/],
    ['a cut PE header', 64, /^k\.img: truncated: 64 bytes, inside the PE header/],
    ['a cut PE section table', 0x100, /^k\.img: truncated: 256 bytes, inside the PE section table/],
    [
      'a file one byte short',
      bytes.length - 1,
      /^k\.img: truncated: 4915711 bytes, but its PE header asks for 4915712/,
    ],
  ])('%s', (_, length, what) => {
    expectRefusal(bytes.subarray(0, length), what);
  });

  it.each([
    ['a wrong magic', 0x38, 0x1234_5678, /is not an arm64 kernel: no Image magic at 0x38 \(found 0x12345678\)/],
    ['a big-endian kernel', 0x18, 0x0b, /is a big-endian kernel/],
    ['a reserved field in use', 0x20, 1, /corrupt Image header: reserved field res2 is not zero/],
    ['an image_size below the file', 0x10, 0x1000, /corrupt Image header: image_size 4096 is less than/],
    ['an absurd image_size', 0x14, 0x7fff, /corrupt Image header: image_size is/],
    ['an unaligned text_offset', 0x08, 0x123, /corrupt Image header: text_offset is 291/],
    ['a missing PE header', 0x40, 0, /corrupt Image header: no PE header at 64/],
    ['another machine', 0x44, 0x0002_8664, /is not an arm64 kernel: its PE machine is 0x8664/],
  ])('%s', (_, at, word, what) => {
    expectRefusal(
      changed((view) => view.setUint32(at, word, true)),
      what,
    );
  });

  it('random bytes', () => {
    expectRefusal(
      Uint8Array.from({ length: 4096 }, (_, i) => (i * 97 + 13) & 0xff),
      /is not an arm64 kernel/,
    );
  });
});

/** Stands for a decompressor: the stream is 18 bytes of header and then the data. */
const fake = (data: Uint8Array): Uint8Array => {
  if (data.length < 1000) throw new Error('unexpected end of file\nstack');
  return data.slice(18);
};
const packed = (magic: number[], payload: Uint8Array): Uint8Array => {
  const file = new Uint8Array(18 + payload.length);
  file.set(magic);
  file.set(payload, 18);
  return file;
};
const zboot = (method: string, payload: Uint8Array): Uint8Array => {
  const file = new Uint8Array(0x1000 + payload.length);
  const view = new DataView(file.buffer);
  view.setUint32(0, 0x5a4d, true);
  view.setUint32(4, 0x676d_697a, true);
  view.setUint32(8, 0x1000, true);
  view.setUint32(12, payload.length, true);
  file.set(
    Array.from(method, (char) => char.charCodeAt(0)),
    0x18,
  );
  file.set(payload, 0x1000);
  return file;
};
const all: Decompressors = { gzip: fake, zstd: fake };

describe('damaged kernels', () => {
  it('are read or refused, but never crash the reader', () => {
    const random = new Random(1, 'damage');
    const { kallsyms } = read(bytes);
    for (let run = 0; run < 40; run++) {
      const copy = bytes.slice();
      const places = [
        0,
        kallsyms!.names,
        kallsyms!.markers,
        kallsyms!.tokenTable,
        kallsyms!.tokenIndex,
        kallsyms!.offsets,
      ];
      for (let i = 0; i < 8; i++) copy[places[random.below(places.length)]! + random.below(600)] = random.next() & 0xff;
      try {
        const image = read(copy);
        expect(image.symbols.types.length).toBe(image.symbols.names.length);
      } catch (error) {
        expect(error).toBeInstanceOf(InputError);
      }
    }
  });

  it('are refused if the end is missing and only a symbol tells', () => {
    const noPe = changed((view) => view.setUint32(0x3c, 0, true));
    expect(read(noPe).jumpEntries.count).toBe(kernel.jumps.length);
    expectRefusal(
      noPe.subarray(0, bytes.length - 512),
      /truncated: 4915200 bytes, but its symbol _edata is at 4915712/,
    );
  });
});

describe('packed kernels', () => {
  it('are unpacked from gzip', () => {
    const image = read(packed([0x1f, 0x8b], bytes), { decompress: all });
    expect(image.format).toBe('gzip');
    expect(isKernel(image.bytes)).toBe(true);
  });

  it.each(['gzip', 'zstd22'])('are unpacked from zboot with %s', (method) => {
    const image = read(zboot(method, packed([], bytes)), { decompress: all });
    expect(image.format).toBe('zboot');
    expect(isKernel(image.bytes)).toBe(true);
  });

  it('are refused if corrupt, cut off or packed in an unknown way', () => {
    expectRefusal(
      packed([0x1f, 0x8b], bytes.subarray(0, 100)),
      /truncated or corrupt gzip data: unexpected end of file$/,
      {
        decompress: all,
      },
    );
    expectRefusal(packed([0x1f, 0x8b], bytes), /is packed with gzip, which is not supported/);
    expectRefusal(zboot('lz4', bytes), /is packed with lz4, which is not supported/, { decompress: all });
    expectRefusal(zboot('rot13', bytes), /corrupt zboot header: unknown compression 'rot13'/, { decompress: all });
    expectRefusal(zboot('gzip', bytes).subarray(0, 0x2000), /truncated: 8192 bytes, but the zboot payload ends/, {
      decompress: all,
    });
    expectRefusal(packed([0x1f, 0x8b], new Uint8Array(2000)), /is not an arm64 kernel/, { decompress: all });
  });
});

describe('a raw Image', () => {
  it('is cut where its PE header says, so that an appended signature is no part of it', () => {
    const signed = new Uint8Array(bytes.length + 1000).fill(0xaa);
    signed.set(bytes);
    expect(isKernel(read(signed).bytes)).toBe(true);
  });

  it('is read from an unaligned part of a buffer', () => {
    const shifted = new Uint8Array(bytes.length + 3);
    shifted.set(bytes, 3);
    expect(read(shifted.subarray(3)).jumpEntries.count).toBe(kernel.jumps.length);
  });

  it('keeps its tables when kallsyms is corrupt, and says what is missing', () => {
    const names = read(bytes).kallsyms!.names;
    const image = read(changed((view) => view.setUint8(names, 0x7f)));
    expect(image.symbols.count).toBe(0);
    expect(image.unknown.symbols).toBe('the kallsyms names do not fit their markers');
    expect(image.unknown['regions.text']).toBe('the kernel has no symbols');
    expect(image.jumpEntries.count).toBe(kernel.jumps.length);
    expect(image.alternatives.count).toBe(kernel.alternatives.length);
    expect(image.ftraceSites.length).toBe(kernel.sites.length);
  });

  it('has no jump table if a record between its bounds is broken', () => {
    const { table } = read(bytes).jumpEntries;
    const image = read(changed((view) => view.setUint32(table + 16, 3, true)));
    expect(image.jumpEntries.count).toBe(0);
    expect(image.unknown.jumpLabels).toMatch(/^record 1 of \d+ between the table's symbols is not valid$/);
  });
});

describe('System.map', () => {
  it('replaces the symbols of the image', () => {
    const bare = generateKernel(3, { allSymbols: false });
    const image = read(bare.bytes, { map: systemMap() });
    expect(image.symbols.count).toBe(kernel.symbols.length);
    expect(image.kallsyms!.count).toBe(bare.kept.length);
    expect(image.regions).toEqual(read(bytes).regions);
    expect(image.unknown).toEqual({});
  });

  it('of another build is refused', () => {
    expectRefusal(
      bytes,
      /^my\.map: does not belong to this kernel: it has \S+ at _text\+0x10008, the Image has it at/,
      {
        map: systemMap(8),
        mapName: 'my.map',
      },
    );
  });

  it('that is a stub, has a broken line or no _text is refused', () => {
    expectRefusal(bytes, /^System\.map: is a stub/, {
      map: 'ffffffffffffffff B The real System.map is in the x package\n',
    });
    expectRefusal(bytes, /^System\.map:2: not a System\.map line/, { map: 'ffff800080000000 T _text\nhello\n' });
    expectRefusal(bytes, /^System\.map: no symbol _text/, { map: 'ffff800080010000 T _stext\n' });
  });
});

/** A vmlinux with one segment for each part, at file offsets that differ from their addresses. */
const elf = (parts: [number, number][], withSymbols: boolean): Uint8Array => {
  const names = kernel.symbols.map((symbol) => symbol.name);
  const strings = Uint8Array.from(`\0${names.join('\0')}\0`, (char) => char.charCodeAt(0));
  const symbolBytes = 24 * (kernel.symbols.length + 1);
  const dataAt = 0x1000;
  const size = parts.reduce((sum, [start, end]) => sum + end - start + 0x100, dataAt);
  const file = new Uint8Array(size + symbolBytes + strings.length + 3 * 64);
  const view = new DataView(file.buffer);
  const quad = (at: number, value: number | bigint): void => view.setBigUint64(at, BigInt(value), true);
  view.setUint32(0, 0x464c_457f, true);
  file.set([2, 1, 1], 4);
  view.setUint16(16, 3, true);
  view.setUint16(18, 183, true);
  quad(0x20, 64);
  view.setUint16(0x36, 56, true);
  view.setUint16(0x38, parts.length, true);
  let at = dataAt;
  parts.forEach(([start, end], i) => {
    const header = 64 + 56 * i;
    view.setUint32(header, 1, true);
    quad(header + 8, at);
    quad(header + 16, LINK + BigInt(start));
    quad(header + 32, end - start);
    quad(header + 40, end - start + 0x1000);
    file.set(bytes.subarray(start, end), at);
    at += end - start + 0x100;
  });
  if (!withSymbols) return file;
  const [symbolsAt, stringsAt, sectionsAt] = [size, size + symbolBytes, size + symbolBytes + strings.length];
  file.set(strings, stringsAt);
  let name = 1;
  kernel.symbols.forEach((symbol, i) => {
    const row = symbolsAt + 24 * (i + 1);
    view.setUint32(row, name, true);
    file[row + 4] = 0x10;
    view.setUint16(row + 6, 1, true);
    quad(row + 8, LINK + BigInt(symbol.offset));
    name += symbol.name.length + 1;
  });
  quad(0x28, sectionsAt);
  view.setUint16(0x3a, 64, true);
  view.setUint16(0x3c, 3, true);
  const section = (index: number, type: number, flags: number, offset: number, length: number, link: number): void => {
    const row = sectionsAt + 64 * index;
    view.setUint32(row + 4, type, true);
    quad(row + 8, flags);
    quad(row + 24, offset);
    quad(row + 32, length);
    view.setUint32(row + 40, link, true);
  };
  section(0, 2, 0, symbolsAt, symbolBytes, 2);
  section(1, 1, 6, dataAt, 0x1000, 0);
  section(2, 3, 0, stringsAt, strings.length, 0);
  return file;
};

describe('a vmlinux', () => {
  const parts: [number, number][] = [
    [0, 0x14_0000],
    [0x14_0000, bytes.length],
  ];

  it('is laid out from _text, in whatever order its segments come', () => {
    const image = read(elf([parts[1]!, parts[0]!], true));
    expect(image.format).toBe('elf');
    expect(isKernel(image.bytes)).toBe(true);
    expect(image.linkVa).toBe(read(bytes).linkVa);
    expect(image.regions).toEqual(read(bytes).regions);
    expect(image.jumpEntries).toEqual(read(bytes).jumpEntries);
  });

  it('is read without a symbol table', () => {
    const image = read(elf(parts, false));
    expect(image.symbols.count).toBe(kernel.kept.length);
    expect(image.ftrace).toEqual(read(bytes).ftrace);
  });

  it('is refused if it is cut off, of another machine or not little-endian', () => {
    const file = elf(parts, true);
    expectRefusal(file.subarray(0, 50), /truncated: 50 bytes, inside the ELF header/);
    expectRefusal(file.subarray(0, 0x2000), /truncated: 8192 bytes, but a segment ends at/);
    const other = (at: number, value: number): Uint8Array => {
      const copy = file.slice();
      copy[at] = value;
      return copy;
    };
    expectRefusal(other(18, 62), /is not an arm64 kernel: its ELF machine is 62/);
    expectRefusal(other(5, 2), /is a big-endian ELF file/);
    expectRefusal(other(4, 1), /is a 32-bit ELF file/);
    expectRefusal(other(0x38, 0), /without a loadable segment/);
    expectRefusal(other(0x1000 + 0x38, 0), /is an arm64 ELF file but no kernel/);
  });
});
