import { expect, test } from 'vitest';
import { FREE, ORDER_LOCK, POOLS, SLEEPING, sharedWordCount, threadWord, WANTS, wakeNode } from './shared-words.ts';
import { lockOrder, NodeWaiting, unlockOrder } from './waiting.ts';

const NODES = 5;

/** Words of a run whose nodes share so many pools with a permit each. */
const wordsWith = (pools: number): Int32Array => {
  const words = new Int32Array(new SharedArrayBuffer(4 * sharedWordCount(NODES + 1)));
  words[POOLS] = pools;
  for (let pool = 0; pool < pools; pool++) words[threadWord(pool) + FREE] = 1;
  return words;
};

/** Nodes that have been handed a permit, and those that want one. */
const nodesWith = (words: Int32Array, word: number): number[] =>
  Array.from({ length: NODES }, (_, node) => node).filter((node) => words[threadWord(node) + word] === 1);

test('a permit is one of a pool: it goes round among the nodes of that pool alone', () => {
  const words = wordsWith(2);
  for (const node of [2, 0, 4, 3]) wakeNode(words, NODES, node);
  expect(nodesWith(words, SLEEPING)).toEqual([2, 3]);
  expect(nodesWith(words, WANTS)).toEqual([0, 4]);
  words[threadWord(2) + SLEEPING] = 0;
  new NodeWaiting(words, NODES, 2).end();
  expect(nodesWith(words, SLEEPING)).toEqual([3, 4]);
  expect(new NodeWaiting(words, NODES, 4).isWanted).toBe(true);
  expect(new NodeWaiting(words, NODES, 3).isWanted).toBe(false);
  new NodeWaiting(words, NODES, 3).end();
  expect([0, 1].map((pool) => words[threadWord(pool) + FREE])).toEqual([0, 1]);
});

test('with one pool a permit goes to whoever wants one next', () => {
  const words = wordsWith(1);
  for (const node of [3, 1, 4]) wakeNode(words, NODES, node);
  new NodeWaiting(words, NODES, 3).end();
  expect(nodesWith(words, SLEEPING)).toEqual([3, 4]);
  new NodeWaiting(words, NODES, 4).end();
  expect(nodesWith(words, SLEEPING)).toEqual([1, 3, 4]);
});

test('the lock of the order is given back as free, whether or not somebody may sleep for it', () => {
  const words = wordsWith(1);
  lockOrder(words);
  expect(words[ORDER_LOCK]).toBe(1);
  unlockOrder(words);
  expect(words[ORDER_LOCK]).toBe(0);
  lockOrder(words);
  words[ORDER_LOCK] = 2;
  unlockOrder(words);
  expect(words[ORDER_LOCK]).toBe(0);
});
