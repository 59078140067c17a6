import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { InputError } from '@numalab/base';
import { type TraceHeader, TraceReader, type TraceRecord, TraceWriter } from './trace-file.ts';

/** One event of a run. Times are picoseconds of virtual time. */
export interface TraceEvent {
  readonly time: number;
  /** Node, or the number of nodes for the hypervisor. */
  readonly process: number;
  /** Of a message, or `TRACE_…`. */
  readonly kind: number;
  readonly from: number;
  readonly a: number;
  readonly b: number;
  readonly c: number;
  readonly body: unknown;
}

const NAME = /^(?:node-(\d{1,4})|hypervisor)\.trace$/;

/** Name of the file of a process. */
export const traceName = (process: number, nodes: number): string =>
  process === nodes ? 'hypervisor.trace' : `node-${process}.trace`;

/** Makes the folder of a trace, and takes away what an earlier run left in it. */
export const makeTraceFolder = (folder: string): void => {
  mkdirSync(folder, { recursive: true });
  for (const name of readdirSync(folder)) if (NAME.test(name)) rmSync(join(folder, name));
};

/** A writer for one process of a machine. */
export const openTrace = (folder: string, header: TraceHeader): TraceWriter =>
  new TraceWriter(join(folder, traceName(header.process, header.nodes)), header);

/** The next event of one file. */
class Stream {
  readonly process: number;
  readonly reader: TraceReader;
  private records: readonly TraceRecord[] = [];
  private at = 0;

  constructor(reader: TraceReader) {
    this.reader = reader;
    this.process = reader.header.process;
    this.fill();
  }

  get record(): TraceRecord | null {
    return this.records[this.at] ?? null;
  }

  advance(): void {
    this.at++;
    this.fill();
  }

  private fill(): void {
    while (this.at >= this.records.length) {
      const more = this.reader.events();
      this.records = more ?? [];
      this.at = 0;
      if (more === null) return;
    }
  }
}

const namesIn = (folder: string): string[] => {
  try {
    return readdirSync(folder).filter((name) => NAME.test(name));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new InputError(folder, code === 'ENOENT' ? 'holds no trace' : `cannot be read (${code})`);
  }
};

const openAll = (folder: string): TraceReader[] => {
  const names = namesIn(folder);
  if (names.length === 0) throw new InputError(folder, 'holds no trace');
  const readers: TraceReader[] = [];
  try {
    for (const name of names) readers.push(new TraceReader(join(folder, name)));
    const { nodes } = readers[0]!.header;
    const processes = new Set(readers.map(({ header }) => header.process));
    for (let process = 0; process <= nodes; process++) {
      if (!processes.has(process)) throw new InputError(folder, `is damaged: ${traceName(process, nodes)} is missing`);
    }
    return readers.sort((x, y) => x.header.process - y.header.process);
  } catch (error) {
    for (const reader of readers) reader.close();
    throw error;
  }
};

/** All events of a trace, in the order of (time, process, place in the process's own order), which is the same wherever it ran. */
export class TraceFolder {
  readonly header: TraceHeader;
  private readonly readers: readonly TraceReader[];

  /** `folder` holds a file for each process. Throws InputError for what is no trace, or is one of another version. */
  constructor(folder: string) {
    this.readers = openAll(folder);
    this.header = this.readers[0]!.header;
  }

  /** The events, once. Throws InputError where a file is damaged. */
  *events(): Generator<TraceEvent, void> {
    try {
      const streams = this.readers.map((reader) => new Stream(reader));
      for (;;) {
        let first: Stream | null = null;
        // Few streams, so looking at all of them is cheaper than keeping them sorted.
        for (const stream of streams) {
          if (stream.record !== null && (first === null || stream.record[0] < first.record![0])) first = stream;
        }
        if (first === null) return;
        const [time, kind, from, a, b, c, body] = first.record!;
        yield { time, process: first.process, kind, from, a, b, c, body };
        first.advance();
      }
    } finally {
      this.close();
    }
  }

  close(): void {
    for (const reader of this.readers) reader.close();
  }
}

/** Reads a trace to its end, so that nothing is made of one that is damaged. Throws InputError like {@link TraceFolder}. */
export const checkTrace = (folder: string): TraceHeader => {
  const readers = openAll(folder);
  try {
    for (const reader of readers) while (reader.events() !== null);
    return readers[0]!.header;
  } finally {
    for (const reader of readers) reader.close();
  }
};
