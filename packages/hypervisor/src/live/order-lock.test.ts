import { expect, test } from 'vitest';
import { KeptWords, OrderLock } from './order-lock.ts';

interface Rig {
  readonly lock: OrderLock;
  /** Nodes whose writes were taken, and how the lock's line moved. */
  readonly taken: number[];
  readonly moves: [from: number, to: number][];
  /** Lets the line arrive. */
  readonly arrive: () => void;
}

const rig = (...nodes: number[]): Rig => {
  const taken: number[] = [];
  const moves: [number, number][] = [];
  const pending: (() => void)[] = [];
  const lock = new OrderLock(0, {
    move: (from, to, arrived) => {
      moves.push([from, to]);
      pending.push(arrived);
    },
    take: (node) => taken.push(node),
  });
  for (const node of nodes) lock.wait(node, new KeptWords([node]));
  return { lock, taken, moves, arrive: () => pending.shift()?.() };
};

test('one core at a time has the lock, in the order in which they came, and its line moves with it', () => {
  const { lock, taken, moves, arrive } = rig(2, 0, 1);
  expect([taken, moves]).toEqual([[], [[0, 2]]]);
  arrive();
  expect([taken, lock.place]).toEqual([[2], 2]);
  lock.wait(3, new KeptWords([3]));
  for (let i = 0; i < 4; i++) {
    lock.release();
    arrive();
  }
  expect(taken).toEqual([2, 0, 1, 3]);
  expect(moves).toEqual([
    [0, 2],
    [2, 0],
    [0, 1],
    [1, 3],
  ]);
});

test('cores of a node that went down wait no more; one that the lock was on its way to does not take it', () => {
  const { lock, taken, arrive } = rig(1, 0, 1, 2);
  lock.forget(1);
  arrive();
  expect(taken).toEqual([]);
  arrive();
  expect(taken).toEqual([0]);
  // Its write has a number: it keeps the lock until that is retired.
  lock.forget(0);
  expect(taken).toEqual([0]);
  lock.release();
  arrive();
  expect(taken).toEqual([0, 2]);
});

test('words that are kept are read once, and the rest of them is what was not', () => {
  const words = new KeptWords([5, 6, 7]);
  expect(words.word()).toBe(5);
  expect(words.rest()).toEqual([6, 7]);
  expect(words.word()).toBe(6);
});
