import { InputError } from '@numalab/base';
import { Redis, type RedisOptions } from 'ioredis';
import type { Logger } from 'pino';
import type { Cell } from './cell.ts';
import type { LeaseOutcome } from './lease.ts';
import type { SeedRange } from './seed-set.ts';

/** A lease as a job of the queue. The job's name is the campaign. */
export interface LeaseJob extends SeedRange {
  /** Place of the cell in the campaign's matrix. */
  readonly place: number;
  readonly cell: Cell;
  /** Of numalab: a worker of another one gives the job back and ends. */
  readonly version: string;
}

/** What a worker answers. */
export interface LeaseReport {
  readonly version: string;
  readonly outcome: LeaseOutcome;
}

/** Name of the queue unless another is asked for. */
export const QUEUE_NAME = 'numalab';

const CONNECT_MS = 5000;
const MOST_WAIT_MS = 1000;

const parse = (text: string): URL => {
  try {
    const url = new URL(text);
    if (/^rediss?:$/.test(url.protocol) && url.hostname !== '') return url;
  } catch {
    // Said below, without the text: it may hold a password.
  }
  throw new InputError('--redis', 'must be redis://[user:password@]host[:port][/database], or rediss:// for TLS');
};

/** Where a URL leads, without user and password. */
const placeOf = ({ protocol, host, pathname }: URL): string =>
  `${protocol}//${host}${pathname === '/' ? '' : pathname}`;

const REASONS: readonly (readonly [pattern: RegExp, reason: string])[] = [
  [/ECONNREFUSED/, 'nobody listens there (connection refused)'],
  [/ENOTFOUND|EAI_AGAIN/, 'there is no such host'],
  [/ETIMEDOUT|EHOSTUNREACH|ENETUNREACH/, 'no answer (does it speak what the URL says, TLS or not?)'],
  [/WRONGPASS|invalid password/, 'wrong user or password'],
  [/NOAUTH/, 'a password is needed'],
  [/NOPERM/, 'the user may not do what a queue needs'],
  [/^OOM|: OOM|\bOOM command/, 'Redis is full (maxmemory is reached)'],
  [/MISCONF/, 'Redis takes no writes, because it cannot save them to its disk'],
  [/READONLY/, 'that is a replica, which takes no writes'],
  [/ALTNAME|certificate is not valid for/i, 'its certificate is for another host'],
  [
    /SELF_SIGNED|UNABLE_TO_(VERIFY|GET)|self.signed|unable to (verify|get)/i,
    'its certificate is not trusted (NODE_EXTRA_CA_CERTS names a file of authorities)',
  ],
  [/EPROTO|wrong version number|packet length too long/i, 'it does not speak TLS'],
  [/ECONNRESET|EPIPE|Connection is closed|closed/, 'the connection was closed (does it want rediss://?)'],
  [/DB index is out of range|invalid DB index/i, 'there is no such database'],
  [/Protocol error|unexpected.*reply/i, 'that is no Redis server'],
];

/** Failures that waiting does not mend. */
const FATAL = /WRONGPASS|invalid password|NOAUTH|NOPERM|\bOOM command|MISCONF|READONLY|CERT|certificate/;

/** A connection to Redis and what can be said of it without telling a secret. */
export class RedisLink {
  readonly client: Redis;
  private readonly place: string;
  private readonly secrets: readonly string[];
  private readonly log: Logger;
  private connected = false;
  private closing = false;
  private lost = false;
  private lastError: unknown = null;

  private constructor(url: URL, log: Logger) {
    this.place = placeOf(url);
    this.log = log;
    const password = url.password === '' ? process.env.NUMALAB_REDIS_PASSWORD : decodeURIComponent(url.password);
    this.secrets = [password ?? '', url.password].filter((secret) => secret !== '');
    const options: RedisOptions = {
      ...(password === undefined ? {} : { password }),
      lazyConnect: true,
      connectTimeout: CONNECT_MS,
      // Commands wait until Redis is back, however long that takes.
      maxRetriesPerRequest: null,
      retryStrategy: (times) => (this.connected ? Math.min(100 * times, MOST_WAIT_MS) : null),
    };
    this.client = new Redis(url.href, options);
    this.client.on('error', (error: unknown) => {
      this.lastError = error;
    });
    this.client.on('close', () => this.noteLoss());
    this.client.on('ready', () => this.noteReturn());
  }

  /** Connects. Throws InputError if Redis cannot be had, or is not what a queue needs. */
  static async connect(text: string, log: Logger): Promise<RedisLink> {
    const link = new RedisLink(parse(text), log);
    try {
      await link.client.connect();
      await link.client.ping();
      link.connected = true;
      return link;
    } catch (error) {
      link.client.disconnect();
      throw link.inputError(link.lastError ?? error);
    }
  }

  /** An error in words that say nothing secret. */
  explain(error: unknown): string {
    const { code, message } = error as { code?: string; message?: string };
    const text = `${code ?? ''} ${message ?? String(error)}`;
    const reason = REASONS.find(([pattern]) => pattern.test(text))?.[1];
    return `${this.place}: ${reason ?? this.scrub((message ?? String(error)).split('\n', 1)[0]!)}`;
  }

  /** The error as bad input, for what waiting does not mend. */
  inputError(error: unknown): InputError {
    return error instanceof InputError ? error : new InputError('--redis', this.explain(error));
  }

  /** Whether waiting does not mend an error. */
  isFatal(error: unknown): boolean {
    const { code, message } = error as { code?: string; message?: string };
    return FATAL.test(`${code ?? ''} ${message ?? ''}`);
  }

  /** Ends the connection without waiting for anything. */
  close(): void {
    this.closing = true;
    this.client.disconnect();
  }

  private scrub(text: string): string {
    return this.secrets.reduce((scrubbed, secret) => scrubbed.replaceAll(secret, '***'), text);
  }

  private noteLoss(): void {
    if (!this.connected || this.closing || this.lost) return;
    this.lost = true;
    this.log.warn({ redis: this.place }, 'the connection to Redis is lost; waiting for it');
  }

  private noteReturn(): void {
    if (!this.lost) return;
    this.lost = false;
    this.log.info({ redis: this.place }, 'Redis is back');
  }
}
