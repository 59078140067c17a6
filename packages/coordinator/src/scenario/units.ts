/**
 * Quantities as people write them: 512MiB, 2ms, 10k/s. Parsers return NaN for what they do not understand; the schema turns
 * that into a message with a place.
 */

const SIZES: Readonly<Record<string, number>> = {
  '': 1,
  B: 1,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
  K: 2 ** 10,
  M: 2 ** 20,
  G: 2 ** 30,
  T: 2 ** 40,
};

const DURATIONS: Readonly<Record<string, number>> = { ps: 1, ns: 1e3, us: 1e6, µs: 1e6, ms: 1e9, s: 1e12 };

const MULTIPLES: Readonly<Record<string, number>> = { '': 1, k: 1e3, M: 1e6, G: 1e9 };

/** For JSON Schema: what {@link parseSize} takes. */
export const SIZE_PATTERN: RegExp = /^(0x[0-9a-fA-F]+|\d+(\.\d+)?\s*([KMGT](iB)?|B)?)$/;
/** For JSON Schema: what {@link parseDuration} takes. */
export const DURATION_PATTERN: RegExp = /^(0|\d+(\.\d+)?\s*(ps|ns|us|µs|ms|s))$/;
/** For JSON Schema: what {@link parseRate} takes. */
export const RATE_PATTERN: RegExp = /^(max|\d+(\.\d+)?\s*[kMG]?(\/s)?)$/;
/** For JSON Schema: what {@link parseBandwidth} takes. */
export const BANDWIDTH_PATTERN: RegExp = /^(profile|none|\d+(\.\d+)?\s*[MG]B\/s)$/;

/** `value × factor` as a whole number, or NaN if it is none: 1.5KiB is 1536, 1.3B is refused. */
const scaled = (digits: string, factor: number): number => {
  const exact = Number(digits) * factor;
  const value = Math.round(exact);
  return Number.isSafeInteger(value) && Math.abs(exact - value) < 1e-6 ? value : Number.NaN;
};

/** Bytes: a number, or text such as 64GiB, 512MiB, 0x40000000. K, M and G are powers of 1024 here. */
export const parseSize = (value: number | string): number => {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? value : Number.NaN;
  if (/^0x[0-9a-fA-F]+$/.test(value)) return scaled(value, 1);
  const match = /^(\d+(?:\.\d+)?)\s*([A-Za-z]*)$/.exec(value);
  const factor = match === null ? undefined : SIZES[match[2]!];
  return match === null || factor === undefined ? Number.NaN : scaled(match[1]!, factor);
};

/** Picoseconds: text such as 2ms, 10s, 500us, 750ns, or 0. A number without a unit is refused. */
export const parseDuration = (value: number | string): number => {
  if (value === 0 || value === '0') return 0;
  const match = /^(\d+(?:\.\d+)?)\s*([a-zµ]+)$/.exec(String(value));
  const factor = match === null ? undefined : DURATIONS[match[2]!];
  return match === null || factor === undefined ? Number.NaN : scaled(match[1]!, factor);
};

/** Events per second: a number, 10k/s, 2M/s, or `max`. */
export const parseRate = (value: number | string): number | 'max' => {
  if (value === 'max') return 'max';
  const match = /^(\d+(?:\.\d+)?)\s*([kMG]?)(?:\/s)?$/.exec(String(value));
  return match === null ? Number.NaN : Number(match[1]) * MULTIPLES[match[2]!]!;
};

/** Bytes per nanosecond: 20GB/s, 500MB/s, `profile` or `none`. */
export const parseBandwidth = (value: string): number | 'profile' | 'none' => {
  if (value === 'profile' || value === 'none') return value;
  const match = /^(\d+(?:\.\d+)?)\s*([MG])B\/s$/.exec(value);
  if (match === null) return Number.NaN;
  return match[2] === 'G' ? Number(match[1]) : Number(match[1]) / 1000;
};

const withUnit = (value: number, units: Readonly<Record<string, number>>, order: readonly string[]): string => {
  for (const unit of order) {
    if (value !== 0 && value % units[unit]! === 0) return `${value / units[unit]!}${unit}`;
  }
  return `${value}${order.at(-1)}`;
};

/** The shortest exact way to write a size: 2GiB. */
export const formatSize = (bytes: number): string => withUnit(bytes, SIZES, ['TiB', 'GiB', 'MiB', 'KiB', 'B']);
/** The shortest exact way to write a duration: 2ms. */
export const formatDuration = (ps: number): string => withUnit(ps, DURATIONS, ['s', 'ms', 'us', 'ns', 'ps']);
/** The shortest exact way to write a rate: 10k/s. */
export const formatRate = (rate: number | 'max'): string => {
  if (rate === 'max') return rate;
  return `${withUnit(rate, MULTIPLES, ['G', 'M', 'k', ''])}/s`;
};
/** A bandwidth as {@link parseBandwidth} reads it. */
export const formatBandwidth = (value: number | 'profile' | 'none'): string =>
  typeof value === 'number' ? `${value}GB/s` : value;
