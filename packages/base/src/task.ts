/**
 * Kernel or EL2 code on a core: a generator that yields a number of picoseconds to let pass, or {@link WAIT} to sleep until a
 * message wakes the core. What it does between two yields happens at the core's time.
 */
export type Task = Generator<number, void, void>;
/** Like {@link Task}, with a result. */
export type Step<Result> = Generator<number, Result, void>;

/** Sleep until woken. */
export const WAIT = -1;
