import type { Finding, Synchronisation } from '@numalab/node-worker';
import type { Sight } from './judge-word.ts';

/**
 * Verifies X1 for one word: once the synchronisation of a writer has returned, no core executes what the word held before
 * that writer's own last write. When: at the end of a run, from the latest execution per number. Does not verify: that a
 * synchronisation also covers what other writers had finished when it began; only theirs does. Linear in versions and
 * synchronisations. `writerOf` gives the CPU of a write.
 */
export const lateExecutions = (
  word: number,
  sights: readonly Sight[],
  writerOf: (number: number) => number,
  synchronisations: readonly Synchronisation[],
): Finding[] => {
  // Per CPU its synchronisations, the latest last: they are taken off from there, as its writes are looked at latest first.
  const byCpu = new Map<number, { readonly left: Synchronisation[]; found: Synchronisation | null }>();
  for (const sync of [...synchronisations].sort((a, b) => a.time - b.time)) {
    const own = byCpu.get(sync.cpu);
    if (own === undefined) byCpu.set(sync.cpu, { left: [sync], found: null });
    else own.left.push(sync);
  }
  const findings: Finding[] = [];
  let first: Synchronisation | null = null;
  let newer = 0;
  for (let i = sights.length - 1; i >= 0; i--) {
    const { version, lastExecution, lastExecutionCpu } = sights[i]!;
    if (first !== null && lastExecution > first.time) {
      const message = `CPU ${lastExecutionCpu} executed word ${word} of write ${version.number} at ${lastExecution / 1000} ns, after CPU ${first.cpu} had written it as write ${newer} and its synchronisation had returned at ${first.time / 1000} ns`;
      findings.push({ id: 'X1', message, timePs: lastExecution });
    }
    const own = byCpu.get(writerOf(version.number));
    if (own === undefined) continue;
    while (own.left.length > 0 && own.left.at(-1)!.time >= version.end) own.found = own.left.pop()!;
    if (own.found !== null && (first === null || own.found.time < first.time)) {
      first = own.found;
      newer = version.number;
    }
  }
  return findings;
};
