import { fileURLToPath } from 'node:url';
import { Piscina } from 'piscina';
import type { Trial, TrialOutcome } from './trial.ts';

/** A trial that did what was asked for. */
export interface Found {
  /** Place among those that were tried. */
  readonly index: number;
  readonly outcome: TrialOutcome;
}

/** Runs trials on threads of their own, until time or patience is over. */
export class Trials {
  private readonly pool: Piscina;
  private readonly jobs: number;
  private readonly isOver: () => boolean;
  /** Trials begun. */
  count = 0;

  /** `isOver`: no more trials are to be begun. */
  constructor(jobs: number, isOver: () => boolean) {
    this.jobs = jobs;
    this.isOver = isOver;
    this.pool = new Piscina({
      filename: fileURLToPath(new URL('./thread.ts', import.meta.url)),
      minThreads: jobs,
      maxThreads: jobs,
      concurrentTasksPerWorker: 1,
    });
  }

  get over(): boolean {
    return this.isOver();
  }

  /** Runs one trial, even when time is over. */
  async run(trial: Trial): Promise<TrialOutcome> {
    this.count++;
    return (await this.pool.run(trial)) as TrialOutcome;
  }

  /**
   * The first of `trials` that fails for `cause`, and it is the first however many run side by side; null if none does, or
   * time, or the share of it that ends at `until`, is over before it is found.
   */
  async first(trials: readonly (() => Trial)[], cause: string, until: number = Infinity): Promise<Found | null> {
    let found: Found | null = null;
    let next = 0;
    const running = new Set<Promise<void>>();
    const start = (index: number): void => {
      const promise = this.run(trials[index]!()).then((outcome) => {
        running.delete(promise);
        if (outcome.cause === cause && (found === null || index < found.index)) found = { index, outcome };
      });
      running.add(promise);
    };
    const end = (): number => (found === null ? trials.length : found.index);
    for (;;) {
      while (running.size < this.jobs && next < end() && !this.over && performance.now() < until) start(next++);
      if (running.size === 0) return found;
      await Promise.race(running);
    }
  }

  async close(): Promise<void> {
    await this.pool.destroy();
  }
}
