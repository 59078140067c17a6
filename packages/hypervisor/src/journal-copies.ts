import { checksumOf, type FaultPlan, type FaultSpec, flipBit, type TallyKeeper, Trigger } from '@numalab/interconnect';
import type { JournalEntry, Order } from './order.ts';

/** What a record holds; that its write is over is said apart. */
type Record = Pick<JournalEntry, 'write' | 'old' | 'core' | 'serial' | 'begin'>;

const COPIES = 2;

const recordOf = ({ write, old, core, serial, begin }: JournalEntry): Record => ({ write, old, core, serial, begin });

/** The checksum that is written with a record. `headOnly` is bug 56. */
const sumOf = ({ write, old, core, serial, begin }: Record, headOnly: boolean): number =>
  headOnly
    ? checksumOf(write.number, write.word, write.origin, core, serial, begin)
    : checksumOf(write.number, write.word, write.origin, core, serial, begin, write.words, old);

/** A copy of a record that is not what was written. */
interface Damaged {
  readonly record: Record;
  readonly flaws: readonly string[];
}

/**
 * The journal as it is kept: two copies of every record, each with a checksum. They are read when a hypervisor begins anew. A
 * copy whose checksum is wrong is written again from the other; if both are wrong nobody knows what the write was, and the
 * hypervisor does not come back, because what it would go by is not the order. Only what is damaged is held here.
 */
export class JournalCopies {
  private readonly order: Order;
  private readonly tally: TallyKeeper;
  private readonly headOnly: boolean;
  private readonly flips: readonly Trigger[];
  /** By number of the write: each copy that is damaged. */
  private readonly damaged = new Map<number, (Damaged | null)[]>();

  constructor(
    plan: FaultPlan,
    seed: number,
    process: number,
    order: Order,
    tally: TallyKeeper,
    bugs: readonly string[],
  ) {
    this.order = order;
    this.tally = tally;
    this.headOnly = bugs.includes('56');
    this.flips = plan.faults
      .filter(({ kind, atPs }) => kind === 'flip-journal' && atPs < plan.healPs)
      .map((fault) => new Trigger(fault, plan.healPs, seed, process));
  }

  /** When a bit flips; {@link flip} takes the place in this list. */
  moments(): readonly number[] {
    return this.flips.map(({ fault }) => fault.atPs);
  }

  /** One bit of one copy of some record; none if there is no record yet. */
  flip(index: number, at: number): void {
    const { fault, random } = this.flips[index]!;
    const { journal } = this.order;
    if (journal.length === 0) return;
    const entry = journal[random.below(journal.length)]!;
    const copy = random.below(COPIES);
    this.tally.fired(fault.name, at);
    // With ECC the next read gives what was written.
    if (fault.survivable) this.tally.repaired(fault.name);
    else this.damage(entry, copy, fault, random);
  }

  private damage(entry: JournalEntry, copy: number, { name }: FaultSpec, random: Trigger['random']): void {
    const copies = this.damaged.get(entry.write.number) ?? Array.from({ length: COPIES }, () => null);
    const before: Damaged = copies[copy] ?? { record: recordOf(entry), flaws: [] };
    copies[copy] = { record: flipBit(before.record, random) as Record, flaws: [...before.flaws, name] };
    this.damaged.set(entry.write.number, copies);
  }

  /** Reads the journal. What of it cannot be read, in words; '': it is all there. */
  read(): string {
    const lost: number[] = [];
    for (const [number, copies] of this.damaged) {
      const entry = this.order.journal[number - 1];
      if (entry === undefined) continue;
      const right = sumOf(recordOf(entry), this.headOnly);
      const isGood = (copy: Damaged | null): boolean => copy === null || sumOf(copy.record, this.headOnly) === right;
      const source = copies.find(isGood);
      for (const copy of copies) if (copy !== null && !isGood(copy)) this.found(copy, source !== undefined);
      if (source === undefined) lost.push(number);
      else if (source !== null) this.order.replace(number, source.record);
      if (source !== undefined) this.damaged.delete(number);
    }
    const first = Math.min(...lost);
    return lost.length === 0 ? '' : `both copies of record ${first} of its journal are damaged`;
  }

  private found({ flaws }: Damaged, isRepaired: boolean): void {
    for (const flaw of flaws) {
      if (isRepaired) this.tally.repaired(flaw);
      else this.tally.detected(flaw);
    }
  }
}
