import { Digest } from '@numalab/base';
import type { FaultTally } from '@numalab/interconnect';
import type { HypervisorProcess } from './hypervisor.ts';
import type { JournalEntry } from './order.ts';

/** Everything a run leaves behind in the hypervisor. Plain data. */
export interface HypervisorReport {
  readonly digest: readonly [number, number];
  readonly events: number;
  readonly journal: readonly JournalEntry[];
  /** The text after all numbered writes, where it differs from the image at boot: word offset from `_text` to value. */
  readonly reference: ReadonlyMap<number, number>;
  readonly withoutEffect: number;
  /** Whom or what it waits for at the end, in words: for the account of a run that hangs. */
  readonly waits: readonly string[];
  /** Why it never came back after a crash; '': it did. */
  readonly lostFor: string;
  /** What became of planned faults. */
  readonly faults: FaultTally;
}

/** Collects what the run left. The machine must be quiet. */
export const hypervisorReportOf = (hypervisor: HypervisorProcess): HypervisorReport => {
  const digest = new Digest();
  digest.digest(hypervisor.digest);
  for (const { write, retired } of hypervisor.journal) {
    digest.word(write.word);
    digest.number(Math.max(0, retired));
    for (const word of write.words) digest.word(word);
  }
  return {
    digest: digest.words(),
    events: hypervisor.eventCount,
    journal: hypervisor.journal,
    reference: hypervisor.order.changes(),
    withoutEffect: hypervisor.intake.withoutEffect,
    waits: hypervisor.waits(),
    lostFor: hypervisor.lostFor,
    faults: hypervisor.tally.tally(),
  };
};
