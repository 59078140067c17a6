/**
 * A word's share in the hash of its page. For each place it is another permutation of all words, so no change of one word
 * leaves the hash as it was; changes of several do with a chance of 2^-32.
 */
export const wordHash = (place: number, word: number): number => {
  let x = word ^ Math.imul(place + 1, 0x9e37_79b1);
  x = Math.imul(x ^ (x >>> 16), 0x85eb_ca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2_ae35);
  return x ^ (x >>> 16);
};

/** The hash of a page, an int32, is the sum of its words' shares: a write changes it by what it changes. `place`: offset in words. */
export const addWord = (hash: number, place: number, word: number): number => (hash + wordHash(place, word)) | 0;

/** Takes a word's share away again. */
export const dropWord = (hash: number, place: number, word: number): number => (hash - wordHash(place, word)) | 0;
