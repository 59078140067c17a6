import type { WriterSpec } from './writer-spec.ts';

/**
 * Words (offsets from `_text` in words) that several vCPUs patch, as the writers' plans have it: what one of them expects to find
 * there another may have changed.
 */
export const contestedWords = (writers: readonly WriterSpec[]): ReadonlySet<number> => {
  const patchedBy = new Map<number, number>();
  const contested = new Set<number>();
  const add = (offset: number, bytes: number, cpu: number): void => {
    for (let word = offset >> 2; word < (offset + bytes + 3) >> 2; word++) {
      const other = patchedBy.get(word);
      if (other === undefined) patchedBy.set(word, cpu);
      else if (other !== cpu) contested.add(word);
    }
  };
  for (const writer of writers) {
    if (writer.kind === 'recorded') {
      const { rows, cpus, trace } = writer;
      for (let i = 0; i < rows.length; i++) add(trace.offset[rows[i]!]!, trace.size[rows[i]!]!, cpus[i]!);
    } else if (writer.kind !== 'synthetic') {
      // Synthetic writers keep to places that nobody else patches.
      for (const { cpu, stores } of writer.items) for (const { offset, size } of stores) add(offset, size, cpu);
    }
  }
  return contested;
};
