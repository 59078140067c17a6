import { DONE, type Step, TaskRun, WAIT } from '@numalab/base';
import type { Steps } from '@numalab/protocols';

/** Steps that take no time: what they were for has been done. */
// biome-ignore lint/correctness/useYield: it is over before it begins
export function* over<Result>(result: Result): Step<Result> {
  return result;
}

/** Lets time pass, and does something then. */
export function* passing(ps: number, then: () => void = () => {}): Steps {
  yield ps;
  then();
}

type Handled = Steps | void;

/**
 * Runs the handlers of one half of a protocol in real time, one after the other: while the steps of one are under way, the next
 * events wait. Steps that take time take it times the scale of latencies; with a scale of 0 none at all.
 */
export class StepsRunner {
  private readonly now: () => number;
  private readonly scale: number;
  private readonly onTimer: (tag: number) => Handled;
  private readonly events: (() => Handled)[] = [];
  private first = 0;
  private readonly task = new TaskRun(DONE);
  /** Steps are under way; a handler runs at this moment. */
  private isBusy = false;
  private isHandling = false;
  /** When the steps go on; Infinity: when woken. */
  private resumeMs = 0;
  private timers: { readonly ms: number; readonly tag: number }[] = [];

  /** `now` gives milliseconds of the threads' common clock; `onTimer` handles timers. */
  constructor(now: () => number, scale: number, onTimer: (tag: number) => Handled) {
    this.now = now;
    this.scale = scale;
    this.onTimer = onTimer;
    this.task.resume();
  }

  /** An event; its handler runs when those before it are over, and {@link run} is called. */
  handle(handler: () => Handled): void {
    this.events.push(handler);
  }

  /** The same, but at once if nothing is under way. */
  handleNow<First, Second, Third>(
    handler: (first: First, second: Second, third: Third) => Handled,
    first: First,
    second: Second,
    third: Third,
  ): void {
    if (this.isBusy || this.isHandling || this.first < this.events.length) {
      this.events.push(() => handler(first, second, third));
      return;
    }
    this.isHandling = true;
    const steps = handler(first, second, third);
    this.isHandling = false;
    if (steps === undefined) return;
    this.enter(steps);
    this.goOn();
  }

  /** Calls back after `delay` picoseconds of real time, whatever the scale. */
  setTimer(delay: number, tag: number): void {
    this.timers.push({ ms: this.now() + delay / 1e9, tag });
  }

  /** What the current steps wait for may have come. */
  wake(): void {
    this.resumeMs = 0;
  }

  /** Nothing is under way or waits to be handled: an event would be handled at once. */
  get isFree(): boolean {
    return !this.isBusy && !this.isHandling && this.first === this.events.length;
  }

  /** Nothing is under way, and no timer will change that. */
  get isIdle(): boolean {
    return !this.isBusy && this.first === this.events.length && this.timers.length === 0;
  }

  /** When {@link run} has something to do. */
  nextMs(): number {
    let next = Infinity;
    for (const { ms } of this.timers) if (ms < next) next = ms;
    if (this.isBusy) return Math.min(next, this.resumeMs);
    return this.first === this.events.length ? next : 0;
  }

  /** Does what is due. */
  run(): void {
    if (this.timers.length > 0) this.fire();
    for (;;) {
      if (this.isBusy && !this.goOn()) return;
      if (this.first === this.events.length) break;
      this.isHandling = true;
      const steps = this.events[this.first++]!();
      this.isHandling = false;
      if (steps !== undefined) this.enter(steps);
    }
    if (this.first > 0) {
      this.events.length = 0;
      this.first = 0;
    }
  }

  private fire(): void {
    const now = this.now();
    const due = this.timers.filter(({ ms }) => ms <= now);
    if (due.length === 0) return;
    this.timers = this.timers.filter(({ ms }) => ms > now);
    for (const { tag } of due) this.handle(() => this.onTimer(tag));
  }

  private enter(steps: Steps): void {
    this.task.restart(steps);
    this.isBusy = true;
    this.resumeMs = 0;
  }

  /** Lets the current steps go on. False: they wait. */
  private goOn(): boolean {
    while (this.resumeMs === 0 || this.resumeMs <= this.now()) {
      const ticks = this.task.resume();
      if (ticks === null) {
        this.isBusy = false;
        return true;
      }
      if (ticks === WAIT) this.resumeMs = Infinity;
      else this.resumeMs = this.scale === 0 || ticks === 0 ? 0 : this.now() + (ticks * this.scale) / 1e9;
    }
    return false;
  }
}
