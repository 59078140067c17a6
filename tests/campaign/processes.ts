import { type ChildProcess, spawn } from 'node:child_process';
import { CLI, type Outcome, ROOT } from '../cli/spawn.ts';

/** A `numalab ARGS` that is under way. */
export interface Running {
  readonly child: ChildProcess;
  /** Resolves when it has ended. */
  readonly ended: Promise<Outcome>;
  /**
   * Resolves once what it printed on standard output or error has the text, with all that it printed there until then; rejects
   * if it ends before.
   */
  says(text: string): Promise<string>;
}

/** Starts `numalab ARGS`. */
export const start = (args: readonly string[], env: Readonly<Record<string, string>> = {}): Running => {
  const child = spawn(process.execPath, [CLI, ...args], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
  const printed = { stdout: '', stderr: '' };
  const listeners = new Set<() => void>();
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].on('data', (data: Buffer) => {
      printed[name] += data.toString();
      for (const listener of listeners) listener();
    });
  }
  const ended = new Promise<Outcome>((done) => {
    child.on('close', (code) => done({ code, ...printed }));
  });
  const says = (text: string): Promise<string> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        const found = [printed.stderr, printed.stdout].find((all) => all.includes(text));
        if (found === undefined) return;
        listeners.delete(look);
        resolve(found);
      };
      listeners.add(look);
      look();
      void ended.then(() => reject(new Error(`ended without saying ${text}: ${printed.stderr}`)));
    });
  return { child, ended, says };
};
