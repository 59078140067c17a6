import type { ReplicatedRange } from '../image/index.ts';
import { ALIAS_IMAGE, type RecordedTrace } from './recorded.ts';
import type { RecordedWriter } from './writer-spec.ts';

export interface RecordedPlan {
  readonly writer: RecordedWriter;
  /** Rows that are applied at boot, before replication: those before `protectAt` and those into EL2's own pages. */
  readonly bootRows: Int32Array;
  readonly inHoles: number;
}

/** For each of `rows` the place of the last before it that touches one of its words; -1: none does. */
const rowsBefore = (trace: RecordedTrace, rows: ArrayLike<number>): Int32Array => {
  const after = new Int32Array(rows.length).fill(-1);
  const lastOf = new Map<number, number>();
  for (let k = 0; k < rows.length; k++) {
    const row = rows[k]!;
    for (let at = trace.offset[row]!; at < trace.offset[row]! + trace.size[row]!; at += 4) {
      after[k] = Math.max(after[k]!, lastOf.get(at) ?? -1);
      lastOf.set(at, k);
    }
  }
  return after;
};

/** The writer without the rows that are not in `only`, which numbers the rows of the trace from 0; the others stay where they are. */
export const keepRows = (writer: RecordedWriter, only: readonly number[]): RecordedWriter => {
  const wanted = new Set(only);
  const places = [...writer.rows.keys()].filter((k) => wanted.has(writer.rows[k]!));
  const rows = Int32Array.from(places, (k) => writer.rows[k]!);
  return {
    ...writer,
    rows,
    cpus: Int32Array.from(places, (k) => writer.cpus[k]!),
    after: rowsBefore(writer.trace, rows),
  };
};

/**
 * Deals the rows of a trace: at boot what stage 2 would not see, at run time the rest, by vCPU v of the trace = vCPU v mod
 * `vcpus`, or over all of them with `spread`. `relocated`: the kernel relocates itself before its text is replicated. With `spread`, a row waits for the row before it that touches one of its words.
 */
export const planRecordedWriter = (
  trace: RecordedTrace,
  ranges: readonly ReplicatedRange[],
  vcpus: number,
  protectAt: number,
  spread: boolean,
  relocated = false,
): RecordedPlan => {
  const boot: number[] = [];
  const rows: number[] = [];
  let inHoles = 0;
  for (let i = 0; i < trace.count; i++) {
    const offset = trace.offset[i]!;
    const range = ranges.find((candidate) => offset >= candidate.start && offset < candidate.end);
    const traps = range !== undefined && range.kind !== 'hole';
    if (!traps) inHoles++;
    const early = trace.sequence[i]! < protectAt || (relocated && trace.alias[i] === ALIAS_IMAGE);
    if (!traps || early) boot.push(i);
    else rows.push(i);
  }
  const cpus = Int32Array.from(rows, (row, k) => (spread ? k : trace.vcpu[row]!) % vcpus);
  const after = rowsBefore(trace, rows);
  const writer: RecordedWriter = { kind: 'recorded', trace, rows: Int32Array.from(rows), cpus, after, spread };
  return { writer, bootRows: Int32Array.from(boot), inHoles };
};
