import { basename } from 'node:path';
import { InputError, type Step, WAIT } from '@numalab/base';
import type { HypervisorHalf, NodeHalf, Protocol } from '@numalab/protocols';

/** Steps and events of one half at one moment, at most: more, and it goes round in circles. */
const STANDSTILL = 1_000_000;

type Handler = (context: { readonly now: number }, ...args: readonly unknown[]) => unknown;

/** The first line of an error, and where in the file it happened. */
const reasonOf = (error: Error, file: string): string => {
  const frame = error.stack?.split('\n').find((line) => line.includes(`/${basename(file)}:`));
  const line = /:(\d+):\d+\)?$/.exec(frame ?? '')?.[1];
  const reason = `${error.name}: ${error.message}`.split('\n')[0]!.slice(0, 300);
  return line === undefined ? reason : `${reason}, at line ${line}`;
};

const isTask = (value: unknown): value is Step<unknown> =>
  typeof value === 'object' && value !== null && typeof (value as Partial<Iterator<unknown>>).next === 'function';

const isTicks = (value: unknown): boolean => typeof value === 'number' && (value === WAIT || value >= 0);

/**
 * One half of a protocol that is not numalab's own: what goes wrong in it is its author's business, so it becomes bad input
 * that names file, half and handler.
 */
class Guard {
  private readonly where: string;
  private readonly half: string;
  private moment = -1;
  private count = 0;

  constructor(where: string, half: string) {
    this.where = where;
    this.half = half;
  }

  wrap(handler: Handler, self: unknown, name: string): Handler {
    return (context, ...args) => {
      const steps = this.blaming(name, context, () => handler.call(self, context, ...args));
      if (steps === undefined) return undefined;
      if (!isTask(steps)) throw this.problem(name, 'returned what is no task; a handler that waits is a generator');
      return this.guard(steps, context, name);
    };
  }

  private problem(name: string, what: string): InputError {
    return new InputError(this.where, `${name} of the ${this.half}’s half ${what}`);
  }

  /** Runs a piece of the half. What is thrown to end it from outside is no error, and passes. */
  private blaming<Result>(name: string, { now }: { readonly now: number }, piece: () => Result): Result {
    if (now === this.moment) this.count++;
    else this.count = 0;
    this.moment = now;
    if (this.count >= STANDSTILL) {
      throw this.problem(name, `goes round in circles: ${STANDSTILL} steps, and no time has passed`);
    }
    try {
      return piece();
    } catch (error) {
      throw error instanceof Error ? this.problem(name, `threw ${reasonOf(error, this.where)}`) : error;
    }
  }

  /** The same task; a task within it is guarded too. */
  private *guard(steps: Step<unknown>, context: { readonly now: number }, name: string): Step<unknown> {
    let result: unknown;
    for (;;) {
      const step = this.blaming(name, context, () => steps.next(result));
      if (step.done === true) return step.value;
      const { value } = step;
      if (isTask(value)) result = yield this.guard(value, context, name);
      else if (isTicks(value)) result = yield value;
      else throw this.problem(name, 'yielded what is neither a time nor a task');
    }
  }
}

const guardHalf = <Half extends object>(half: Half, where: string, name: string): Half => {
  const guard = new Guard(where, name);
  const guarded: Record<string, unknown> = {};
  if ('independentWrites' in half) guarded.independentWrites = half.independentWrites;
  for (const key of ['onWrite', 'onMessage', 'onFault', 'onTimer', 'onNodeDown', 'onNodeBack']) {
    const handler = (half as Record<string, unknown>)[key];
    if (typeof handler === 'function') guarded[key] = guard.wrap(handler as Handler, half, key);
  }
  return guarded as Half;
};

/** A protocol from a file, of which `where` is the name: it does the same, and its failures are {@link InputError}s. */
export const guardProtocol = (protocol: Protocol, where: string): Protocol => ({
  ...protocol,
  hypervisor: (bugs) => guardHalf<HypervisorHalf>(protocol.hypervisor(bugs), where, 'hypervisor'),
  node: (bugs) => guardHalf<NodeHalf>(protocol.node(bugs), where, 'node'),
});
