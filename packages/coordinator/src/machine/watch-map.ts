import type { WriterSpec } from '@numalab/kernel';

/** Words in a group: one byte of the map. */
const GROUP_WORDS = 4;

/** Visits [offset, offset + bytes) of everything that the writers may store to at run time. */
const forEachStore = (writers: readonly WriterSpec[], mark: (offset: number, bytes: number) => void): void => {
  for (const writer of writers) {
    if (writer.kind === 'recorded') {
      const { trace, rows } = writer;
      for (const row of rows) mark(trace.offset[row]!, trace.size[row]!);
    } else if (writer.kind === 'synthetic') {
      // A place is as wide as the widest form, and narrow stores go anywhere in its first 16 bytes.
      const bytes = Math.max(16, ...writer.forms.map((form) => form.bytes));
      for (const place of writer.places) mark(place, bytes);
    } else {
      // Items take turns, so those behind the last action are never switched.
      const { items, actions } = writer;
      const reached = actions === null ? items : items.slice(0, actions);
      for (const item of reached) for (const store of item.stores) mark(store.offset, store.size);
    }
  }
};

/**
 * The words of an image of `words` words that the writers may store to at run time: bit i of byte g is word 4g + i. In
 * shared memory.
 */
export const watchMap = (words: number, writers: readonly WriterSpec[]): Uint8Array => {
  const map = new Uint8Array(new SharedArrayBuffer(Math.ceil(words / GROUP_WORDS)));
  markWatched(map, writers);
  return map;
};

const markWatched = (map: Uint8Array, writers: readonly WriterSpec[]): void =>
  forEachStore(writers, (offset, bytes) => {
    for (let word = offset >> 2; word < (offset + bytes + 3) >> 2; word++) map[word >> 2]! |= 1 << (word & 3);
  });

/** Makes the map of the writers `from` that of the writers `to`. Costs what they write, not what the image is. */
export const remarkWatched = (map: Uint8Array, from: readonly WriterSpec[], to: readonly WriterSpec[]): void => {
  forEachStore(from, (offset, bytes) => {
    for (let group = offset >> 4; group <= (offset + bytes - 1) >> 4; group++) map[group] = 0;
  });
  markWatched(map, to);
};
