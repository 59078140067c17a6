import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const server = createServer();
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });

/** A redis-server of the tests' own, on a port of its own, which keeps nothing on disk. */
export class RedisServer {
  readonly port: number;
  /** For its files. */
  readonly folder: string;
  private readonly args: readonly string[];
  private child: ChildProcess | null = null;

  private constructor(port: number, folder: string, args: readonly string[]) {
    this.port = port;
    this.folder = folder;
    this.args = args;
  }

  /** Starts one; `args` are settings of redis.conf, with two hyphens in front. */
  static async start(args: readonly string[] = [], folder?: string): Promise<RedisServer> {
    const server = new RedisServer(await freePort(), folder ?? mkdtempSync(join(tmpdir(), 'numalab-redis-')), args);
    await server.restart();
    return server;
  }

  /** `redis://127.0.0.1:PORT`. */
  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  /** Kills the server with SIGKILL, if it is there: what it knew is gone. */
  async kill(): Promise<void> {
    const { child } = this;
    this.child = null;
    if (child === null) return;
    const ended = new Promise((resolve) => child.once('close', resolve));
    child.kill('SIGKILL');
    await ended;
  }

  /** Starts the server again on the same port. */
  async restart(): Promise<void> {
    await this.kill();
    const port = this.args.includes('--tls-port') ? [] : ['--port', String(this.port)];
    const args = [
      ...port,
      '--bind',
      '127.0.0.1',
      '--save',
      '',
      '--appendonly',
      'no',
      '--dir',
      this.folder,
      ...this.args,
    ];
    const child = spawn(
      'redis-server',
      args.map((arg) => arg.replace('PORT', String(this.port))),
      {
        stdio: ['ignore', 'pipe', 'ignore'],
      },
    );
    this.child = child;
    await new Promise<void>((resolve, reject) => {
      let text = '';
      child.on('error', () => reject(new Error('redis-server is not installed: apt-get install redis-server')));
      child.on('close', () => reject(new Error(`redis-server ended: ${text}`)));
      child.stdout.on('data', (data: Buffer) => {
        text += data.toString();
        if (text.includes('Ready to accept connections')) resolve();
      });
    });
  }

  /** What redis-cli answers to a command. */
  ask(...command: readonly string[]): string {
    return execFileSync('redis-cli', ['-p', String(this.port), ...command], { encoding: 'utf8' }).trim();
  }

  /** Ends the server and removes its files. */
  async remove(): Promise<void> {
    await this.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Makes a certificate for 127.0.0.1 that vouches for itself, in `folder`. */
export const makeCertificate = (folder: string): { readonly cert: string; readonly key: string } => {
  const cert = join(folder, 'cert.pem');
  const key = join(folder, 'key.pem');
  execFileSync(
    'openssl',
    ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2']
      .concat(['-subj', '/CN=numalab test', '-addext', 'subjectAltName=IP:127.0.0.1'])
      .concat(['-keyout', key, '-out', cert]),
    { stdio: 'ignore' },
  );
  return { cert, key };
};
