import { expect, test } from 'vitest';
import { KeptWords, OrderLock } from './order-lock.ts';

const waiting = (...nodes: number[]): OrderLock => {
  const lock = new OrderLock();
  for (const node of nodes) lock.wait(node, new KeptWords([node]));
  return lock;
};

test('one core at a time has the lock, in the order in which they came', () => {
  const lock = waiting(2, 0, 1);
  expect(lock.grant()).toMatchObject({ node: 2 });
  expect(lock.grant()).toBeNull();
  lock.release();
  lock.wait(3, new KeptWords([3]));
  const order = [0, 1, 2].map(() => {
    const next = lock.grant();
    lock.release();
    return next?.node;
  });
  expect(order).toEqual([0, 1, 3]);
  expect(lock.grant()).toBeNull();
});

test('cores of a node that went down wait no more, and its write that has the lock is marked', () => {
  const lock = waiting(1, 0, 1, 2);
  const holder = lock.grant()!;
  expect(holder.isGone).toBe(false);
  lock.forget(1);
  expect(holder.isGone).toBe(true);
  expect(lock.grant()).toBeNull();
  lock.release();
  expect(lock.grant()).toMatchObject({ node: 0, isGone: false });
  lock.release();
  expect(lock.grant()).toMatchObject({ node: 2, isGone: false });
});

test('words that are kept are read once, and the rest of them is what was not', () => {
  const words = new KeptWords([5, 6, 7]);
  expect(words.word()).toBe(5);
  expect(words.rest()).toEqual([6, 7]);
  expect(words.word()).toBe(6);
});
