/** Error numbers as EL2's functions return them, negated. 0 is success. */

export const EPERM = 1;
export const ENOENT = 2;
export const EAGAIN = 11;
export const ENOMEM = 12;
export const EEXIST = 17;
export const EINVAL = 22;
export const ERANGE = 34;

const NAMES: Readonly<Record<number, string>> = {
  [EPERM]: 'EPERM',
  [ENOENT]: 'ENOENT',
  [EAGAIN]: 'EAGAIN',
  [ENOMEM]: 'ENOMEM',
  [EEXIST]: 'EEXIST',
  [EINVAL]: 'EINVAL',
  [ERANGE]: 'ERANGE',
};

/** `-ENOMEM` and the like for a negative return value, `0` for success. */
export const errorName = (code: number): string => (code < 0 ? `-${NAMES[-code] ?? -code}` : `${code}`);
