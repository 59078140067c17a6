import type { Branded } from './address.ts';

/** A moment of virtual time, in picoseconds since the start of the measured phase. Boot is at 0. */
export type Instant = Branded<'Instant'>;
/** A span of virtual time, in picoseconds. */
export type Duration = Branded<'Duration'>;

/** Brands a number of picoseconds as a moment. */
export const instant = (picoseconds: number): Instant => picoseconds as Instant;
/** Brands a number of picoseconds as a span. */
export const picoseconds = (value: number): Duration => value as Duration;
/** A span given in nanoseconds. */
export const nanoseconds = (value: number): Duration => Math.round(value * 1000) as Duration;
/** The moment `span` after `from`. */
export const after = (from: Instant, span: Duration): Instant => (from + span) as Instant;

/** Never: later than every moment that occurs. */
export const NEVER: Instant = Infinity as Instant;
