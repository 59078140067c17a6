import { BROADCAST } from './broadcast.ts';
import type { BugEntry } from './bug-entry.ts';
import { TEXT_PATCHING } from './text-patching.ts';
import { TRANSLATION } from './translation.ts';

export type { BugEntry } from './bug-entry.ts';

/** The bugs that exist as switches, by number. Each is a few lines where the right code stands; see `MachineSpec.bugs`. */
export const BUGS: readonly BugEntry[] = [...TEXT_PATCHING, ...TRANSLATION, ...BROADCAST];

/** Ids that `--bug` takes. */
export const BUG_IDS: readonly string[] = BUGS.map(({ id }) => id);
