import { gunzipSync } from 'node:zlib';
import { InputError } from '@numalab/base';
import {
  type KernelImage,
  planRecordedWriter,
  type RecordedTrace,
  type RecordedWriter,
  type ReplicatedRange,
  readRecordedTrace,
  replayOver,
  rowsAfterBoot,
} from '@numalab/kernel';
import { displayPath, readInputFile } from '../scenario/files.ts';
import type { RecordedWriter as RecordedRequest, Scenario } from '../scenario/scenario.ts';
import { fieldOf } from './place.ts';
import { shareArray } from './shared-array.ts';

/** A text trace of a hundred bytes a row has room for ten million rows. */
const MAX_TRACE_BYTES = 2 ** 30;

/** Stores of single words, in order: offsets from `_text` in words, and values. */
export interface WordStores {
  readonly words: Int32Array;
  readonly values: Uint32Array;
}

/** What a report must say about a recorded writer. */
export interface RecordedSummary {
  /** As messages show it. */
  readonly file: string;
  readonly rows: number;
  /** Rows applied before replication, those into EL2's own pages included. */
  readonly atBoot: number;
  /** Of these, rows that stage 2 never sees because no copy of their place exists. */
  readonly inHoles: number;
  /** Rows that are performed at run time; under `stage2` each of them traps. */
  readonly trapped: number;
  /** Rows that a real pKVM could trap at most. */
  readonly rowsAfterBoot: number;
  readonly protectAt: number;
}

/** A recorded writer made ready; nothing in it depends on the seed. */
export interface PreparedTrace {
  readonly index: number;
  readonly writer: RecordedWriter;
  readonly summary: RecordedSummary;
  /** All stores made at boot. */
  readonly bootStores: WordStores;
  /** The Image's words as the whole trace leaves them. */
  readonly after: Uint32Array;
}

const unpack = (bytes: Uint8Array, name: string): string => {
  const isGzip = bytes[0] === 0x1f && bytes[1] === 0x8b;
  try {
    const plain = isGzip ? gunzipSync(bytes, { maxOutputLength: MAX_TRACE_BYTES }) : bytes;
    return new TextDecoder('utf-8', { fatal: true }).decode(plain);
  } catch {
    throw new InputError(name, isGzip ? 'is no whole gzip file of text' : 'is not a text file (no UTF-8)');
  }
};

const shareTrace = (trace: RecordedTrace): RecordedTrace => ({
  count: trace.count,
  sequence: shareArray(trace.sequence),
  vcpu: shareArray(trace.vcpu),
  offset: shareArray(trace.offset),
  size: shareArray(trace.size),
  oldLo: shareArray(trace.oldLo),
  oldHi: shareArray(trace.oldHi),
  newLo: shareArray(trace.newLo),
  newHi: shareArray(trace.newHi),
  alias: shareArray(trace.alias),
});

/** The rows of a trace as stores of single words. */
const storesOf = (trace: RecordedTrace, rows: Int32Array): WordStores => {
  const words: number[] = [];
  const values: number[] = [];
  for (const row of rows) {
    const word = trace.offset[row]! >> 2;
    words.push(word);
    values.push(trace.newLo[row]!);
    if (trace.size[row] === 8) {
      words.push(word + 1);
      values.push(trace.newHi[row]!);
    }
  }
  return { words: Int32Array.from(words), values: Uint32Array.from(values) };
};

const refuseSettings = ({ at, writes, cpus }: RecordedRequest, where: string): void => {
  const settings = { at, writes, cpus };
  for (const [key, value] of Object.entries(settings)) {
    if (value !== null)
      throw new InputError(`${where}.${key}`, 'does not go with kind recorded: the trace itself says it');
  }
};

/**
 * Reads a scenario's recorded trace, checks that each row finds what it says it found, and deals its rows; undefined if the
 * scenario has none. Throws InputError naming the file and the row, or the field.
 */
export const prepareTrace = (
  scenario: Scenario,
  image: KernelImage,
  ranges: readonly ReplicatedRange[],
): PreparedTrace | undefined => {
  const index = scenario.kernel.writers.findIndex(({ kind }) => kind === 'recorded');
  const request = scenario.kernel.writers[index];
  if (request?.kind !== 'recorded') return undefined;
  const where = fieldOf(scenario, `kernel.writers.${index}`);
  refuseSettings(request, where);
  if (scenario.kernel.writers.some(({ kind }, other) => kind === 'recorded' && other > index)) {
    throw new InputError(fieldOf(scenario, 'kernel.writers'), 'has several of kind recorded; a boot is recorded once');
  }
  if (request.only !== null && scenario.kernel.writers.length > 1) {
    throw new InputError(`${where}.only`, 'wants no other writers: they begin on what the whole trace leaves');
  }
  const file = displayPath(request.file);
  const trace = readRecordedTrace(unpack(readInputFile(request.file, file, MAX_TRACE_BYTES), file), file);
  const after = shareArray(image.words);
  replayOver(trace, after, file);
  const vcpus = scenario.machine.nodes * scenario.machine.coresPerNode;
  const relocated = scenario.replication.strategy === 'stage1';
  const plan = planRecordedWriter(shareTrace(trace), ranges, vcpus, request.protectAt, request.spread, relocated);
  const { writer, bootRows, inHoles } = plan;
  return {
    index,
    writer,
    summary: {
      file,
      rows: trace.count,
      atBoot: bootRows.length,
      inHoles,
      trapped: writer.rows.length,
      rowsAfterBoot: rowsAfterBoot(trace),
      protectAt: request.protectAt,
    },
    bootStores: storesOf(trace, bootRows),
    after,
  };
};
