import { expect, test } from 'vitest';
import { cellOf, NUMBER_LIMIT, numberOfCell, TEARING_TEST_BYTES, TearingTest, wordOfCell } from './cells.ts';

test('a cell keeps every bit of a word and its number', () => {
  for (const word of [0, 1, 0x8000_0000, 0xffff_ffff, 0xd503_201f]) {
    for (const number of [0, 1, 0xffff, NUMBER_LIMIT - 1]) {
      const shared = new Float64Array(new SharedArrayBuffer(8));
      shared[0] = cellOf(word, number);
      expect([wordOfCell(shared[0]!), numberOfCell(shared[0]!)]).toEqual([word, number]);
    }
  }
});

test('the test of cells finds a torn one', () => {
  const memory = new SharedArrayBuffer(TEARING_TEST_BYTES);
  const test = new TearingTest(memory);
  test.write(100);
  test.read(100);
  expect(test.torn).toBe(0);
  new Uint32Array(memory)[0]! ^= 1;
  test.read(8);
  expect(test.torn).toBe(1);
});
