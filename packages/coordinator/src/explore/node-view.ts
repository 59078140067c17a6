import { ApplyLog } from '@numalab/node-worker';
import type { Cell } from './small-memory.ts';

/** What the search looks at of a node. */
export interface NodeView {
  readonly isUp: boolean;
  readonly isDown: boolean;
  /** EL2's agent has something under way, and can go on. */
  readonly canStep: boolean;
  readonly isIdle: boolean;
  readonly canTouch: boolean;
  /** Cores whose next store may trap now. */
  readonly canSubmit: readonly number[];
  /** What cores may see: their own copy, the primary, or nothing. */
  readonly sees: 'own' | 'primary' | 'nothing';
  /** Of the first word, in this node's copy: value and number that some fetch may see, each way. */
  readonly visible: readonly Cell[];
  /** The words as loads of this node have them. */
  readonly stored: readonly Cell[];
  /** A fetch of one word and then of the next may see two writes. */
  readonly isTorn: boolean;
  /** Numbers of the writes of this node that are over. */
  readonly ended: readonly number[];
  readonly waiting: readonly number[];
  /** A core waits for the page. */
  readonly touching: boolean;
  readonly wantsFaults: boolean;
  readonly timers: readonly { readonly at: number }[];
  readonly log: ApplyLog;
  readonly page: string;
  readonly state: string;
}

/** A log as it is now. */
export const copyOfLog = ({ kinds, subjects, numbers, times }: ApplyLog): ApplyLog =>
  Object.assign(new ApplyLog(), {
    kinds: [...kinds],
    subjects: [...subjects],
    numbers: [...numbers],
    times: [...times],
  });
