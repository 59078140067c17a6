import { expect, it } from 'vitest';
import { Newcomers } from './newcomers.ts';

it('a newcomer is told what all know when all that are there tell it what is new', () => {
  const newcomers = new Newcomers();
  newcomers.fence(2, 2, 1);
  expect(newcomers.take(0, [1])).toEqual([]);
  newcomers.fence(2, 2, 0);
  expect(newcomers.take(0, [1, 2, 3])).toEqual([]);
  newcomers.fence(2, 2, 3);
  expect(newcomers.take(0, [1, 2, 3])).toEqual([2]);
  expect(newcomers.take(0, [1, 2, 3])).toEqual([]);
});

it('who is gone meanwhile is not waited for', () => {
  const newcomers = new Newcomers();
  newcomers.fence(2, 2, 0);
  expect(newcomers.take(0, [1, 2])).toEqual([]);
  expect(newcomers.take(0, [2])).toEqual([2]);
});

it('fences of an earlier life do not count', () => {
  const newcomers = new Newcomers();
  newcomers.fence(2, 2, 1);
  newcomers.fence(2, 3, 0);
  newcomers.fence(2, 2, 3);
  expect(newcomers.take(0, [1, 2, 3])).toEqual([]);
  newcomers.fence(2, 3, 1);
  newcomers.fence(2, 3, 3);
  expect(newcomers.take(0, [1, 2, 3])).toEqual([2]);
});
