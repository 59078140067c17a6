import { statSync } from 'node:fs';
import { buildBuiltinKernel, type KernelImage, readKernelImage } from '@numalab/kernel';
import { DECOMPRESSORS } from '../commands/kernel.ts';
import { displayPath, readInputFile } from '../scenario/files.ts';
import type { KernelScenario } from '../scenario/scenario.ts';
import { shareArray } from './shared-array.ts';

/** The built-in image is generated from this and never from the run's seed, so that all runs have the same kernel. */
export const BUILTIN_KERNEL_SEED = 1;

/** Images read so far. Few, because they are large: a campaign has one kernel. */
const MAX_KEPT = 2;
const kept = new Map<string, KernelImage>();

const readImage = ({ image, map }: KernelScenario): KernelImage => {
  if (image === 'builtin') return buildBuiltinKernel(BUILTIN_KERNEL_SEED);
  return readKernelImage(readInputFile(image), {
    name: displayPath(image),
    decompress: DECOMPRESSORS,
    ...(map === null ? {} : { map: new TextDecoder().decode(readInputFile(map)), mapName: displayPath(map) }),
  });
};

const stamp = (path: string | null): string => {
  const status = path === null ? undefined : statSync(path, { throwIfNoEntry: false });
  return status === undefined ? '' : `${status.size} ${status.mtimeMs}`;
};

/**
 * The kernel that a scenario names, its words and functions in shared memory. Kept for this process as long as the file does
 * not change. Throws InputError.
 */
export const loadKernel = (kernel: KernelScenario): KernelImage => {
  const { image, map } = kernel;
  const key = image === 'builtin' ? image : JSON.stringify([image, stamp(image), map, stamp(map)]);
  const known = kept.get(key);
  if (known !== undefined) return known;
  const read = readImage(kernel);
  const loaded = { ...read, words: shareArray(read.words), functions: shareArray(read.functions) };
  if (kept.size >= MAX_KEPT) kept.delete(kept.keys().next().value!);
  kept.set(key, loaded);
  return loaded;
};
