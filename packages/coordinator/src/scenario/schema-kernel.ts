import { z } from 'zod';
import type { KernelInput } from './scenario-input.ts';
import { duration, flag, rate, size, text, whole } from './schema-parts.ts';

const MAX_COUNT = 1_000_000_000;

const common = {
  rate: rate().optional().describe('Writes per second; default 10k/s in sim (max for recorded), max in live'),
  at: duration().nullable().default(null).describe('Start at this time, once'),
  writes: whole(0, MAX_COUNT).nullable().default(null).describe('End after so many writes'),
  cpus: z.array(whole(0, 8191)).min(1).nullable().default(null).describe('vCPUs it runs on; default: all, in turn'),
  only: z
    .array(whole(0, MAX_COUNT))
    .nullable()
    .default(null)
    .describe('Which of its actions it performs, from 0 (of recorded: rows of the trace); default: all'),
};

const count = (of: string) => whole(1, MAX_COUNT).nullable().default(null).describe(`How many ${of}; default: all`);
const batch = whole(1, 65_536).default(256).describe('Sites patched between two kicks at most');

const writer = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('jump-label').describe('static keys'), ...common, keys: count('keys'), batch }),
  z.strictObject({
    kind: z.literal('ftrace').describe('function tracing switched on and off'),
    ...common,
    sites: count('sites'),
    batch,
    toggle: flag().default(true).describe('Switch off again after all sites are on, and so on'),
  }),
  z.strictObject({ kind: z.literal('ftrace-literal').describe('CALL_OPS literals'), ...common, sites: count('sites') }),
  z.strictObject({
    kind: z.literal('kprobe').describe('breakpoints, under stop_machine'),
    ...common,
    sites: count('sites'),
  }),
  z.strictObject({
    kind: z.literal('alternatives').describe('sequences of words, under stop_machine'),
    ...common,
    entries: count('entries'),
  }),
  z.strictObject({
    kind: z.literal('recorded').describe('an ordered trace of real stores'),
    ...common,
    file: text().describe('The trace: CSV, gzip or plain'),
    protectAt: whole(0, MAX_COUNT).default(0).describe('Rows before this one are applied at boot'),
    spread: flag().default(false).describe('Deal rows over all vCPUs, one in flight each'),
  }),
  z.strictObject({
    kind: z.literal('synthetic').describe('distinguishable values of any width'),
    ...common,
    width: z
      .union([z.literal([1, 2, 4, 8, 16]), z.literal('mixed')], { error: 'must be one of 1, 2, 4, 8, 16, mixed' })
      .default('mixed')
      .describe('Bytes per store'),
    forms: z
      .array(text())
      .default([])
      .describe('Store forms by name (str_w, stp_x, ldadd_w …); default: all of that width'),
    sites: whole(1, 1_000_000).default(64).describe('Places written to'),
    inFlight: whole(1, 8192).default(1).describe('Writes under way at a time'),
    straddle: z.enum(['nothing', 'line', 'page']).default('nothing').describe('Boundary that every store lies across'),
    sync: z.enum(['none', 'kick', 'stop-machine']).default('none').describe('Synchronisation after each write'),
  }),
]);

/** Schema of `kernel`. */
export const kernel: z.ZodType<KernelInput> = z
  .strictObject({
    image: text().default('builtin').describe('builtin, or the path of an arm64 Image or vmlinux'),
    map: text().nullable().default(null).describe('Path of a System.map'),
    writers: z
      .array(writer)
      .prefault([{ kind: 'jump-label' }, { kind: 'ftrace' }])
      .describe('What stores to kernel text at run time'),
    kaslrOffset: size({ min: 0, max: 2 ** 40, text: 'at most 1TiB' })
      .prefault('0B')
      .describe('How far the kernel’s virtual addresses are moved; a multiple of 2MiB'),
  })
  .prefault({})
  .describe('What is replicated, and who writes to it');
