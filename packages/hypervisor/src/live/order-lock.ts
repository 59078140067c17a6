import type { Words } from '@numalab/node-worker';

/** The words of a record, kept for later. */
export class KeptWords implements Words {
  private readonly words: readonly number[];
  private at = 0;

  constructor(words: readonly number[]) {
    this.words = words;
  }

  word(): number {
    return this.words[this.at++]!;
  }

  rest(): number[] {
    return this.words.slice(this.at);
  }
}

/** A trapped write, of a core of `node`, that waits for the lock, or has it. */
export interface LockWaiter {
  readonly node: number;
  readonly words: KeptWords;
  /** Its node has gone down since. */
  isGone: boolean;
}

/**
 * The lock of the order in a live run with `lock` serialisation: it is held from before a write has its number until the write is
 * retired, and goes to waiting cores in the order in which they came.
 */
export class OrderLock {
  private waiting: LockWaiter[] = [];
  private holder: LockWaiter | null = null;

  wait(node: number, words: KeptWords): void {
    this.waiting.push({ node, words, isGone: false });
  }

  /** Gives the lock, if it is free, to the first that waits for it; null: to nobody. */
  grant(): LockWaiter | null {
    if (this.holder !== null) return null;
    this.holder = this.waiting.shift() ?? null;
    return this.holder;
  }

  release(): void {
    this.holder = null;
  }

  /** The cores of a node are gone. What holds the lock keeps it: its write may have a number. */
  forget(node: number): void {
    this.waiting = this.waiting.filter((waiter) => waiter.node !== node);
    if (this.holder?.node === node) this.holder.isGone = true;
  }
}
