import { numberOfCell, wordOfCell } from '@numalab/node-worker';
import { expect, test } from 'vitest';
import { LiveOrder } from './live-order.ts';

test('the cells of a write are those of its words and its number, whatever was asked for before', () => {
  const order = new LiveOrder(new Float64Array(16), 0, 4);
  const write = order.append(3, [7, 8], 0, 0, 0);
  const seen = (asked: typeof write): number[][] =>
    [...order.cellsOf(asked).subarray(0, asked.words.length)].map((cell) => [wordOfCell(cell), numberOfCell(cell)]);
  expect(seen(write)).toEqual([
    [7, 1],
    [8, 1],
  ]);
  expect(seen({ ...write, words: [9] })).toEqual([[9, 1]]);
  expect(seen({ ...write, number: 2 })).toEqual([
    [7, 2],
    [8, 2],
  ]);
  expect(seen({ ...write, number: 3 })).toEqual([
    [7, 3],
    [8, 3],
  ]);
});
