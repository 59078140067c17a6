import { announceChange, OFFLINE, TICK, threadWord } from './shared-words.ts';

/**
 * The words by which kernel code on cores of all threads meets (see shared-words.ts), where threads share them. Where they do not,
 * because their processes share no memory, every process has a replica of each: see RemoteControl.
 */
export class ControlWords {
  protected readonly words: Int32Array;
  /** The clock, where the record's time is that and not the order's ticks. */
  private readonly stamp: (() => number) | null;

  constructor(words: Int32Array, stamp: (() => number) | null) {
    this.words = words;
    this.stamp = stamp;
  }

  /** A word that one thread at a time writes has another value. */
  publish(index: number, value: number): void {
    Atomics.store(this.words, index, value);
  }

  /** Counts one up, and returns the count. */
  count(index: number): number {
    return Atomics.add(this.words, index, 1) + 1;
  }

  /** Counts one up from `count`, unless somebody has. */
  advance(index: number, count: number): void {
    Atomics.compareExchange(this.words, index, count, count + 1);
  }

  /** Takes a lock for `holder`, if nobody has it. */
  tryLock(index: number, holder: number): boolean {
    return Atomics.compareExchange(this.words, index, 0, holder) === 0;
  }

  unlock(index: number): void {
    Atomics.store(this.words, index, 0);
  }

  /** A node is down, joins, or is up: whoever waits for its cores looks again. Over everywhere when this returns. */
  announceState(node: number, state: number, nodes: number): void {
    Atomics.store(this.words, threadWord(node) + OFFLINE, state);
    announceChange(this.words, nodes);
  }

  /** The present tick of the order: what the record has as time. */
  tick(): number {
    return this.stamp === null ? Atomics.load(this.words, TICK) : this.stamp();
  }
}
