import type { Random } from '@numalab/base';

/** The i-th most popular function is called with weight (i+1)^-exponent (Zipf), in integers of 2^-20. */
const SCALE = 2 ** 20;

/**
 * Which function a walk calls next: a Zipf distribution over the kernel's functions, which of them is popular being drawn from
 * the seed. Integers only, because Math.pow is not fixed by the language.
 */
export class FunctionPicker {
  private readonly order: Int32Array;
  private readonly cumulative: Float64Array;
  private readonly total: number;

  constructor(functions: Int32Array, random: Random, exponent: number) {
    this.order = functions.slice();
    for (let i = this.order.length - 1; i > 0; i--) {
      const j = random.below(i + 1);
      const swapped = this.order[i]!;
      this.order[i] = this.order[j]!;
      this.order[j] = swapped;
    }
    this.cumulative = new Float64Array(this.order.length);
    let sum = 0;
    for (let i = 0; i < this.order.length; i++) {
      let weight = SCALE;
      for (let k = 0; k < exponent; k++) weight /= i + 1;
      sum += Math.ceil(weight);
      this.cumulative[i] = sum;
    }
    this.total = sum;
  }

  /** Offset of a function from `_text`. */
  pick(random: Random): number {
    const target = random.below(this.total);
    let low = 0;
    let high = this.cumulative.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.cumulative[middle]! > target) high = middle;
      else low = middle + 1;
    }
    return this.order[low]!;
  }
}
