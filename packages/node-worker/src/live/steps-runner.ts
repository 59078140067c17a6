import { type Step, TaskRun, WAIT } from '@numalab/base';
import type { Steps } from '@numalab/protocols';

/** Steps that take no time: what they were for has been done. */
// biome-ignore lint/correctness/useYield: it is over before it begins
export function* over<Result>(result: Result): Step<Result> {
  return result;
}

/** {@link over} without a result, for any number of uses. */
export const DONE: Step<void> = over(undefined);
DONE.next();

/**
 * Runs the handlers of one half of a protocol in real time, one after the other: while the steps of one are under way, the next
 * events wait. Steps that take time take it times the scale of latencies; with a scale of 0 none at all.
 */
export class StepsRunner {
  private readonly now: () => number;
  private readonly scale: number;
  private readonly events: (() => Steps | void)[] = [];
  private first = 0;
  private current: TaskRun | null = null;
  /** When the current steps go on; Infinity: when woken. */
  private resumeMs = 0;
  private timers: { readonly ms: number; readonly tag: number }[] = [];

  /** `now` gives milliseconds of the threads' common clock. */
  constructor(now: () => number, scale: number) {
    this.now = now;
    this.scale = scale;
  }

  /** An event; its handler runs when those before it are over. */
  handle(handler: () => Steps | void): void {
    this.events.push(handler);
  }

  /** Calls back after `delay` picoseconds of real time, whatever the scale. */
  setTimer(delay: number, tag: number): void {
    this.timers.push({ ms: this.now() + delay / 1e9, tag });
  }

  /** What the current steps wait for may have come. */
  wake(): void {
    this.resumeMs = 0;
  }

  /** Nothing is under way, and no timer will change that. */
  get isIdle(): boolean {
    return this.current === null && this.first === this.events.length && this.timers.length === 0;
  }

  /** When {@link run} has something to do. */
  nextMs(): number {
    let next = Infinity;
    for (const { ms } of this.timers) if (ms < next) next = ms;
    if (this.current !== null) return Math.min(next, this.resumeMs);
    return this.first === this.events.length ? next : 0;
  }

  /** Does what is due. */
  run(onTimer: (tag: number) => Steps | void): void {
    if (this.timers.length > 0) this.fire(onTimer);
    for (;;) {
      if (this.current !== null && !this.goOn()) return;
      if (this.first === this.events.length) break;
      const steps = this.events[this.first++]!();
      if (steps !== undefined) {
        this.current = new TaskRun(steps);
        this.resumeMs = 0;
      }
    }
    if (this.first > 0) {
      this.events.length = 0;
      this.first = 0;
    }
  }

  private fire(onTimer: (tag: number) => Steps | void): void {
    const now = this.now();
    const due = this.timers.filter(({ ms }) => ms <= now);
    if (due.length === 0) return;
    this.timers = this.timers.filter(({ ms }) => ms > now);
    for (const { tag } of due) this.handle(() => onTimer(tag));
  }

  /** Lets the current steps go on. False: they wait. */
  private goOn(): boolean {
    while (this.resumeMs === 0 || this.resumeMs <= this.now()) {
      const ticks = this.current!.resume();
      if (ticks === null) {
        this.current = null;
        return true;
      }
      if (ticks === WAIT) this.resumeMs = Infinity;
      else this.resumeMs = this.scale === 0 || ticks === 0 ? 0 : this.now() + (ticks * this.scale) / 1e9;
    }
    return false;
  }
}
