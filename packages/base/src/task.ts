/**
 * Kernel or EL2 code on a core: a generator that yields a number of picoseconds to let pass, {@link WAIT} to sleep until a
 * message wakes the core, or another such generator to call it: `const x = (yield f()) as X`. What it does between two
 * yields happens at the core's time. `yield*` calls too, but then every resumption passes through every caller.
 */
export type Step<Result> = Generator<number | Step<unknown>, Result, unknown>;
/** A {@link Step} without a result. */
export type Task = Step<void>;
/** What kernel code yields to call something that often, or always, does no more than let time pass: then it is that time. */
export type Pause = number | Task;

/** Sleep until woken. */
export const WAIT = -1;

/** What a core runs, from one pause to the next. */
export interface Resumable {
  /** Goes on until the next number, which it returns; null at the end. */
  resume(): number | null;
}

/** What every call of `next` of {@link DONE} returns. */
const ENDED = { done: true, value: undefined } as const;

/**
 * A step that is over before it begins, for any number of uses. Not a generator, because an engine sees through `yield*` of a
 * plain object, and calls a function of its own for one of a generator.
 */
export const DONE: Step<void> = Object.freeze({
  next: () => ENDED,
  [Symbol.iterator]() {
    return this;
  },
}) as unknown as Step<void>;

/** What every generator inherits. Called by name, it would be looked for anew in each: they are all of different classes. */
const { next } = Object.getPrototypeOf(Object.getPrototypeOf((function* () {})())) as Generator;

/** Runs a task: keeps the stack of calls, so that resuming costs the same however deep the code is. */
export class TaskRun implements Resumable {
  private readonly stack: Step<unknown>[];

  constructor(task: Step<unknown>) {
    this.stack = task === DONE ? [] : [task];
  }

  /** Takes another task, after the end of the last: one object runs many. */
  restart(task: Task): void {
    if (task !== DONE) this.stack.push(task);
  }

  resume(): number | null {
    const { stack } = this;
    let result: unknown;
    while (stack.length > 0) {
      const step = next.call(stack[stack.length - 1], result) as IteratorResult<number | Step<unknown>, unknown>;
      if (step.done === true) {
        result = step.value;
        stack.pop();
      } else if (typeof step.value === 'number') return step.value;
      else {
        // What is over already is no generator.
        if (step.value !== DONE) stack.push(step.value);
        result = undefined;
      }
    }
    return null;
  }
}
