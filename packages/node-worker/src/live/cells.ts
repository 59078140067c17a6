import type { TextRegion } from '@numalab/machine';

/**
 * A word of text and the number of its write as one element of a Float64Array: the word in the low half, the number in the
 * high half. An aligned element is read and written by one instruction, so the two are never of different writes; the number
 * stays below {@link NUMBER_LIMIT}, so the bits are never those of a NaN, which an engine may change. That no cell tears is
 * proved at every start ({@link TearingTest}).
 */

/** Numbers from here on would make a NaN of a cell. */
export const NUMBER_LIMIT = 0x7ff0_0000;

const double = new Float64Array(1);
const halves = new Uint32Array(double.buffer);

/** The cell of a word and a number. */
export const cellOf = (word: number, number: number): number => {
  halves[0] = word;
  halves[1] = number;
  return double[0]!;
};

/** The word of a cell. */
export const wordOfCell = (cell: number): number => {
  double[0] = cell;
  return halves[0]!;
};

/** The number of a cell. */
export const numberOfCell = (cell: number): number => {
  double[0] = cell;
  return halves[1]!;
};

/** A copy of the text, as cells. */
export interface LiveCopy {
  readonly base: number;
  readonly bytes: number;
  readonly cells: Float64Array;
}

/** The same memory as `region`. */
export const liveCopyOf = ({ base, bytes, cells }: TextRegion): LiveCopy => ({
  base,
  bytes,
  cells: new Float64Array(cells.buffer as SharedArrayBuffer, cells.byteOffset, cells.length / 2),
});

/** Word that belongs to number `n` in the test. */
const testWord = (n: number): number => Math.imul(n, 0x9e37_79b9) >>> 0;
const TEST_CELLS = 8;

/** Puts cells to the test: one thread writes, all others read at the same time. */
export class TearingTest {
  private readonly cells: Float64Array;
  reads = 0;
  torn = 0;
  private n = 0;

  /** `memory` holds {@link TEARING_TEST_BYTES}. */
  constructor(memory: SharedArrayBuffer) {
    this.cells = new Float64Array(memory, 0, TEST_CELLS);
  }

  /** Writes for a while. */
  write(rounds: number): void {
    const { cells } = this;
    for (let i = 0; i < rounds; i++) {
      const n = (this.n + 0x1_0001) % NUMBER_LIMIT;
      this.n = n;
      cells[i % TEST_CELLS] = cellOf(testWord(n), n);
    }
  }

  /** Reads for a while. */
  read(rounds: number): void {
    const { cells } = this;
    for (let i = 0; i < rounds; i++) {
      double[0] = cells[i % TEST_CELLS]!;
      if (halves[0] !== testWord(halves[1]!)) this.torn++;
    }
    this.reads += rounds;
  }
}

export const TEARING_TEST_BYTES: number = TEST_CELLS * 8;
