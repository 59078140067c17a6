import { wordsFrom } from '@numalab/base';
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

/** What of a submission decides that. */
export interface SubmittedStore extends Pick<Submission, 'offset' | 'size' | 'operation'> {
  readonly bytes: ArrayLike<number>;
  readonly operand: ArrayLike<number>;
  readonly expected: ArrayLike<number>;
}

const scratch = new EmulatedStore();
/** The bytes that were there. */
const found = new Uint8Array(scratch.bytes.length);

/** Resolves an operation on the bytes in `found`: what is stored is in `scratch`. */
const operate = ({ size, operation, operand, expected }: SubmittedStore): void => {
  scratch.reset();
  scratch.size = size;
  scratch.operation = operation;
  scratch.operand.set(operand);
  scratch.expected.set(expected);
  resolveOperation(scratch, found);
};

/**
 * Turns a trapped store into whole words at its place in the order: the bytes around a narrow store, and the result of an
 * atomic, come from the text as the order has it now.
 */
export const resolveWrite = (order: Pick<Order, 'wordAt'>, submission: SubmittedStore): ResolvedWrite => {
  const { offset, size, operation } = submission;
  const word = offset >> 2;
  const end = (offset + size + 3) >> 2;
  const first = offset & 3;
  const words = wordsFrom(order.wordAt(word));
  for (let at = word + 1; at < end; at++) words.push(order.wordAt(at));
  const old: number[] = [];
  for (let i = 0; i < size; i++) {
    const byte = (words[(first + i) >> 2]! >>> (8 * ((first + i) & 3))) & 255;
    found[i] = byte;
    old.push(byte);
  }
  const isOperation = operation !== OPERATION_STORE;
  if (isOperation) operate(submission);
  const writes = !isOperation || scratch.writes;
  const bytes = isOperation ? scratch.bytes : submission.bytes;
  for (let i = 0; i < size && writes; i++) {
    const at = (first + i) >> 2;
    const shift = 8 * ((first + i) & 3);
    words[at] = ((words[at]! & ~(255 << shift)) | (bytes[i]! << shift)) >>> 0;
  }
  return { word, words, old, writes };
};
