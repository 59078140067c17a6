/**
 * What a run does, event by event, for people and for comparing two runs. A message that takes effect is an event of its own
 * kind (see `kinds.ts`); these are the others.
 */

/** A store to text has trapped. a: vCPU, b: word, c: count of the submissions of its core. */
export const TRACE_TRAP = 100;
/** The order gave a number. a: number, b: word, c: node; body: {@link NumberedBody}. */
export const TRACE_NUMBERED = 101;
/** A node's copy changed. a: APPLY_…, b: write or page, c: of a copied page the highest number in it. */
export const TRACE_APPLIED = 102;
/** A write is retired. a: number. */
export const TRACE_RETIRED = 103;
/** The trapped core goes on behind its store. a: number, b: vCPU. */
export const TRACE_OVER = 104;
/** A planned fault. a: 0 it hit something, 1 it was noticed, 2 its damage was undone; body: its name. */
export const TRACE_FAULT = 105;
/** A descriptor was stored. a: level, b: IPA, c: PA of the descriptor; body: old and new, two words each. */
export const TRACE_TABLE = 106;
/** A barrier or TLBI of an edit. body: as in a listing. */
export const TRACE_OPERATION = 107;
/** A rule was found broken while the machine ran. body: its id, and in words. */
export const TRACE_FINDING = 108;
/** A writer's synchronisation has returned. a: word, b: vCPU. */
export const TRACE_SYNCHRONISED = 109;

export const TRACE_NAMES: Readonly<Record<number, string>> = {
  100: 'trap',
  101: 'numbered',
  102: 'applied',
  103: 'retired',
  104: 'over',
  105: 'planned-fault',
  106: 'table',
  107: 'table-operation',
  108: 'finding',
  109: 'synchronised',
};

/** Of {@link TRACE_NUMBERED}: who handed the write in, and what it stores. */
export interface NumberedBody {
  readonly core: number;
  readonly serial: number;
  readonly words: readonly number[];
}

/** Takes down the events of one process, in the order in which they happen. */
export interface TraceSink {
  /** `time` is a moment of virtual time, picoseconds; `from` the process that a message came from, else the own. */
  add(time: number, kind: number, from: number, a: number, b: number, c: number, body: unknown): void;
}
