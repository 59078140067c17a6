import type { PatchWriter, SyntheticWriter, WriterSpec } from '@numalab/kernel';

type Endless = PatchWriter | SyntheticWriter;

const isEndless = (writer: WriterSpec): writer is Endless => writer.kind !== 'recorded' && writer.actions === null;

/** Stores that the `k`-th action of a writer makes. */
const storesOf = (writer: Endless, k: number): number => {
  if (writer.kind === 'synthetic') return 1;
  const { stores } = writer.items[k % writer.items.length]!;
  return k < writer.items.length ? stores.length : stores.filter((store) => !store.once).length;
};

/**
 * `workload.writes`: endless writers together make about `writes` stores and no more, in the order in which their actions
 * fall due; an action that has begun is not cut short. Writers without a rate take turns with the others' next actions.
 */
export const boundWrites = (
  writers: readonly WriterSpec[],
  writes: number,
  durationPs: number,
): readonly WriterSpec[] => {
  const endless = writers.filter(isEndless);
  const actions = endless.map(() => 0);
  const dueOf = (i: number): number => endless[i]!.startPs + actions[i]! * Math.max(1, endless[i]!.intervalPs);
  for (let stores = 0; stores < writes && endless.length > 0; ) {
    let next = 0;
    for (let i = 1; i < endless.length; i++) if (dueOf(i) < dueOf(next)) next = i;
    if (dueOf(next) >= durationPs) break;
    stores += storesOf(endless[next]!, actions[next]!);
    actions[next]!++;
  }
  let at = 0;
  return writers.map((writer) => (isEndless(writer) ? { ...writer, actions: actions[at++]! } : writer));
};
