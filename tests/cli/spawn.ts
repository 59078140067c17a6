import { spawn, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** What a run of the command line left behind. */
export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** The repository's root, where the commands run. */
export const ROOT: string = fileURLToPath(new URL('../../', import.meta.url));
/** The command line's entry point. */
export const CLI: string = fileURLToPath(new URL('../../packages/coordinator/src/cli.ts', import.meta.url));

/** Runs `numalab ARGS` to its end. */
export const numalab = (args: readonly string[], input = ''): Outcome => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [CLI, ...args], {
    cwd: ROOT,
    input,
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
  });
  return { code: status, stdout, stderr };
};

/** Runs a program and closes its standard output after the first bytes. */
export const closeAfterFirstBytes = (args: readonly string[]): Promise<Outcome> =>
  new Promise((done) => {
    const child = spawn(process.execPath, args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] });
    let stderr = '';
    let stdout = '';
    child.stderr.on('data', (data: Buffer) => {
      stderr += data.toString();
    });
    child.stdout.once('data', (data: Buffer) => {
      stdout = data.toString();
      child.stdout.destroy();
    });
    child.on('close', (code) => done({ code, stdout, stderr }));
  });

/** Runs a program, sends it a signal once it printed something, and waits for its end. */
export const signalAfterFirstBytes = (args: readonly string[], signal: NodeJS.Signals): Promise<Outcome> =>
  new Promise((done) => {
    const child = spawn(process.execPath, args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] });
    let stderr = '';
    let stdout = '';
    child.stderr.on('data', (data: Buffer) => {
      stderr += data.toString();
    });
    child.stdout.once('data', () => child.kill(signal));
    child.stdout.on('data', (data: Buffer) => {
      stdout += data.toString();
    });
    child.on('close', (code) => done({ code, stdout, stderr }));
  });
