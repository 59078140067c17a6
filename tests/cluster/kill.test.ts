/** What becomes of a run over processes when one of them, or the one that was started, is told to end or is killed. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { CLI, ROOT } from '../cli/spawn.ts';

const SIM = 'run --placement cluster --processes 2 --set workload.duration=1s --set comparison=false --json';
const LIVE = 'run live --mode live --placement cluster --processes 2 --duration 60s --json';

/** Processes of the operating system whose parent is `pid`. */
const childrenOf = (pid: number): number[] =>
  readdirSync('/proc').flatMap((entry) => {
    try {
      // The name may hold anything but ends with the last parenthesis; then come the state and the parent.
      const stat = readFileSync(`/proc/${Number(entry)}/stat`, 'utf8');
      return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1] === String(pid) ? [Number(entry)] : [];
    } catch {
      return [];
    }
  });

const isAlive = (pid: number): boolean => {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
};

/** Asks until it is so, or until a time has passed that is a failure. */
const until = async (isSo: () => boolean): Promise<void> => {
  const deadline = performance.now() + 20_000;
  while (!isSo()) {
    if (performance.now() > deadline) throw new Error('it did not come true');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
};

/** Milliseconds of processor time that a process has used. */
const cpuMs = (pid: number): number => {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
};

/** Memory that a process has of its own and shares, in KiB. */
const residentKb = (pid: number): number =>
  Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]);

interface Run {
  readonly child: ChildProcess;
  readonly members: number[];
  readonly ended: Promise<{ code: number | null; stdout: string; stderr: string }>;
}

let running: ChildProcess | null = null;

/** A run whose members, so many, are at work. */
const start = async (args = SIM, count = 2): Promise<Run> => {
  const child = spawn(process.execPath, [CLI, ...args.split(' ')], { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] });
  running = child;
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (data: Buffer) => {
    stdout += data.toString();
  });
  child.stderr.on('data', (data: Buffer) => {
    stderr += data.toString();
  });
  const ended = new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve) => {
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
  await until(() => childrenOf(child.pid!).length === count);
  const members = childrenOf(child.pid!);
  await until(() => members.every((pid) => cpuMs(pid) > 1500));
  return { child, members, ended };
};

afterEach(() => {
  running?.kill('SIGKILL');
});

describe.skipIf(process.platform !== 'linux')('a run over processes', () => {
  it('ends with 70, names the process and leaves none behind when one is killed', async () => {
    const { members, ended } = await start();
    process.kill(members[1]!, 'SIGKILL');
    const { code, stdout, stderr } = await ended;
    expect(stderr).toMatch(/^process [01] of the run \(pid \d+\) was killed by SIGKILL\n$/);
    expect(stderr).toContain(`(pid ${members[1]})`);
    expect([code, stdout]).toEqual([70, '']);
    expect(members.filter(isAlive)).toEqual([]);
  });

  it('waits for a process that stands still, keeps nothing for it, and goes on as if nothing had been', async () => {
    const set = '--set workload.duration=12ms --set comparison=false --json';
    const { members, ended } = await start(`run --placement cluster --processes 2 ${set}`);
    const [stopped, other] = members as [number, number];
    process.kill(stopped, 'SIGSTOP');
    // What it does without the other is over soon, and then it does nothing, with no more memory than it had.
    await new Promise((resolve) => setTimeout(resolve, 300));
    const before = { cpu: cpuMs(other), memory: residentKb(other) };
    await new Promise((resolve) => setTimeout(resolve, 1500));
    const after = { cpu: cpuMs(other), memory: residentKb(other) };
    process.kill(stopped, 'SIGCONT');
    expect(after.cpu - before.cpu).toBeLessThan(300);
    expect(after.memory - before.memory).toBeLessThan(10_000);
    const { code, stdout, stderr } = await ended;
    expect([code, stderr]).toEqual([0, '']);
    const inline = await start(`run --placement inline ${set}`, 0);
    expect(JSON.parse(stdout).digest).toBe(JSON.parse((await inline.ended).stdout).digest);
  });

  it.each(['SIGINT', 'SIGTERM'] as const)('prints what there is and leaves none behind after %s', async (signal) => {
    const { child, members, ended } = await start();
    child.kill(signal);
    const { code, stdout } = await ended;
    expect(code).toBe(130);
    const result = JSON.parse(stdout) as { interrupted: boolean; fetches: { total: number } };
    expect(result.interrupted).toBe(true);
    expect(result.fetches.total).toBeGreaterThan(0);
    await until(() => !members.some(isAlive));
  });

  it.each([
    ['SIGINT', SIM],
    ['SIGTERM', LIVE],
  ] as const)('is over soon after %s that comes while it boots', async (signal, args) => {
    const child = spawn(process.execPath, [CLI, ...args.split(' ')], { cwd: ROOT, stdio: 'ignore' });
    running = child;
    const ended = new Promise<number | null>((resolve) => {
      child.on('close', resolve);
    });
    await until(() => childrenOf(child.pid!).length === 2);
    const members = childrenOf(child.pid!);
    const begun = performance.now();
    child.kill(signal);
    expect(await ended).toBe(130);
    // Two seconds on a machine of one's own.
    expect(performance.now() - begun).toBeLessThan(8000);
    await until(() => !members.some(isAlive));
  });

  it.each(['SIGINT', 'SIGTERM'] as const)('in live keeps what its nodes found until %s', async (signal) => {
    const { child, members, ended } = await start(LIVE);
    // Nodes run when all have booted: what they burn then is theirs.
    await until(() => members.every((pid) => cpuMs(pid) > 2500));
    const begun = performance.now();
    child.kill(signal);
    const { code, stdout } = await ended;
    expect(performance.now() - begun).toBeLessThan(8000);
    expect(code).toBe(130);
    const result = JSON.parse(stdout) as { interrupted: boolean; nodes: unknown[]; writes: { retired: number } };
    expect(result.interrupted).toBe(true);
    expect(result.writes.retired).toBeGreaterThan(0);
    expect(result.nodes.length).toBeGreaterThan(0);
    await until(() => !members.some(isAlive));
  });

  it('in live has another process in the place of one that is killed, and says so', async () => {
    const { members, ended } = await start(LIVE.replace('60s', '4s'));
    process.kill(members[1]!, 'SIGKILL');
    const { code, stdout, stderr } = await ended;
    expect([code, stderr]).toEqual([0, '']);
    const result = JSON.parse(stdout) as { lostProcesses: unknown[]; nodes: unknown[]; verdict: string };
    expect(result.verdict).toBe('pass');
    expect(result.nodes.length).toBe(4);
    expect(result.lostProcesses).toMatchObject([{ process: 1, pid: members[1], backMs: expect.any(Number) }]);
    expect(members.filter(isAlive)).toEqual([]);
  });

  it.each([
    ['SIGINT', 0],
    ['SIGTERM', 500],
  ] as const)(
    'in live ends soon after %s that comes %i ms after a process has taken another’s place',
    async (signal, ms) => {
      const { child, members, ended } = await start(LIVE);
      await until(() => members.every((pid) => cpuMs(pid) > 2500));
      process.kill(members[1]!, 'SIGKILL');
      const successor = (): number | undefined => childrenOf(child.pid!).find((pid) => !members.includes(pid));
      await until(() => successor() !== undefined);
      members.push(successor()!);
      await new Promise((resolve) => setTimeout(resolve, ms));
      const begun = performance.now();
      child.kill(signal);
      const { code, stdout } = await ended;
      expect(performance.now() - begun).toBeLessThan(8000);
      expect(code).toBe(130);
      const result = JSON.parse(stdout) as { interrupted: boolean; nodes: unknown[]; lostProcesses: unknown[] };
      expect(result.interrupted).toBe(true);
      // Whether its nodes are back by then is up to the machine.
      expect(result.lostProcesses).toMatchObject([{ process: 1, pid: members[1] }]);
      expect(result.nodes.length).toBeGreaterThan(0);
      await until(() => !members.some(isAlive));
    },
  );

  it.each([SIM, LIVE])('leaves none behind when the one that was started is killed, %s', async (args) => {
    const { child, members } = await start(args);
    child.kill('SIGKILL');
    await until(() => !members.some(isAlive));
  });
});
