import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  DURATION_PATTERN,
  formatDuration,
  formatRate,
  formatSize,
  parseBandwidth,
  parseDuration,
  parseRate,
  parseSize,
  RATE_PATTERN,
  SIZE_PATTERN,
} from './units.ts';

describe('quantities', () => {
  it.each([
    ['512MiB', 2 ** 29],
    ['64GiB', 2 ** 36],
    ['1TiB', 2 ** 40],
    ['2 KiB', 2048],
    ['4K', 4096],
    ['1.5KiB', 1536],
    ['0x40000000', 2 ** 30],
    ['12', 12],
    ['12B', 12],
  ])('%s is %d bytes', (text, bytes) => {
    expect(parseSize(text)).toBe(bytes);
    expect(text).toMatch(SIZE_PATTERN);
  });

  it.each([
    ['2ms', 2e9],
    ['10s', 1e13],
    ['500us', 5e8],
    ['500µs', 5e8],
    ['750ns', 750_000],
    ['1.5ns', 1500],
    ['3ps', 3],
    ['0', 0],
  ])('%s is %d picoseconds', (text, ps) => {
    expect(parseDuration(text)).toBe(ps);
    expect(text).toMatch(DURATION_PATTERN);
  });

  it.each([
    ['10k/s', 10_000],
    ['2M/s', 2e6],
    ['5', 5],
    ['max', 'max'],
  ])('%s is a rate of %s', (text, rate) => {
    expect(parseRate(text)).toBe(rate);
    expect(text).toMatch(RATE_PATTERN);
  });

  it('are refused where a unit is missing, unknown or too fine', () => {
    for (const text of ['', '5XB', '5MB', '1.3B', '-1', '1e3', 'MiB', '9999999TiB']) expect(parseSize(text)).toBeNaN();
    for (const text of ['5', '5 parsec', '0.1ps', '-2ms', 'ms', '1h']) expect(parseDuration(text)).toBeNaN();
    for (const text of ['fast', '10/ms', '-1', '']) expect(parseRate(text)).toBeNaN();
    for (const text of ['5', '5GB', 'infinite']) expect(parseBandwidth(text)).toBeNaN();
  });

  it('survive being written and read', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 50 }), (value) => {
        expect(parseSize(formatSize(value))).toBe(value);
        expect(parseDuration(formatDuration(value))).toBe(value);
        if (value > 0) expect(parseRate(formatRate(value))).toBe(value);
      }),
    );
    expect(formatSize(2 ** 31)).toBe('2GiB');
    expect(formatDuration(2e9)).toBe('2ms');
    expect(formatRate(20_000)).toBe('20k/s');
  });
});
