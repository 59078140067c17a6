import { readFileSync, statSync } from 'node:fs';
import { isAbsolute, relative, sep } from 'node:path';
import { InputError } from '@numalab/base';

/** A path as messages show it: relative to the working directory if it lies inside. */
export const displayPath = (path: string): string => {
  const short = relative(process.cwd(), path);
  return short === '' || short === '..' || short.startsWith(`..${sep}`) || isAbsolute(short) ? path : short;
};

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file',
  ENOTDIR: 'no such file',
  EACCES: 'may not be read',
  EPERM: 'may not be read',
  ELOOP: 'is a loop of symbolic links',
  ENAMETOOLONG: 'the name is too long',
};

const refused = (error: unknown, where: string): InputError => {
  const code = (error as NodeJS.ErrnoException).code ?? 'unknown error';
  return new InputError(where, REASONS[code] ?? `cannot be read (${code})`);
};

/**
 * Reads a whole regular file of at most `maxBytes`. Throws InputError, whose message begins with `where` (default: the
 * path), if there is none, it may not be read, or it is too large.
 */
export const readInputFile = (
  path: string,
  where: string = displayPath(path),
  maxBytes: number = 2 ** 30,
): Uint8Array => {
  try {
    const status = statSync(path);
    if (!status.isFile()) throw new InputError(where, 'is not a regular file');
    if (status.size > maxBytes)
      throw new InputError(where, `is ${status.size} bytes long; at most ${maxBytes} are read`);
    return readFileSync(path);
  } catch (error) {
    throw error instanceof InputError ? error : refused(error, where);
  }
};

/** Throws InputError, whose message begins with `where`, unless `path` is a regular file. */
export const checkInputFile = (path: string, where: string): void => {
  try {
    if (!statSync(path).isFile()) throw new InputError(where, `${displayPath(path)}: is not a regular file`);
  } catch (error) {
    throw error instanceof InputError ? error : refused(error, `${where}: ${displayPath(path)}`);
  }
};
