/** One measured figure. */
export interface Figure {
  readonly name: string;
  /** With its unit. */
  readonly value: string;
  /** What it should reach, if that was agreed on. */
  readonly target?: string;
  /** What was measured, and by how much it scattered. */
  readonly note: string;
}

/** The middle of an odd number of values. */
export const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0;
