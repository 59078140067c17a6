/** What several nodes have recorded of words, by word. */
export const byWord = <Entry extends { readonly word: number }>(
  lists: readonly (readonly Entry[])[],
): Map<number, Entry[]> => {
  const map = new Map<number, Entry[]>();
  for (const list of lists) {
    for (const entry of list) {
      const known = map.get(entry.word);
      if (known === undefined) map.set(entry.word, [entry]);
      else known.push(entry);
    }
  }
  return map;
};
