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
interface Waiter {
  readonly node: number;
  readonly words: KeptWords;
  /** Its node has gone down since. */
  isGone: boolean;
}

/** What the lock does with those who wait for it. */
export interface LockHost {
  /** Moves the lock's line between two nodes, and calls `arrived`. */
  readonly move: (from: number, to: number, arrived: () => void) => void;
  /** Takes the write of whoever has the lock. */
  readonly take: (node: number, words: KeptWords) => void;
}

/**
 * The lock of the order in a live run with `lock` serialisation: it is held from before a write has its number until the write is
 * retired, and goes to waiting cores in the order in which they came.
 */
export class OrderLock {
  /** The node of the core that has the lock, or had it last. */
  place: number;
  private readonly host: LockHost;
  private waiting: Waiter[] = [];
  private holder: Waiter | null = null;

  constructor(place: number, host: LockHost) {
    this.place = place;
    this.host = host;
  }

  /** A core of `node` waits with a trapped write. */
  wait(node: number, words: KeptWords): void {
    this.waiting.push({ node, words, isGone: false });
    this.grant();
  }

  /** The write is over, or was none. */
  release(): void {
    this.holder = null;
    this.grant();
  }

  /** The cores of a node are gone. What holds the lock keeps it if its write has a number. */
  forget(node: number): void {
    this.waiting = this.waiting.filter((waiter) => waiter.node !== node);
    if (this.holder?.node === node) this.holder.isGone = true;
  }

  private grant(): void {
    const next = this.holder === null ? this.waiting.shift() : undefined;
    if (next === undefined) return;
    this.holder = next;
    const from = this.place;
    this.place = next.node;
    this.host.move(from, next.node, () => {
      if (next.isGone) this.release();
      else this.host.take(next.node, next.words);
    });
  }
}
