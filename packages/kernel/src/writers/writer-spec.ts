import type { RecordedTrace } from './recorded.ts';

/** One store of a patch. Offsets are from `_text`; values are little-endian words, as many as the size has. */
export interface PatchStore {
  readonly offset: number;
  /** 4 or 8. */
  readonly size: number;
  readonly on: readonly number[];
  readonly off: readonly number[];
  /** Only ever switched on, the first time: ftrace's MOV X9,X30. */
  readonly once: boolean;
}

/** What is patched together: a static key, a batch of ftrace sites, a probe. It belongs to one vCPU. */
export interface PatchItem {
  readonly cpu: number;
  readonly stores: readonly PatchStore[];
}

export type PatchKind = 'jump-label' | 'ftrace' | 'ftrace-literal' | 'kprobe' | 'alternatives';

/** A writer that switches items on and off in turn. */
export interface PatchWriter {
  readonly kind: PatchKind;
  readonly items: readonly PatchItem[];
  /** Between two actions; 0: the next begins when the last is over. */
  readonly intervalPs: number;
  readonly startPs: number;
  /** Actions in all; null: until the duration is over. */
  readonly actions: number | null;
  /** Which actions are performed, ascending; null: all. */
  readonly only: readonly number[] | null;
}

/** A synthetic store: one instruction at `gadget` aimed at one of the places. */
export interface SyntheticForm {
  readonly name: string;
  readonly bytes: number;
  /** Offset of an instruction of this form in the text, and the word. */
  readonly gadget: number;
  readonly word: number;
}

/** A writer of distinguishable values. */
export interface SyntheticWriter {
  readonly kind: 'synthetic';
  readonly forms: readonly SyntheticForm[];
  /** Offsets of the places, multiples of 16 (of 64 if DC ZVA is among the forms). */
  readonly places: readonly number[];
  /** Stores lie across the middle of a place's 16 bytes. */
  readonly straddles: boolean;
  /** vCPUs that write at the same time: one agent each. */
  readonly agents: readonly number[];
  readonly sync: 'none' | 'kick' | 'stop-machine';
  readonly intervalPs: number;
  readonly startPs: number;
  readonly actions: number | null;
  /** Which actions are performed, ascending: the n-th of agent i is n × agents + i; null: all. */
  readonly only: readonly number[] | null;
}

/** The recorded writer: rows of a trace, in order. */
export interface RecordedWriter {
  readonly kind: 'recorded';
  readonly trace: RecordedTrace;
  /** Rows that are performed at run time: indices into the trace, and the vCPU of each. */
  readonly rows: Int32Array;
  readonly cpus: Int32Array;
  /** For each row, an earlier one to the same word that must be over first; -1: none. */
  readonly after: Int32Array;
  readonly spread: boolean;
}

export type WriterSpec = PatchWriter | SyntheticWriter | RecordedWriter;
