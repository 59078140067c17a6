import { basename } from 'node:path';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { type Decompressors, formatKernelSummary, readKernelImage, summariseKernel } from '@numalab/kernel';
import { displayPath, readInputFile } from '../scenario/files.ts';
import { type CommandContext, EXIT_PASS } from './context.ts';
import { wrap } from './text.ts';

/** Where lines go on that are too long for the terminal. */
const NOTE_COLUMN = 18;
const MAX_UNPACKED = { maxOutputLength: 2 ** 30 };

/** What Node can unpack. */
export const DECOMPRESSORS: Decompressors = {
  gzip: (data) => gunzipSync(data, MAX_UNPACKED),
  zstd: (data) => zstdDecompressSync(data, MAX_UNPACKED),
};

/** `kernel IMAGE`: what is in an arm64 Image. Returns the exit code; throws InputError. */
export const kernelCommand = (
  image: string,
  options: { readonly map?: string; readonly json: boolean },
  context: CommandContext,
): number => {
  const bytes = readInputFile(image);
  const map = options.map === undefined ? undefined : new TextDecoder().decode(readInputFile(options.map));
  const kernel = readKernelImage(bytes, {
    name: displayPath(image),
    decompress: DECOMPRESSORS,
    ...(map === undefined || options.map === undefined ? {} : { map, mapName: displayPath(options.map) }),
  });
  const summary = summariseKernel(kernel);
  if (options.json) context.printJson(summary);
  else {
    const lines = formatKernelSummary(summary, basename(image));
    context.print(...lines.flatMap((line) => wrap(line, context.columns, ' '.repeat(NOTE_COLUMN))));
  }
  return EXIT_PASS;
};
