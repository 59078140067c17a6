import { z } from 'zod';
import {
  BANDWIDTH_PATTERN,
  DURATION_PATTERN,
  parseBandwidth,
  parseDuration,
  parseRate,
  parseSize,
  RATE_PATTERN,
  SIZE_PATTERN,
} from './units.ts';

/**
 * Leaves of the scenario schema. Each reads what people write, gives base units (bytes, picoseconds, events per second),
 * and says in one clause what it wants if it gets something else.
 */

interface Bounds {
  readonly min?: number;
  readonly max?: number;
  /** The bounds as people write them. */
  readonly text?: string;
}

type Reader<Output> = z.ZodType<Output, string | number>;

const SIZE_WANTED = 'must be a size such as 512MiB or 64GiB';
const DURATION_WANTED = 'must be a time with a unit, such as 2ms, 500us or 750ns';
const RATE_WANTED = 'must be a rate such as 10k/s, or max';
const BANDWIDTH_WANTED = 'must be profile, none or a bandwidth such as 20GB/s';

const outside = (value: number, { min, max }: Bounds): boolean =>
  (min !== undefined && value < min) || (max !== undefined && value > max);

/** Bytes. */
export const size = (bounds: Bounds = {}): Reader<number> =>
  z
    .union([z.number(), z.string().regex(SIZE_PATTERN, { error: SIZE_WANTED })], { error: SIZE_WANTED })
    .transform((value, context) => {
      const bytes = parseSize(value);
      if (Number.isNaN(bytes)) context.addIssue({ code: 'custom', message: SIZE_WANTED });
      else if (outside(bytes, bounds)) context.addIssue({ code: 'custom', message: `must be ${bounds.text}` });
      return bytes;
    });

/** Picoseconds. */
export const duration = (bounds: Bounds = {}): Reader<number> =>
  z
    .union([z.literal(0), z.string().regex(DURATION_PATTERN, { error: DURATION_WANTED })], { error: DURATION_WANTED })
    .transform((value, context) => {
      const ps = parseDuration(value);
      if (Number.isNaN(ps)) context.addIssue({ code: 'custom', message: DURATION_WANTED });
      else if (outside(ps, bounds)) context.addIssue({ code: 'custom', message: `must be ${bounds.text}` });
      return ps;
    });

/** Events per second or `max`. */
export const rate = (): Reader<number | 'max'> =>
  z
    .union([z.number(), z.string().regex(RATE_PATTERN, { error: RATE_WANTED })], { error: RATE_WANTED })
    .transform((value, context) => {
      const parsed = parseRate(value);
      if (parsed !== 'max' && !(parsed > 0 && parsed <= 1e12))
        context.addIssue({ code: 'custom', message: RATE_WANTED });
      return parsed;
    });

/** Bytes per nanosecond, `profile` or `none`. */
export const bandwidth = (): z.ZodType<number | 'profile' | 'none', string> =>
  z
    .string({ error: BANDWIDTH_WANTED })
    .regex(BANDWIDTH_PATTERN, { error: BANDWIDTH_WANTED })
    .transform((value, context) => {
      const parsed = parseBandwidth(value);
      if (typeof parsed === 'number' && !(parsed > 0)) context.addIssue({ code: 'custom', message: BANDWIDTH_WANTED });
      return parsed;
    });

/** A whole number from `min` to `max`. */
export const whole = (min: number, max: number): z.ZodType<number, number> => z.int().min(min).max(max);

/** A number from 0 to 1. */
export const fraction = (): z.ZodType<number, number> => z.number().min(0).max(1);

/** A path or name. */
export const text = (): z.ZodType<string, string> => z.string().min(1).max(4096);

/** true or false. */
export const flag = (): z.ZodType<boolean, boolean> => z.boolean();
