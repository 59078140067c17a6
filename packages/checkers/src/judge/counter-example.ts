import type { Guarantee } from '@numalab/protocols';
import type { Version } from './timeline.ts';

/** A fetch of a counter-example. Times in picoseconds. */
export interface FetchSeen {
  readonly cpu: number;
  readonly issuePs: number;
  readonly endPs: number;
  /** The write that it saw; 0: the image. */
  readonly number: number;
}

/** A write of a counter-example; `endPs` is null if it never ended. */
export interface WriteSeen {
  readonly number: number;
  /** Core of the store, -1 if not known. */
  readonly cpu: number;
  readonly beginPs: number;
  readonly endPs: number | null;
}

/** A level that a run does not hold, with the shortest counter-example found: fewest operations, then least time. */
export interface Refutation {
  readonly level: Guarantee;
  readonly message: string;
  /** When it was plain. */
  readonly timePs: number;
  /** From its first moment to its last. */
  readonly spanPs: number;
  /** Offset from `_text` of the word concerned, in bytes; -1: no single word. */
  readonly offset: number;
  readonly writes: readonly WriteSeen[];
  readonly fetches: readonly FetchSeen[];
  /** Counter-examples found, this one included; one per word and version at most. */
  readonly found: number;
}

/** How fetches of one word contradict a level. */
export type Contradiction =
  /** A write had ended, and a fetch issued later saw an earlier one. */
  | 'late'
  /** A fetch had ended that saw a write, and a fetch issued later saw an earlier one. */
  | 'back'
  /** A fetch ended before a write began that it saw, or that the order has before what it saw. */
  | 'early';

/** A counter-example within one word. */
export interface CounterExample {
  readonly level: 'completed' | 'atomic';
  readonly kind: Contradiction;
  readonly word: number;
  readonly write: Version;
  /** The fetch at fault last; before it the one that it contradicts. */
  readonly fetches: readonly FetchSeen[];
  readonly operations: number;
  readonly from: number;
  readonly to: number;
}

/** Keeps the shortest counter-example of each level and counts the others. */
export class Shortest {
  private readonly best = new Map<string, CounterExample>();
  private readonly counts = new Map<string, number>();

  /** Whether an example of so many operations and such a span would be the shortest so far; counts it as found. */
  wants(level: 'completed' | 'atomic', operations: number, span: number): boolean {
    this.counts.set(level, (this.counts.get(level) ?? 0) + 1);
    const known = this.best.get(level);
    if (known === undefined) return true;
    return operations < known.operations || (operations === known.operations && span < known.to - known.from);
  }

  keep(example: CounterExample): void {
    this.best.set(example.level, example);
  }

  get examples(): CounterExample[] {
    return [...this.best.values()];
  }

  of(level: string): CounterExample | undefined {
    return this.best.get(level);
  }

  found(level: string): number {
    return this.counts.get(level) ?? 0;
  }
}

export const hex = (value: number): string => `0x${(value >>> 0).toString(16)}`;
export const ns = (ps: number): string => `${(ps / 1000).toFixed(3)} ns`;
export const place = (word: number): string => `word ${word} (offset ${hex(word * 4)})`;
export const writer = (cpu: number): string => (cpu < 0 ? '' : ` by CPU ${cpu}`);
