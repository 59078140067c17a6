import { alignDown, alignUp } from '@numalab/base';
import type { KernelImage } from './kernel-image.ts';

/** Which part of the kernel is replicated. */
export type RangeMode = 'text' | 'text+rodata';

/**
 * A run of granules, as offsets from `_text`. `replica`: every node has its own copy; `hole`: wholly EL2's, mapped for no
 * host; `shared`: EL2's text shares the granule with kernel text, mapped to the primary on every node.
 */
export interface ReplicatedRange {
  readonly start: number;
  readonly end: number;
  readonly kind: 'replica' | 'hole' | 'shared';
  /** Why it is a hole or shared; for a replica, why it ends where it does, if that is not plain. */
  readonly reason?: string;
}

/** The least and the greatest multiple of `granule`, as IPA, inside a span; null if the span holds no whole granule. */
const inward = (start: number, end: number, granule: number, bias: number): { start: number; end: number } | null => {
  const low = alignUp(start + bias, granule) - bias;
  const high = alignDown(end + bias, granule) - bias;
  return low < high ? { start: low, end: high } : null;
};

interface Bounds {
  readonly start: number;
  readonly end: number;
  readonly reason: string | undefined;
}

/** The parts of text and rodata to replicate, in order, adjacent ones joined. */
const wantedSpans = (image: KernelImage, mode: RangeMode, granule: number, bias: number): Bounds[] => {
  const { regions, constantRodataEnd, derived, unknown } = image;
  const { text } = regions;
  if (text === null) return [];
  const rodataStart = regions.rodata?.start ?? text.end;
  const spans: Bounds[] = [];
  if (mode === 'text+rodata' && constantRodataEnd !== null) {
    // What follows is written until boot ends (ro_after_init, the jump table) or at run time (swapper_pg_dir).
    const reason = derived.constantRodataEnd ?? 'rodata up to __start_ro_after_init, rounded down to a granule';
    if (rodataStart === text.end) spans.push({ start: text.start, end: constantRodataEnd, reason });
    else {
      spans.push({ start: text.start, end: text.end, reason: undefined });
      spans.push({ start: rodataStart, end: constantRodataEnd, reason });
    }
  } else {
    const why = mode === 'text' ? undefined : `rodata is not replicated: ${unknown.constantRodataEnd ?? 'unknown end'}`;
    spans.push({ start: text.start, end: text.end, reason: why });
  }
  return spans.flatMap((span) => {
    const whole = inward(span.start, span.end, granule, bias);
    return whole === null ? [] : [{ ...whole, reason: span.reason }];
  });
};

/** Cuts EL2's own text out of one span. */
const cutEl2 = (
  span: Bounds,
  el2: { start: number; end: number } | null,
  granule: number,
  bias: number,
): ReplicatedRange[] => {
  const replica = (start: number, end: number, reason: string | undefined): ReplicatedRange =>
    reason === undefined ? { start, end, kind: 'replica' } : { start, end, kind: 'replica', reason };
  if (el2 === null || el2.start === el2.end || el2.end <= span.start || el2.start >= span.end) {
    return [replica(span.start, span.end, span.reason)];
  }
  const outer = {
    start: Math.max(span.start, alignDown(el2.start + bias, granule) - bias),
    end: Math.min(span.end, alignUp(el2.end + bias, granule) - bias),
  };
  const hole = inward(el2.start, el2.end, granule, bias) ?? { start: outer.end, end: outer.end };
  const shared = "EL2's own text and kernel text share these granules: mapped to the primary on every node";
  const all: ReplicatedRange[] = [
    replica(span.start, outer.start, "ends at EL2's own text"),
    { start: outer.start, end: hole.start, kind: 'shared', reason: shared },
    { start: hole.start, end: hole.end, kind: 'hole', reason: "EL2's own text" },
    { start: hole.end, end: outer.end, kind: 'shared', reason: shared },
    replica(outer.end, span.end, span.reason),
  ];
  return all.filter((range) => range.start < range.end);
};

/**
 * What is replicated of a kernel, in whole granules of stage 2: text minus EL2's own text, and with `text+rodata` rodata up
 * to ro_after_init. Ranges are sorted and do not overlap; a range of text or rodata that fills no whole granule is left
 * out. `granule` is in bytes. `loadIpa` is the IPA of `_text`; only its remainder modulo the granule matters. Empty if the
 * bounds of text are unknown.
 */
export const replicatedRanges = (
  image: KernelImage,
  granule: number,
  mode: RangeMode,
  loadIpa = 0,
): readonly ReplicatedRange[] => {
  const bias = loadIpa % granule;
  return wantedSpans(image, mode, granule, bias).flatMap((span) => cutEl2(span, image.el2Text, granule, bias));
};
