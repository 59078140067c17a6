import { Random } from '@numalab/base';
import type { WriterSpec } from '@numalab/kernel';
import type { MachineSpec } from './spec.ts';

/** The i-th most popular function is called with weight (i+1)^-exponent (Zipf), in integers of 2^-20. */
const SCALE = 2 ** 20;
/** Rounds of the permutation: enough that neighbours in rank are no neighbours in the text. */
const ROUNDS = 3;

/** Sums of the weights of the first functions, by exponent, for the largest kernel so far: the same for every seed. */
const sumsOf = new Map<number, Float64Array>();

const weightSums = (count: number, exponent: number): Float64Array => {
  const known = sumsOf.get(exponent);
  if (known !== undefined && known.length >= count) return known;
  const sums = new Float64Array(count);
  let sum = 0;
  for (let i = 0; i < count; i++) {
    let weight = SCALE;
    for (let k = 0; k < exponent; k++) weight /= i + 1;
    sum += Math.ceil(weight);
    sums[i] = sum;
  }
  sumsOf.set(exponent, sums);
  return sums;
};

const NONE = new Int32Array(0);

const offsetsOf = (writer: WriterSpec): readonly number[] => {
  if (writer.kind === 'synthetic') return writer.places;
  if (writer.kind === 'recorded') return Array.from(writer.rows, (row) => writer.trace.offset[row]!);
  return writer.items.flatMap(({ stores }) => stores.map(({ offset }) => offset));
};

/** Starts of the functions in which something is patched, ascending. */
const patchedFunctions = (functions: Int32Array, writers: readonly WriterSpec[]): Int32Array => {
  const starts = new Set<number>();
  for (const offset of writers.flatMap(offsetsOf)) {
    let low = 0;
    let high = functions.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (functions[middle]! <= offset) low = middle;
      else high = middle - 1;
    }
    starts.add(functions[low]!);
  }
  return Int32Array.from(starts).sort();
};

/**
 * Which function a walk calls next: a Zipf distribution over the kernel's functions, which of them is popular being drawn from
 * the seed. Integers only, because Math.pow is not fixed by the language. The seed permutes the functions by a keyed network
 * (Feistel) instead of a shuffle, which would cost more than a short run.
 */
export class FunctionPicker {
  private readonly functions: Int32Array;
  /** Functions that writers patch, and of {@link SCALE} calls those that go to one of them. */
  private readonly patched: Int32Array;
  private readonly focus: number;
  private readonly sums: Float64Array;
  private readonly total: number;
  /** The network permutes [0, 2^(2 × half)); ranks that leave the range of functions go through it again. */
  private readonly half: number;
  private readonly keys: readonly number[];

  constructor({ kernel, workload, writers, seed }: MachineSpec) {
    const { functions } = kernel;
    const random = new Random(seed, 'zipf');
    this.functions = functions;
    this.focus = Math.round(workload.focus * SCALE);
    this.patched = this.focus > 0 ? patchedFunctions(functions, writers) : NONE;
    this.sums = weightSums(functions.length, workload.zipf);
    this.total = this.sums[functions.length - 1]!;
    this.half = Math.max(1, Math.ceil((32 - Math.clz32(functions.length - 1)) / 2));
    const keys: number[] = [];
    for (let i = 0; i < ROUNDS; i++) keys.push(random.next() | 0);
    this.keys = keys;
  }

  /** Offset of a function from `_text`. */
  pick(random: Random): number {
    const { patched } = this;
    if (patched.length > 0 && random.below(SCALE) < this.focus) return patched[random.below(patched.length)]!;
    const target = random.below(this.total);
    let low = 0;
    let high = this.functions.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.sums[middle]! > target) high = middle;
      else low = middle + 1;
    }
    return this.functions[this.place(low)]!;
  }

  private place(rank: number): number {
    const { half, keys } = this;
    const mask = (1 << half) - 1;
    let at = rank;
    do {
      let left = at >>> half;
      let right = at & mask;
      for (let round = 0; round < ROUNDS; round++) {
        let mixed = Math.imul(right ^ keys[round]!, 0x9e37_79b1);
        mixed = Math.imul(mixed ^ (mixed >>> 15), 0x85eb_ca6b);
        const next = left ^ ((mixed ^ (mixed >>> 13)) & mask);
        left = right;
        right = next;
      }
      at = (left << half) | right;
    } while (at >= this.functions.length);
    return at;
  }
}
