import { describe, expect, it } from 'vitest';
import { buildBuiltinKernel } from '../builtin/index.ts';
import { formatKernelSummary, SITE_KIND_NAMES, siteKinds, summariseKernel } from './index.ts';

describe('the summary of a kernel', () => {
  const image = buildBuiltinKernel(1);
  const summary = summariseKernel(image);

  it('gives counts, regions and replicated ranges for each granule', () => {
    expect(summary).toMatchObject({
      format: 'builtin',
      textOffset: 0,
      imageSize: 0x4c_0000,
      pageSize: 4096,
      version: '6.12.0-numalab',
      symbols: image.kallsyms!.count,
      jumpLabels: image.jumpEntries.count,
      alternatives: image.alternatives.count,
      ftraceSites: image.ftraceSites.length + 3,
      ftraceEmptySlots: 3,
    });
    expect(summary.replicated['4K']).toEqual([
      { start: 0x1_0000, end: 0x11_d000 },
      { start: 0x13_4000, end: 0x40_8000 },
    ]);
    expect(summary.notReplicated['64K'].map((range) => range.kind)).toEqual(['shared', 'hole', 'shared']);
  });

  it('survives JSON unchanged', () => {
    expect(JSON.parse(JSON.stringify(summary))).toEqual(summary);
  });

  it('gives null and a reason for what is not known', () => {
    const bare = summariseKernel(buildBuiltinKernel(1, { kallsyms: 'none' }));
    expect(bare).toMatchObject({ symbols: null, jumpLabels: summary.jumpLabels, replicated: { '4K': null } });
    expect(bare.regions.text).toBeNull();
    expect(bare.unknown).toMatchObject({
      symbols: 'the Image has no kallsyms token table',
      'regions.text': 'the kernel has no symbols',
      replicated: 'the bounds of text are unknown',
    });
  });

  it('is printed with every region and range', () => {
    const lines = formatKernelSummary(summary, 'k.img');
    expect(lines[0]).toBe('k.img: arm64 kernel 6.12.0-numalab (builtin)');
    expect(lines).toContain('  text            0x00010000  0x00140000    1.19 MiB');
    expect(lines.some((line) => line.startsWith('  shared') && line.includes("EL2's own text"))).toBe(true);
    expect(formatKernelSummary(summariseKernel(buildBuiltinKernel(1, { kallsyms: 'none' })), 'k').join('\n')).toContain(
      'text            unknown: the kernel has no symbols',
    );
  });
});

describe('site kinds', () => {
  const image = buildBuiltinKernel(2);
  const kinds = siteKinds(image);
  const nameOf = (offset: number): string => SITE_KIND_NAMES[kinds[offset / 4]!]!;

  it('name what each word may be patched for', () => {
    expect(nameOf(image.ftraceSites[5]!)).toBe('ftrace');
    expect(nameOf(image.ftraceSites[5]! + 4)).toBe('ftrace+4');
    expect(nameOf(image.ftraceLiterals[5]! + 4)).toBe('ftrace-literal');
    expect(nameOf(image.jumpEntries.code[5]!)).toBe('jump');
    const plain = image.alternatives.callback.indexOf(0);
    expect(nameOf(image.alternatives.orig[plain]!)).toBe('alt');
    const callback = image.alternatives.callback.indexOf(1);
    expect(nameOf(image.alternatives.orig[callback]!)).toBe('alt_cb');
    expect(nameOf(image.relocations.slots[5]!)).toBe('rela');
    expect(nameOf(image.symbols.find('numalab_store_str_w'))).toBe('other');
  });
});
