import { GRANULES } from '@numalab/machine';
import type { Write } from '@numalab/protocols';
import type { MachineSpec } from './spec.ts';

/** Every word that differs from the image, after all writes up to `upTo`: columns of equal length. */
export interface Resync {
  readonly upTo: number;
  /** Offsets from `_text` in words. */
  readonly words: readonly number[];
  readonly values: readonly number[];
  readonly numbers: readonly number[];
}

/** A page that is not what image and journal say: its words that were written, as they were after the highest number in it. */
export interface PageRepair extends Omit<Resync, 'upTo'> {
  readonly page: number;
}

/** What EL2s say to each other above the session layer. */
export type Wire =
  /** For the other side's half. */
  | { readonly kind: 'tell'; readonly body: unknown }
  /** The same, and the node says when it has been handled. */
  | { readonly kind: 'ask'; readonly ask: number; readonly body: unknown }
  | { readonly kind: 'answer'; readonly ask: number }
  /** A node has nothing left of what it was told, in its `epoch`th life; what it says next is the first of it. */
  | { readonly kind: 'join'; readonly epoch: number }
  /** What such a node must hold before its cores may go on, and its answer. */
  | { readonly kind: 'resync'; readonly resync: Resync }
  | { readonly kind: 'resynced'; readonly upTo: number }
  /** Its cores may go on. */
  | { readonly kind: 'start' }
  /** What a node's copy of some pages is like, and up to which write each is; of the node's `scrub`th beginning. */
  | {
      readonly kind: 'hashes';
      readonly scrub: number;
      readonly pages: readonly number[];
      readonly hashes: readonly number[];
      readonly numbers: readonly number[];
    }
  /** They are as they should be, but for these. */
  | { readonly kind: 'hashed'; readonly scrub: number; readonly repairs: readonly PageRepair[] }
  /** To be passed on to nodes of the receiver's socket, which may be one of them. */
  | { readonly kind: 'relay'; readonly to: readonly number[]; readonly wire: Wire };

/** The stage-2 granules that a write touches, counted from the one with `_text`. */
export const pagesOfWrite = (spec: MachineSpec, { word, words }: Pick<Write, 'word' | 'words'>): readonly number[] => {
  const { bytes } = GRANULES[spec.granule];
  const first = Math.floor((word * 4) / bytes);
  const last = Math.floor(((word + words.length) * 4 - 1) / bytes);
  return first === last ? [first] : Array.from({ length: last - first + 1 }, (_, i) => first + i);
};
