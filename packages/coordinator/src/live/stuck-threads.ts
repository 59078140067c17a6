import { type LiveShared, shared as word } from '@numalab/node-worker';
import { PATIENCE_MS } from '../engine/deadline.ts';
import { isForeign, loopsForEver, type ProtocolRef } from '../engine/protocol-ref.ts';

/** What threads leave that have been told to end. Throws InputError if a protocol from a file keeps one of them from it. */
export const inPatience = async <Left>(left: Promise<Left>, protocol: ProtocolRef): Promise<Left> => {
  if (!isForeign(protocol)) return await left;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(loopsForEver(protocol)), PATIENCE_MS);
  });
  try {
    return await Promise.race([left, late]);
  } finally {
    clearTimeout(timer);
  }
};

/**
 * Finds threads that a protocol from a file keeps busy for ever. A thread that sleeps, or waits for a processor, has turned its loop a
 * little while ago all the same; one that is down does not count.
 */
export class StuckThreads {
  private readonly shared: LiveShared;
  private readonly threads: readonly number[];
  /** By thread: turns of its loop, and when that was another number. */
  private readonly turns: number[];
  private readonly since: number[];

  /** `threads` are those of this process. */
  constructor(shared: LiveShared, threads: readonly number[], protocol: ProtocolRef) {
    this.shared = shared;
    this.threads = isForeign(protocol) ? threads : [];
    this.turns = threads.map(() => -1);
    this.since = threads.map(() => Infinity);
  }

  /** Whether one of them has not turned for {@link PATIENCE_MS}. To be called now and then; `now` is in milliseconds. */
  find(now: number): boolean {
    const { words } = this.shared;
    const phase = Atomics.load(words, word.PHASE);
    const runs = phase > word.PHASE_BOOT && phase < word.PHASE_END;
    for (const [i, thread] of this.threads.entries()) {
      const turns = Atomics.load(words, word.threadWord(thread) + word.TURNS);
      if (!runs || !this.canTurn(thread) || turns !== this.turns[i]) this.since[i] = now;
      this.turns[i] = turns;
      if (now - this.since[i]! >= PATIENCE_MS) return true;
    }
    return false;
  }

  private canTurn(thread: number): boolean {
    const { spec, words } = this.shared;
    if (thread === spec.nodes) return spec.strategy !== 'none';
    return Atomics.load(words, word.threadWord(thread) + word.OFFLINE) === word.OFFLINE_UP;
  }
}
