import { Script } from 'node:vm';

/** How long a piece of a protocol from a file may keep its thread busy. Machines get nowhere near it. */
export const PATIENCE_MS = 30_000;

const CALL = '__numalabCall';
const script = new Script(`globalThis.${CALL}()`);

const isTimeout = (error: unknown): boolean =>
  error instanceof Error && (error as NodeJS.ErrnoException).code === 'ERR_SCRIPT_EXECUTION_TIMEOUT';

/**
 * Runs `piece`, and throws what `late` makes if it is not over in time: the one way to get out of a loop that never yields,
 * which holds up signals too. Costs half a millisecond.
 */
export const withDeadline = <Result>(
  piece: () => Result,
  late: () => Error,
  timeoutMs: number = PATIENCE_MS,
): Result => {
  const globals = globalThis as unknown as Record<string, unknown>;
  let result: Result | undefined;
  globals[CALL] = () => {
    result = piece();
  };
  try {
    script.runInThisContext({ timeout: timeoutMs });
  } catch (error) {
    throw isTimeout(error) ? late() : error;
  } finally {
    delete globals[CALL];
  }
  return result as Result;
};
