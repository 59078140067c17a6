import { describe, expect, it } from 'vitest';
import { minimise } from './minimise.ts';

/** A test that is fulfilled by lists with all of `needed`, and counts how many lists it is asked about. */
const needing = (needed: readonly number[]) => {
  const asked = { lists: 0 };
  const test = async (lists: readonly (readonly number[])[]): Promise<number> => {
    asked.lists += lists.length;
    return lists.findIndex((list) => needed.every((item) => list.includes(item)));
  };
  return { test, asked };
};

const items = Array.from({ length: 300 }, (_, i) => i);

describe('delta debugging', () => {
  it('finds what is needed, in order, wherever it stands', async () => {
    for (const needed of [[], [0], [299], [17, 18], [3, 150, 298], items.filter((i) => i % 50 === 0)]) {
      expect(await minimise(items, needing(needed).test)).toEqual(needed);
    }
  });

  it('asks about few lists, and keeps all where all is needed', async () => {
    const few = needing([123]);
    await minimise(items, few.test);
    expect(few.asked.lists).toBeLessThan(60);
    expect(await minimise([1, 2, 3], needing([1, 2, 3]).test)).toEqual([1, 2, 3]);
  });

  it('keeps what it has when nothing more is tried', async () => {
    let left = 3;
    const needed = needing([7]);
    const kept = await minimise(items, async (lists) => (left-- > 0 ? needed.test(lists) : -1));
    expect(kept).toContain(7);
    expect(kept.length).toBeLessThan(items.length);
  });
});
