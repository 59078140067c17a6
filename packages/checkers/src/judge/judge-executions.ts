import type { Finding, Synchronisation } from '@numalab/node-worker';
import { ns, place } from './counter-example.ts';
import type { Sight } from './judge-word.ts';

/**
 * Verifies X1 for one word: once the synchronisation of a writer has returned, no core executes what the word held before
 * that writer's own last write; and if the writer relies on all other cores standing still, none does from the moment its
 * write begins. When: at the end of a run, from the latest execution per number. Does not verify: that a
 * synchronisation also covers what other writers had finished when it began; only theirs does. Linear in versions and
 * synchronisations. `writerOf` gives the CPU of a write.
 */
export const lateExecutions = (
  word: number,
  sights: readonly Sight[],
  writerOf: (number: number) => number,
  synchronisations: readonly Synchronisation[],
): Finding[] => {
  if (synchronisations.length === 0) return [];
  // Per CPU its synchronisations, the latest last: they are taken off from there, as its writes are looked at latest first.
  const byCpu = new Map<number, { readonly left: Synchronisation[]; found: Synchronisation | null }>();
  const byTime =
    synchronisations.length === 1 ? synchronisations : [...synchronisations].sort((a, b) => a.time - b.time);
  for (const sync of byTime) {
    const own = byCpu.get(sync.cpu);
    if (own === undefined) byCpu.set(sync.cpu, { left: [sync], found: null });
    else own.left.push(sync);
  }
  const findings: Finding[] = [];
  /** From when on nobody may execute what stood there before: the earliest of what newer versions ask for. */
  let limit = Infinity;
  let first: Synchronisation | null = null;
  let newer = 0;
  for (let i = sights.length - 1; i >= 0; i--) {
    const { version, lastExecution, lastExecutionCpu } = sights[i]!;
    if (first !== null && lastExecution > limit) {
      const since = first.isStopped
        ? `all other cores were to stand still from ${ns(limit)} on`
        : `its writer’s synchronisation had returned at ${ns(limit)}`;
      const message = `write ${newer} by CPU ${first.cpu} to ${place(word)}: ${since}, and CPU ${lastExecutionCpu} executed at ${ns(lastExecution)} what write ${version.number} had left`;
      findings.push({ id: 'X1', message, timePs: lastExecution });
    }
    const own = byCpu.get(writerOf(version.number));
    if (own === undefined) continue;
    while (own.left.length > 0 && own.left.at(-1)!.time >= version.end) own.found = own.left.pop()!;
    if (own.found === null) continue;
    const from = own.found.isStopped ? version.begin : own.found.time;
    if (from >= limit) continue;
    limit = from;
    first = own.found;
    newer = version.number;
  }
  return findings;
};
