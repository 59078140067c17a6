const SEED_A = 0x243f_6a88;
const SEED_B = 0x85a3_08d3 | 0;

/**
 * A 64-bit running hash over numbers, kept as two 32-bit lanes with different multipliers (the mixing step of
 * MurmurHash3). It decides whether two runs were the same; it is not cryptographic.
 */
export class Digest {
  // As signed integers, which an engine keeps in the object instead of in a box each.
  private a = SEED_A;
  private b = SEED_B;

  /** Back to the empty hash. */
  reset(): void {
    this.a = SEED_A;
    this.b = SEED_B;
  }

  /** Folds in the low 32 bits of `word`. */
  word(word: number): void {
    let k = Math.imul(word, 0xcc9e_2d51);
    k = (k << 15) | (k >>> 17);
    const a = this.a ^ Math.imul(k, 0x1b87_3593);
    this.a = (Math.imul((a << 13) | (a >>> 19), 5) + 0xe654_6b64) | 0;
    this.b = Math.imul(this.b ^ word, 0x9e37_79b1) ^ (this.b >>> 15);
  }

  /** Folds in a non-negative integer below 2^53, such as a moment. */
  number(value: number): void {
    this.word(value | 0);
    this.word((value / 0x1_0000_0000) | 0);
  }

  /** Folds in another hash. */
  digest(other: Digest): void {
    this.word(other.a);
    this.word(other.b);
  }

  /** 16 hexadecimal digits. */
  hex(): string {
    const lane = (word: number): string => {
      let z = Math.imul(word ^ (word >>> 16), 0x85eb_ca6b);
      z = Math.imul(z ^ (z >>> 13), 0xc2b2_ae35);
      return ((z ^ (z >>> 16)) >>> 0).toString(16).padStart(8, '0');
    };
    return lane(this.a) + lane(this.b ^ (this.a >>> 7));
  }

  /** The state as two words, to carry a hash across threads. */
  words(): [number, number] {
    return [this.a, this.b];
  }
}
