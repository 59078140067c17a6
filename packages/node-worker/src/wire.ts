import { GRANULES } from '@numalab/machine';
import type { Write } from '@numalab/protocols';
import type { MachineSpec } from './spec.ts';

/** What EL2s say to each other above the session layer. */
export type Wire =
  /** For the other side's half. */
  | { readonly kind: 'tell'; readonly body: unknown }
  /** The same, and the node says when it has been handled. */
  | { readonly kind: 'ask'; readonly ask: number; readonly body: unknown }
  | { readonly kind: 'answer'; readonly ask: number }
  /** To be passed on to nodes of the receiver's socket, which may be one of them. */
  | { readonly kind: 'relay'; readonly to: readonly number[]; readonly wire: Wire };

/** The stage-2 granules that a write touches, counted from the one with `_text`. */
export const pagesOfWrite = (spec: MachineSpec, { word, words }: Write): readonly number[] => {
  const { bytes } = GRANULES[spec.granule];
  const first = Math.floor((word * 4) / bytes);
  const last = Math.floor(((word + words.length) * 4 - 1) / bytes);
  return first === last ? [first] : Array.from({ length: last - first + 1 }, (_, i) => first + i);
};
