import { closeSync, fstatSync, openSync, readSync, writeSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { InputError } from '@numalab/base';
import type { TraceSink } from '@numalab/interconnect';
import { Packr, type Unpackr } from 'msgpackr';

/**
 * The trace of one process as a file: a line with the version, then frames of [bytes, CRC-32, msgpackr array of events], the
 * first of which is a header, and an empty frame at the end. It is written as the run goes, and read frame by frame.
 */

/** Version of the format. Another one is refused. */
export const TRACE_VERSION = 1;
const MAGIC = 'numalab-trace';
const LINE_BYTES = 32;
/** Events of a frame: what a writer holds in memory at most. */
const FRAME_EVENTS = 512;
const FRAME_HEADER = 8;
/** No frame is larger. */
const MAX_FRAME = 2 ** 26;

/** What a trace says of itself. */
export interface TraceHeader {
  readonly process: number;
  readonly nodes: number;
  readonly coresPerNode: number;
  readonly seed: number;
}

/** [time, kind, from, a, b, c, body]; time never goes back within a process. */
export type TraceRecord = readonly [number, number, number, number, number, number, unknown];

const packer = (): Packr => new Packr({ useRecords: false, variableMapSize: true });

/** Writes one process's events to a file. */
export class TraceWriter implements TraceSink {
  private readonly file: number;
  private readonly packr = packer();
  private records: TraceRecord[] = [];
  private last = 0;
  private closed = false;

  /** Makes the file. */
  constructor(path: string, header: TraceHeader) {
    this.file = openSync(path, 'w');
    writeSync(this.file, `${MAGIC} ${TRACE_VERSION}`.padEnd(LINE_BYTES - 1).concat('\n'));
    this.frame(header);
  }

  add(time: number, kind: number, from: number, a: number, b: number, c: number, body: unknown): void {
    if (time > this.last) this.last = time;
    this.records.push([this.last, kind, from, a, b, c, body]);
    if (this.records.length >= FRAME_EVENTS) this.flush();
  }

  private flush(): void {
    const { records } = this;
    if (records.length === 0) return;
    this.records = [];
    this.frame(records);
  }

  private frame(content: unknown): void {
    const payload = this.packr.pack(content);
    const header = Buffer.alloc(FRAME_HEADER);
    header.writeUInt32LE(payload.length, 0);
    header.writeUInt32LE(crc32(payload), 4);
    writeSync(this.file, header);
    writeSync(this.file, payload);
  }

  /** Ends the file; a file without this end is a damaged one. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.flush();
    writeSync(this.file, Buffer.alloc(FRAME_HEADER));
    closeSync(this.file);
  }
}

/** Reads a trace file, a frame at a time. Throws InputError for one that is no trace, of another version, or damaged. */
export class TraceReader {
  readonly header: TraceHeader;
  private readonly path: string;
  private readonly file: number;
  private readonly unpackr: Unpackr = packer();
  private done = false;
  private closed = false;

  constructor(path: string) {
    this.path = path;
    try {
      this.file = openSync(path, 'r');
    } catch (error) {
      throw new InputError(path, `cannot be read (${(error as NodeJS.ErrnoException).code})`);
    }
    try {
      if (!fstatSync(this.file).isFile()) throw new InputError(path, 'is no trace');
      this.checkVersion();
      const header = this.next() as TraceHeader | null;
      if (header === null || !Number.isSafeInteger(header.process) || !Number.isSafeInteger(header.nodes)) {
        throw this.damaged('its header is missing');
      }
      this.header = header;
    } catch (error) {
      this.close();
      throw error;
    }
  }

  private damaged(how: string): InputError {
    return new InputError(this.path, `is damaged: ${how}`);
  }

  private checkVersion(): void {
    const line = Buffer.alloc(LINE_BYTES);
    const found = new RegExp(`^${MAGIC} (\\d{1,9}) *\\n$`).exec(line.toString('latin1', 0, this.read(line)));
    if (found === null) throw new InputError(this.path, 'is no trace, or its beginning is damaged');
    if (Number(found[1]) !== TRACE_VERSION) {
      throw new InputError(this.path, `is a trace of version ${found[1]}; this numalab reads ${TRACE_VERSION}`);
    }
  }

  /** Fills `buffer` from where the last read ended; returns how many bytes there were. */
  private read(buffer: Buffer): number {
    let at = 0;
    while (at < buffer.length) {
      const count = readSync(this.file, buffer, at, buffer.length - at, null);
      if (count === 0) break;
      at += count;
    }
    return at;
  }

  /** The content of the next frame; null at the end. */
  private next(): unknown {
    const header = Buffer.alloc(FRAME_HEADER);
    if (this.read(header) < FRAME_HEADER) throw this.damaged('it ends in the middle');
    const bytes = header.readUInt32LE(0);
    if (bytes === 0) {
      if (header.readUInt32LE(4) !== 0 || this.read(Buffer.alloc(1)) > 0)
        throw this.damaged('something follows its end');
      return null;
    }
    if (bytes > MAX_FRAME) throw this.damaged('a frame has an impossible length');
    if (bytes > fstatSync(this.file).size) throw this.damaged('it ends in the middle');
    const payload = Buffer.alloc(bytes);
    if (this.read(payload) < bytes) throw this.damaged('it ends in the middle');
    if (crc32(payload) !== header.readUInt32LE(4)) throw this.damaged('the checksum of a frame is wrong');
    try {
      return this.unpackr.unpack(payload);
    } catch {
      throw this.damaged('a frame cannot be decoded');
    }
  }

  /** The next events, in order; null at the end. */
  events(): readonly TraceRecord[] | null {
    if (this.done) return null;
    const content = this.next();
    if (content === null) {
      this.done = true;
      return null;
    }
    if (!Array.isArray(content) || content.some((record) => !Array.isArray(record) || record.length !== 7)) {
      throw this.damaged('a frame holds no events');
    }
    return content as TraceRecord[];
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    closeSync(this.file);
  }
}
