import { InputError } from '@numalab/base';
import { MAX_NODES, type Topology, topologyFromMatrix } from './topology.ts';

/** Bytes before the number of localities: the header that all ACPI tables share (ACPI 6.5, 5.2.6). */
const HEADER_BYTES = 36;
/** Bytes before the matrix (ACPI 6.5, 5.2.17). */
const MATRIX_OFFSET = 44;

/** Whether these bytes claim to be a System Locality Information Table. */
export const looksLikeSlit = (bytes: Uint8Array): boolean =>
  bytes.length >= 4 && bytes[0] === 0x53 && bytes[1] === 0x4c && bytes[2] === 0x49 && bytes[3] === 0x54;

/**
 * Parses a raw ACPI SLIT table, as in /sys/firmware/acpi/tables/SLIT: signature, length, checksum, number of localities and
 * entries are all checked. Throws InputError naming `where` and the field.
 */
export const parseSlit = (bytes: Uint8Array, name: string, where: string = name): Topology => {
  if (!looksLikeSlit(bytes)) throw new InputError(where, 'signature: this is no SLIT table');
  if (bytes.length < MATRIX_OFFSET) {
    throw new InputError(
      where,
      `length: ${bytes.length} bytes are too few for a SLIT table (at least ${MATRIX_OFFSET})`,
    );
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = view.getUint32(4, true);
  if (length !== bytes.length) {
    throw new InputError(where, `length: the header says ${length} bytes, the file has ${bytes.length}`);
  }
  let sum = 0;
  for (const byte of bytes) sum = (sum + byte) & 0xff;
  if (sum !== 0) throw new InputError(where, `checksum: the bytes add up to ${sum} modulo 256, not 0`);
  const low = view.getUint32(HEADER_BYTES, true);
  const high = view.getUint32(HEADER_BYTES + 4, true);
  if (high !== 0 || low < 1 || low > MAX_NODES) {
    throw new InputError(where, `localities: ${high * 2 ** 32 + low}; a machine has 1 to ${MAX_NODES} nodes`);
  }
  if (MATRIX_OFFSET + low * low !== length) {
    throw new InputError(where, `length: ${low} localities need ${MATRIX_OFFSET + low * low} bytes, not ${length}`);
  }
  const rows = Array.from({ length: low }, (_, row) => {
    const start = MATRIX_OFFSET + row * low;
    return [...bytes.subarray(start, start + low)];
  });
  return topologyFromMatrix(rows, name, `${where}: matrix`, 'ACPI SLIT');
};
