import {
  closeSync,
  existsSync,
  fdatasyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readSync,
  statSync,
  writeSync,
} from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { InputError } from '@numalab/base';
import { displayPath } from '../scenario/files.ts';
import { type Cell, cellName } from './cell.ts';
import type { Lease, LeaseOutcome } from './lease.ts';

/** The first line: which campaign this is. */
interface Header {
  readonly journal: 1;
  readonly campaign: string;
  readonly version: string;
  readonly cells: readonly { readonly name: string; readonly hash: string }[];
}

/** Every further line: a lease that was run, and how long the campaign had been at work, milliseconds in this session. */
export interface JournalEntry {
  readonly session: number;
  readonly elapsedMs: number;
  readonly lease: Lease;
  readonly outcome: LeaseOutcome;
}

/** What an opened journal is. */
interface Found {
  readonly campaign: string;
  readonly session: number;
  /** Of all its complete lines. */
  readonly bytes: number;
}

const CHUNK_BYTES = 2 ** 20;
const NEWLINE = 10;

/** Calls `line` with each complete line of a file and returns how many bytes those have. */
const readLines = (file: number, line: (text: string) => void): number => {
  const chunk = Buffer.alloc(CHUNK_BYTES);
  let rest: Buffer = Buffer.alloc(0);
  let bytes = 0;
  for (let read = readSync(file, chunk); read > 0; read = readSync(file, chunk)) {
    rest = Buffer.concat([rest, chunk.subarray(0, read)]);
    let begin = 0;
    for (let end = rest.indexOf(NEWLINE); end >= 0; end = rest.indexOf(NEWLINE, begin)) {
      line(rest.toString('utf8', begin, end));
      begin = end + 1;
    }
    bytes += begin;
    rest = rest.subarray(begin);
  }
  return bytes;
};

/**
 * A lock that the kernel gives back when its holder dies, however that happens: a socket in the abstract name space, named
 * after the folder. Where there is no such name space, there is no lock.
 */
const lockFolder = async (folder: string, option: string): Promise<Server> => {
  const { dev, ino } = statSync(folder);
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EADDRINUSE') return resolve();
      return reject(new InputError(option, `${displayPath(folder)}: another campaign is writing to it`));
    });
    server.listen({ path: `\0numalab-campaign-${dev}-${ino}` }, resolve);
  });
  server.unref();
  return server;
};

/**
 * The append-only journal of a campaign: a line of JSON for each lease, on disk before it is counted. What a kill in the
 * middle of a line leaves is cut off when the journal is opened again, and its lease is run again.
 */
export class Journal {
  readonly campaign: string;
  /** 1, and one more each time the campaign is taken up again. */
  readonly session: number;
  private readonly file: number;
  private readonly lock: Server;
  /** Where the next line begins. */
  private bytes: number;
  private readonly fail: (what: string) => never;

  private constructor(found: Found, file: number, lock: Server, fail: (what: string) => never) {
    this.campaign = found.campaign;
    this.session = found.session + 1;
    this.bytes = found.bytes;
    this.file = file;
    this.lock = lock;
    this.fail = fail;
  }

  /**
   * Opens the journal in `folder`, which is made if need be, and calls `replay` with what it holds. Throws InputError, which
   * names `option`, if it is another campaign's, damaged, in use, or not to be read and written.
   */
  static async open(
    folder: string,
    option: string,
    version: string,
    cells: readonly Cell[],
    campaign: string,
    replay: (entry: JournalEntry) => void,
  ): Promise<Journal> {
    const path = join(folder, 'journal.jsonl');
    const fail = (what: string): never => {
      throw new InputError(option, `${displayPath(path)} ${what}`);
    };
    let file: number;
    try {
      mkdirSync(folder, { recursive: true });
      file = openSync(path, existsSync(path) ? 'r+' : 'wx+');
    } catch (error) {
      return fail(`cannot be written to (${(error as NodeJS.ErrnoException).code})`);
    }
    const lock = await lockFolder(folder, option);
    try {
      const header: Header = {
        journal: 1,
        campaign,
        version,
        cells: cells.map((cell) => ({ name: cellName(cell), hash: cell.hash })),
      };
      const found = Journal.read(file, header, replay, fail);
      const journal = new Journal(found, file, lock, fail);
      if (found.bytes === 0) journal.write(header);
      return journal;
    } catch (error) {
      closeSync(file);
      lock.close();
      throw error;
    }
  }

  private static read(
    file: number,
    expected: Header,
    replay: (entry: JournalEntry) => void,
    fail: (what: string) => never,
  ): Found {
    let header: Header | null = null;
    let session = 0;
    let number = 0;
    const parse = (text: string): unknown => {
      try {
        return JSON.parse(text);
      } catch {
        return fail(`is damaged in line ${number}`);
      }
    };
    const bytes = readLines(file, (text) => {
      number++;
      const value = parse(text);
      if (number === 1) {
        header = value as Header;
        checkHeader(header, expected, fail);
      } else {
        const entry = value as JournalEntry;
        session = Math.max(session, entry.session);
        replay(entry);
      }
    });
    ftruncateSync(file, bytes);
    const { campaign } = (header ?? expected) as Header;
    return { campaign, session, bytes };
  }

  /** Appends a lease; when this returns, no kill can undo it. */
  append(entry: Omit<JournalEntry, 'session'>): void {
    this.write({ session: this.session, ...entry });
  }

  /** Closes the file and lets others have the folder. */
  close(): void {
    closeSync(this.file);
    this.lock.close();
  }

  private write(line: unknown): void {
    const text = Buffer.from(`${JSON.stringify(line)}\n`);
    try {
      for (let done = 0; done < text.length; ) {
        done += writeSync(this.file, text, done, text.length - done, this.bytes + done);
      }
      fdatasyncSync(this.file);
    } catch (error) {
      this.fail(`cannot be written to (${(error as NodeJS.ErrnoException).code})`);
    }
    this.bytes += text.length;
  }
}

const checkHeader = (found: Header, expected: Header, fail: (what: string) => never): void => {
  if (found?.journal !== 1 || !Array.isArray(found.cells)) fail('is not the journal of a campaign');
  if (found.version !== expected.version) fail(`was written by numalab ${found.version}; this is ${expected.version}`);
  if (found.cells.length !== expected.cells.length) {
    fail(`holds another campaign, of ${found.cells.length} cells instead of ${expected.cells.length}`);
  }
  for (const [index, { name, hash }] of expected.cells.entries()) {
    const { name: before, hash: hashBefore } = found.cells[index]!;
    if (hash !== hashBefore) fail(`holds another campaign: its ${before} is not this ${name}`);
  }
};
