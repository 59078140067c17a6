/**
 * Random streams. Every concern (one vCPU's walk, one link's jitter, one fault) has a stream of its own, derived from the
 * seed and a name, so that removing one concern leaves the choices of the others as they were.
 */

/** 32-bit FNV-1a of a string, used to turn stream names into numbers. */
export const hashString = (text: string): number => {
  let hash = 0x811c_9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x0100_0193);
  return hash >>> 0;
};

/** One step of the splitmix32 sequence: a good mixer for turning a counter into seed words. */
const splitmix32 = (state: number): number => {
  let z = (state + 0x9e37_79b9) | 0;
  z = Math.imul(z ^ (z >>> 16), 0x21f0_aaad);
  z = Math.imul(z ^ (z >>> 15), 0x735a_2d97);
  return (z ^ (z >>> 15)) >>> 0;
};

/** A random stream: xoshiro128** with its 128 bits of state in four fields (Blackman and Vigna, 2018). */
export class Random {
  private a = 0;
  private b = 0;
  private c = 0;
  private d = 0;

  /** The stream that `seed` (an unsigned integer below 2^53), `name` and `index` determine. */
  constructor(seed: number, name: string, index = 0) {
    let s = (seed >>> 0) ^ Math.imul((seed / 0x1_0000_0000) >>> 0, 0x85eb_ca6b);
    s = splitmix32(s ^ hashString(name));
    s = splitmix32(s ^ Math.imul(index + 1, 0xc2b2_ae35));
    // As signed integers, which an engine keeps in the object instead of in a box each.
    this.a = splitmix32(s + 1) | 0;
    this.b = splitmix32(s + 2) | 0;
    this.c = splitmix32(s + 3) | 0;
    this.d = splitmix32(s + 4) | 1;
  }

  /** A uniform unsigned 32-bit integer. */
  next(): number {
    const x = Math.imul(this.b, 5);
    const result = Math.imul((x << 7) | (x >>> 25), 9) >>> 0;
    const t = this.b << 9;
    this.c ^= this.a;
    this.d ^= this.b;
    this.b ^= this.c;
    this.a ^= this.d;
    this.c ^= t;
    this.d = (this.d << 11) | (this.d >>> 21);
    return result;
  }

  /** A uniform integer in [0, bound), for bound in [1, 2^32]. The bias is below bound / 2^32. */
  below(bound: number): number {
    return Math.floor(this.next() * bound * 2 ** -32);
  }

  /** True with probability `numerator / denominator`. */
  chance(numerator: number, denominator: number): boolean {
    return this.below(denominator) < numerator;
  }
}
