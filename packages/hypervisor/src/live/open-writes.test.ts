import { expect, test } from 'vitest';
import { OpenWrites } from './open-writes.ts';

test('a write is under way once, and over once', () => {
  const open = new OpenWrites();
  open.put(1, 7, [1, 2]);
  open.put(2, 3, null);
  expect([open.count, open.take(1), open.old, open.take(1)]).toEqual([2, 7, [1, 2], -1]);
  expect([open.take(2), open.old, open.count, open.take(3)]).toEqual([3, null, 0, -1]);
});

test('a write that others overtake by far is found all the same', () => {
  const open = new OpenWrites();
  open.put(5, 1, [9]);
  for (let number = 6; number < 10_000; number++) {
    open.put(number, number % 8, null);
    expect(open.take(number)).toBe(number % 8);
  }
  expect([open.count, open.take(5), open.old, open.count]).toEqual([1, 1, [9], 0]);
});
