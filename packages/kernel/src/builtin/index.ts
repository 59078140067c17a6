import { type KernelImage, readKernelImage } from '../image/index.ts';
import { type BuiltinShape, generateKernel } from './generate.ts';

export { type BuiltinShape, type GeneratedKernel, generateKernel } from './generate.ts';
export { BUILTIN_VERSION, LAYOUT as BUILTIN_LAYOUT } from './layout.ts';
export { STORE_GADGETS } from './store-gadgets.ts';

/**
 * The built-in kernel of a seed, read by the same reader as a real one, so that nothing need be downloaded. Its bytes, written
 * to a file, are an arm64 Image.
 */
export const buildBuiltinKernel = (seed: number, shape: Partial<BuiltinShape> = {}): KernelImage => ({
  ...readKernelImage(generateKernel(seed, shape).bytes, { name: 'builtin', decompress: {} }),
  format: 'builtin',
});
