/**
 * An array of words, of which this is the first. Of the kind that V8 has for numbers above 2^31 from the start: arrays that begin
 * with small ones are of another, and are changed one by one when code meets both.
 */
export const wordsFrom = (first: number): number[] => {
  const words = [0.5];
  words[0] = first;
  return words;
};

/**
 * `list.map(of)` for what is done in every run: into an array that is always of one kind. What an engine compiles of `map` makes
 * arrays of another kind than its own `map` does, so all that had been compiled for the first would be thrown away and made anew.
 */
export const collect = <Item, Result>(list: readonly Item[], of: (item: Item, index: number) => Result): Result[] => {
  const results: Result[] = [];
  for (let i = 0; i < list.length; i++) results.push(of(list[i]!, i));
  return results;
};
