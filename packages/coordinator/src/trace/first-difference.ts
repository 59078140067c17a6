import { isDeepStrictEqual } from 'node:util';
import { type TraceEvent, TraceFolder } from './trace-folder.ts';
import { eventText } from './trace-text.ts';

/** The first event in which two runs differ: how many before it were the same, and what each has there; null: it has ended. */
export interface Difference {
  readonly same: number;
  readonly recorded: string | null;
  readonly now: string | null;
  readonly timePs: number;
}

/** Compares two traces event by event; null if they are the same. Throws InputError where one cannot be read. */
export const firstDifference = (recordedFolder: string, nowFolder: string): Difference | null => {
  const recorded = new TraceFolder(recordedFolder);
  const now = new TraceFolder(nowFolder);
  const [left, right] = [recorded.events(), now.events()];
  try {
    for (let same = 0; ; same++) {
      const before = left.next().value as TraceEvent | undefined;
      const after = right.next().value as TraceEvent | undefined;
      if (before === undefined && after === undefined) return null;
      if (isDeepStrictEqual(before, after)) continue;
      return {
        same,
        recorded: before === undefined ? null : eventText(before, recorded.header).trim(),
        now: after === undefined ? null : eventText(after, now.header).trim(),
        timePs: Math.min(before?.time ?? Infinity, after?.time ?? Infinity),
      };
    }
  } finally {
    left.return();
    right.return();
    recorded.close();
    now.close();
  }
};
