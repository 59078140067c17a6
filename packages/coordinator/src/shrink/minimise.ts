/** Tells the place of the first of some lists with which it still happens; -1: with none. */
export type Test<Item> = (lists: readonly (readonly Item[])[]) => Promise<number>;

const without = <Item>(items: readonly Item[], from: number, to: number): Item[] => [
  ...items.slice(0, from),
  ...items.slice(to),
];

/**
 * Delta debugging (Zeller and Hildebrandt, 2002), by complements alone: leaves out ever smaller parts of `items`, which must
 * keep their order, while `test` agrees. If it goes on to the end, nothing of what is left can be left out by itself.
 */
export const minimise = async <Item>(items: readonly Item[], test: Test<Item>): Promise<readonly Item[]> => {
  if (items.length > 0 && (await test([[]])) === 0) return [];
  let kept = items;
  for (let parts = 2; kept.length > 1; ) {
    const size = Math.ceil(kept.length / parts);
    // What happens late is rarely needed: it is left out first.
    const starts = Array.from({ length: Math.ceil(kept.length / size) }, (_, i) => i * size).reverse();
    const lists = starts.map((start) => without(kept, start, start + size));
    const found = await test(lists);
    if (found >= 0) {
      kept = lists[found]!;
      parts = Math.max(2, parts - 1);
    } else if (size === 1) break;
    else parts = Math.min(kept.length, parts * 2);
  }
  return kept;
};
