import { wordsFrom } from '@numalab/base';
import type { LiveRingReader, LiveRingWriter } from '@numalab/interconnect';
import type { Write } from '@numalab/protocols';

/** Kinds of records between a node and the hypervisor. */

/** A trapped store: core, tick of its trap, offset, size, operation, then its bytes, or operand and expected bytes. */
export const SUBMIT = 1;
/** A write is over: core, number (0: it wrote nothing), then the bytes that were there, if the store needs them. */
export const RETIRE = 2;
/** A protocol's message that is a {@link Write}, a number, or other data: who sends it, then that. */
export const TELL_WRITE = 3;
export const TELL_NUMBER = 4;
export const TELL = 5;
/** The same, asked for an answer: the question's number follows its sender. */
export const ASK_WRITE = 6;
export const ASK_NUMBER = 7;
export const ASK = 8;
/** The question has been handled: its number. */
export const ANSWER = 9;

/** A node that was down has joined, and is to bring its copy up to the write whose number this is; it has; its cores go on. */
export const RESYNC = 10;
export const RESYNCED = 11;
export const START = 12;

/** From TELL_ to ASK_. */
const ASKED = ASK - TELL;

/** Four bytes a word. */
export const packBytes = (ring: LiveRingWriter, bytes: ArrayLike<number>, size: number): void => {
  for (let i = 0; i < size; i += 4) {
    let word = 0;
    for (let b = Math.min(size, i + 4) - 1; b >= i; b--) word = word * 256 + bytes[b]!;
    ring.word(word);
  }
};

/** Words of a record, one after the other, and those that are left. */
export type Words = Pick<LiveRingReader, 'word' | 'rest'>;

/** What {@link packBytes} wrote. */
export const unpackBytes = (ring: Words, into: Uint8Array, size: number): void => {
  for (let i = 0; i < size; i += 4) {
    let word = ring.word();
    for (let b = i; b < Math.min(size, i + 4); b++) {
      into[b] = word & 255;
      word >>>= 8;
    }
  }
};

const isWrite = (body: unknown): body is Write => {
  if (typeof body !== 'object' || body === null) return false;
  const { number, word, words, origin } = body as Partial<Write>;
  if (typeof number !== 'number' || typeof word !== 'number' || typeof origin !== 'number') return false;
  let keys = 0;
  // Without an array of them, because this is asked of every message.
  for (const _ in body) keys++;
  return Array.isArray(words) && words.length > 0 && keys === 4;
};

/** How a body is told: one of the TELL_ kinds. */
export const kindOf = (body: unknown): number =>
  typeof body === 'number' ? TELL_NUMBER : isWrite(body) ? TELL_WRITE : TELL;

/**
 * Puts a protocol's message of instance `from` of its half; `ask` is the question's number, or -1 if no answer is wanted.
 * `kind` is the body's, for who sends it to many.
 */
export const putMessage = (
  ring: LiveRingWriter,
  from: number,
  body: unknown,
  ask: number,
  due: number,
  kind: number = kindOf(body),
): void => {
  ring.begin(ask < 0 ? kind : kind + ASKED, due);
  ring.word(from);
  if (ask >= 0) ring.word(ask);
  if (kind === TELL_WRITE) putWrite(ring, body as Write);
  else if (kind === TELL_NUMBER) ring.word(body as number);
  else ring.value(body);
  ring.end();
};

const putWrite = (ring: LiveRingWriter, { number, word, words, origin }: Write): void => {
  ring.word(number);
  ring.word(word);
  ring.word(origin);
  ring.word(words.length);
  for (let i = 0; i < words.length; i++) ring.word(words[i]!);
};

const takeWrite = (ring: LiveRingReader): Write => {
  const number = ring.word();
  const word = ring.word();
  const origin = ring.word();
  const count = ring.word();
  const words = wordsFrom(ring.word());
  for (let i = 1; i < count; i++) words.push(ring.word());
  return { number, word, words, origin };
};

/** The body of a message whose record is open, and whose sender and question's number, if it has one, have been taken. */
export const takeMessage = (ring: LiveRingReader): unknown => {
  const kind = ring.kind >= ASK_WRITE ? ring.kind - ASKED : ring.kind;
  if (kind === TELL_WRITE) return takeWrite(ring);
  return kind === TELL_NUMBER ? ring.word() : ring.value();
};
