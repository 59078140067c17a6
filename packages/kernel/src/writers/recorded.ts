import { InputError } from '@numalab/base';

/** An ordered trace of real stores to kernel text, one column a field. Offsets are from `_text`. */
export interface RecordedTrace {
  readonly count: number;
  readonly sequence: Float64Array;
  readonly vcpu: Int32Array;
  readonly offset: Int32Array;
  /** 4 or 8. */
  readonly size: Uint8Array;
  readonly oldLo: Uint32Array;
  readonly oldHi: Uint32Array;
  readonly newLo: Uint32Array;
  readonly newHi: Uint32Array;
  /** The alias that the writer used: 0 fixmap, 1 linear map, 2 the kernel's own mapping. */
  readonly alias: Uint8Array;
}

export const ALIAS_FIXMAP = 0;
export const ALIAS_LINEAR = 1;
export const ALIAS_IMAGE = 2;

const HEADER = 'seq,vcpu,writer,offset,size,old,new,table';

/** By the table a row belongs to: ftrace and jump labels poke through the fixmap, alternatives through the linear map. */
const aliasOf = (writer: string, table: string): number => {
  if (writer === '__relocate_kernel') return ALIAS_IMAGE;
  return table.startsWith('ftrace') || table === 'jump' ? ALIAS_FIXMAP : ALIAS_LINEAR;
};

/** Reads a trace from CSV text. Throws InputError naming file and line. */
export const readRecordedTrace = (text: string, name: string): RecordedTrace => {
  const lines = text.split('\n');
  if (lines.at(-1) === '') lines.pop();
  if (lines[0]?.trim() !== HEADER) throw new InputError(`${name}:1`, `the header must be ${HEADER}`);
  const count = lines.length - 1;
  const trace = {
    count,
    sequence: new Float64Array(count),
    vcpu: new Int32Array(count),
    offset: new Int32Array(count),
    size: new Uint8Array(count),
    oldLo: new Uint32Array(count),
    oldHi: new Uint32Array(count),
    newLo: new Uint32Array(count),
    newHi: new Uint32Array(count),
    alias: new Uint8Array(count),
  };
  for (let i = 0; i < count; i++) readRow(trace, lines[i + 1]!, i, `${name}:${i + 2}`);
  return trace;
};

const readRow = (trace: RecordedTrace, line: string, i: number, where: string): void => {
  const fields = line.trim().split(',');
  if (fields.length !== 8) throw new InputError(where, `a row has 8 fields, this one ${fields.length}`);
  const [sequence, vcpu, writer, offset, size, old, value, table] = fields as [
    string,
    string,
    string,
    string,
    string,
    string,
    string,
    string,
  ];
  const decimal = (field: string, what: string): number => {
    if (!/^\d{1,15}$/.test(field)) throw new InputError(where, `${what} must be a decimal number: ${field}`);
    return Number(field);
  };
  const hexadecimal = (field: string, what: string, digits: number): [number, number] => {
    if (!/^[0-9a-f]+$/i.test(field) || field.length > digits)
      throw new InputError(where, `${what} must be up to ${digits} hexadecimal digits: ${field}`);
    const padded = field.padStart(16, '0');
    return [Number.parseInt(padded.slice(8), 16), Number.parseInt(padded.slice(0, 8), 16)];
  };
  trace.sequence[i] = decimal(sequence, 'seq');
  if (i > 0 && trace.sequence[i]! <= trace.sequence[i - 1]!) throw new InputError(where, 'seq must grow');
  trace.vcpu[i] = decimal(vcpu, 'vcpu');
  trace.offset[i] = hexadecimal(offset, 'offset', 7)[0];
  trace.size[i] = decimal(size, 'size');
  if (trace.size[i] !== 4 && trace.size[i] !== 8) throw new InputError(where, `size must be 4 or 8: ${size}`);
  if (trace.offset[i]! % trace.size[i]! !== 0)
    throw new InputError(where, `offset ${offset} is not aligned to ${size}`);
  [trace.oldLo[i], trace.oldHi[i]] = hexadecimal(old, 'old', 2 * trace.size[i]!);
  [trace.newLo[i], trace.newHi[i]] = hexadecimal(value, 'new', 2 * trace.size[i]!);
  trace.alias[i] = aliasOf(writer, table);
};

/**
 * Checks that every row finds what it says it found: `words` is the image from `_text`, and is left as the trace leaves it.
 * Throws InputError naming the first row that does not fit.
 */
export const replayOver = (trace: RecordedTrace, words: Uint32Array, name: string): void => {
  for (let i = 0; i < trace.count; i++) {
    const at = trace.offset[i]! >> 2;
    const wide = trace.size[i] === 8;
    if (at + (wide ? 1 : 0) >= words.length)
      throw new InputError(`${name}: seq ${trace.sequence[i]}`, 'the offset lies outside the image');
    if (words[at] !== trace.oldLo[i] || (wide && words[at + 1] !== trace.oldHi[i])) {
      const found =
        (wide ? words[at + 1]!.toString(16).padStart(8, '0') : '') + words[at]!.toString(16).padStart(8, '0');
      throw new InputError(
        `${name}: seq ${trace.sequence[i]}`,
        `old does not match the memory at offset 0x${trace.offset[i]!.toString(16)}, which holds ${found}`,
      );
    }
    words[at] = trace.newLo[i]!;
    if (wide) words[at + 1] = trace.newHi[i]!;
  }
};

/**
 * Rows that a real pKVM could trap at most: those after the last alternative, which is patched before pKVM takes the host's
 * memory under stage 2 ([arm64 reference 5.3]).
 */
export const rowsAfterBoot = (trace: RecordedTrace): number => {
  let last = trace.count;
  while (last > 0 && trace.alias[last - 1] !== ALIAS_LINEAR) last--;
  return trace.count - last;
};
