/**
 * Bad input: a scenario, file or option that cannot be used. The command line prints the message as one line and exits
 * with code 2. `where` names the file and, if there is one, the field: `scenarios/x.yaml: machine.nodes`.
 */
export class InputError extends Error {
  override readonly name = 'InputError';
  readonly where: string;
  /** The message without `where`. */
  readonly what: string;

  constructor(where: string, what: string) {
    super(`${where}: ${what}`);
    this.where = where;
    this.what = what;
  }

  /** The error that had these: one that crossed threads or processes, which leave no more of it. */
  static from({ where, message }: { readonly where: string; readonly message: string }): InputError {
    return new InputError(where, message.slice(where.length + 2));
  }
}

/** A bug in numalab: an assumption of the code did not hold. The command line exits with code 70. */
export class InternalError extends Error {
  override readonly name = 'InternalError';
}

/** A part of numalab was ended from outside, by a signal say. The command line prints one line and exits with code 70. */
export class LostError extends Error {
  override readonly name = 'LostError';
}

/**
 * Throws {@link InternalError} unless `condition` holds. Not for inner loops, where a message that is put together costs more
 * than what it is about: there, an `if` throws.
 */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new InternalError(message);
}
