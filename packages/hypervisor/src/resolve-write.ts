import { EmulatedStore, OPERATION_STORE, resolveOperation } from '@numalab/machine';
import type { Submission } from '@numalab/node-worker';
import type { Order } from './order.ts';

/** A submission as whole words, and the bytes that were there before. */
export interface ResolvedWrite {
  readonly word: number;
  readonly words: readonly number[];
  readonly old: readonly number[];
  /** False for a CAS that compared unequal: nothing is written. */
  readonly writes: boolean;
}

const scratch = new EmulatedStore();

/**
 * Turns a trapped store into whole words at its place in the order: the bytes around a narrow store, and the result of an
 * atomic, come from the text as the order has it now.
 */
export const resolveWrite = (order: Pick<Order, 'wordAt'>, submission: Submission): ResolvedWrite => {
  const { offset, size, operation } = submission;
  const word = offset >> 2;
  const count = ((offset + size + 3) >> 2) - word;
  const words: number[] = [];
  for (let i = 0; i < count; i++) words.push(order.wordAt(word + i));
  const byteAt = (at: number): number => (words[at >> 2]! >>> (8 * (at & 3))) & 255;
  const old: number[] = [];
  for (let i = 0; i < size; i++) old.push(byteAt((offset & 3) + i));
  let bytes: ArrayLike<number> = submission.bytes;
  let writes = true;
  if (operation !== OPERATION_STORE) {
    scratch.reset();
    scratch.size = size;
    scratch.operation = operation;
    scratch.operand.set(submission.operand);
    scratch.expected.set(submission.expected);
    resolveOperation(scratch, Uint8Array.from(old));
    bytes = scratch.bytes;
    writes = scratch.writes;
  }
  for (let i = 0; i < size && writes; i++) {
    const at = (offset & 3) + i;
    const shift = 8 * (at & 3);
    words[at >> 2] = ((words[at >> 2]! & ~(255 << shift)) | (bytes[i]! << shift)) >>> 0;
  }
  return { word, words, old, writes };
};
