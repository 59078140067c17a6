import { wordsFrom } from '@numalab/base';
import { OPERATION_STORE } from '@numalab/machine';
import { unpackBytes, type Words } from '@numalab/node-worker';
import type { SubmittedStore } from '../resolve-write.ts';

/** A trapped store as a node's record has it. One object serves all. */
export class LiveSubmission implements SubmittedStore {
  core = 0;
  /** Tick of its trap. */
  begin = 0;
  offset = 0;
  size = 0;
  operation: number = OPERATION_STORE;
  readonly bytes: Uint8Array = new Uint8Array(64);
  readonly operand: Uint8Array = new Uint8Array(16);
  readonly expected: Uint8Array = new Uint8Array(16);

  /** Takes the words of an open record. */
  read(ring: Words): void {
    this.core = ring.word();
    this.begin = ring.word();
    this.offset = ring.word();
    this.size = ring.word();
    this.operation = ring.word();
    if (this.operation === OPERATION_STORE) unpackBytes(ring, this.bytes, this.size);
    else {
      unpackBytes(ring, this.operand, this.size);
      unpackBytes(ring, this.expected, this.size);
    }
  }
}

/** The words that a store writes, if they are whole ones and do not depend on what is there; else null. */
export const wholeWordsOf = ({ offset, size, operation, bytes }: SubmittedStore): number[] | null => {
  if (operation !== OPERATION_STORE || (offset & 3) !== 0 || (size & 3) !== 0) return null;
  const word = (i: number): number =>
    (bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24)) >>> 0;
  const words = wordsFrom(word(0));
  for (let i = 4; i < size; i += 4) words.push(word(i));
  return words;
};
