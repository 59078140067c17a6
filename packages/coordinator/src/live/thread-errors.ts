import { InputError } from '@numalab/base';

/**
 * An error as a thread throws it out of itself. On its way it loses its class and all fields but a few: what the user has to
 * mend, an InputError, travels as the cause.
 */
export const sentError = (error: unknown): unknown =>
  error instanceof InputError
    ? new Error(error.message, { cause: { where: error.where, message: error.message } })
    : error;

/** The error that {@link sentError} sent. */
export const receivedError = (error: unknown): unknown => {
  const cause = (error as Error | undefined)?.cause as
    | { readonly where?: unknown; readonly message?: unknown }
    | undefined;
  if (typeof cause?.where !== 'string' || typeof cause.message !== 'string') return error;
  return InputError.from({ where: cause.where, message: cause.message });
};
