/**
 * `list.map(of)` for what is done in every run: into an array that is always of one kind. What an engine compiles of `map` makes
 * arrays of another kind than its own `map` does, so all that had been compiled for the first would be thrown away and made anew.
 */
export const collect = <Item, Result>(list: readonly Item[], of: (item: Item, index: number) => Result): Result[] => {
  const results: Result[] = [];
  for (let i = 0; i < list.length; i++) results.push(of(list[i]!, i));
  return results;
};
