import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, watch, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadScenario, type RunResult, runWithMachine } from '@numalab/coordinator';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CLI, closeAfterFirstBytes, numalab, type Outcome, ROOT } from './spawn.ts';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'numalab-run-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The default scenario, cut short. */
const SHORT = ['--duration', '200us'];
const json = ({ stdout }: Outcome): RunResult => JSON.parse(stdout) as RunResult;

describe('run --json', () => {
  let outcome: Outcome;
  let result: RunResult;
  beforeAll(() => {
    outcome = numalab(['run', 'default', ...SHORT, '--seed', '7', '--json']);
    result = json(outcome);
  });

  it('prints one document and nothing else', () => {
    expect([outcome.code, outcome.stderr]).toEqual([0, '']);
    expect(outcome.stdout.trimEnd()).toBe(JSON.stringify(result));
  });

  it('has all that a script may rely on', () => {
    expect(result).toMatchObject({
      seed: 7,
      mode: 'sim',
      placement: 'inline',
      verdict: 'pass',
      scenario: 'default',
      protocol: 'ack',
      guarantee: { declared: 'completed', held: 'completed' },
      violations: [],
      faults: [],
      duty: 0.05,
    });
    expect(result.digest).toMatch(/^[0-9a-f]{16}$/);
    expect(result.virtualTimePs).toBeGreaterThan(200_000_000);
    for (const time of [result.wallMs, result.bootMs, result.events]) expect(time).toBeGreaterThan(0);
    expect(Object.keys(result.guarantee.evidence)).toEqual(['eventual', 'ordered', 'completed', 'atomic']);
    const { trapped, retired, refused, latencyPs } = result.writes;
    expect([retired, refused]).toEqual([trapped, 0]);
    expect(trapped).toBeGreaterThan(0);
    const { p50, p90, p99, max } = latencyPs;
    expect([p50, p90, p99, max].every((ps) => Number.isInteger(ps))).toBe(true);
    expect([p50, p90, p99, max]).toEqual([p50, p90, p99, max].sort((a, b) => a! - b!));
    expect(result.memory).toMatchObject({ replicaBytes: expect.any(Number), stage2Bytes: expect.any(Number) });
    expect(result.memory.stage2Bytes).toBeLessThan(result.memory.stage2ReservedBytes);
    expect(result.rules.map(({ id }) => id)).toEqual(expect.arrayContaining(['R1', 'R5', 'X1', 'E1', 'T3', 'T6']));
    expect(result.assumptions.length).toBeGreaterThan(3);
  });

  it('counts every fetched word and every walk read once, per node and in all', () => {
    for (const run of [result, result.comparison!, ...result.nodes]) {
      const { total, l1i, l2, llc, local, remote, shared } = run.fetches;
      expect(l1i + l2 + llc + local + remote + shared).toBe(total);
      const { reads, localReads, remoteReads, stage1Remote } = run.walks;
      expect(localReads + remoteReads).toBe(reads);
      expect(remoteReads).toBe(stage1Remote);
    }
    const sum = (pick: (node: RunResult['nodes'][number]) => number): number =>
      result.nodes.reduce((total, node) => total + pick(node), 0);
    expect(sum((node) => node.fetches.total)).toBe(result.fetches.total);
    expect(sum((node) => node.writes.trapped)).toBe(result.writes.trapped);
    expect(sum((node) => node.memory.replicaBytes)).toBe(result.memory.replicaBytes);
  });

  it('shows what replication is for: no fetch goes to remote DRAM, and without it some do', () => {
    expect(result.fetches.remote).toBe(0);
    expect(result.comparison!.fetches.remote).toBeGreaterThan(0);
    expect(result.comparison!.writes.trapped).toBe(0);
    expect(result.comparison!.memory).toMatchObject({ replicaBytes: 0, stage2Bytes: 0 });
  });

  it('has the same digest again, another one for another seed', () => {
    const digest = (seed: number): string =>
      json(numalab(['run', 'default', ...SHORT, '--seed', String(seed), '--set', 'comparison=false', '--json'])).digest;
    expect(digest(7)).toBe(result.digest);
    expect(digest(8)).not.toBe(result.digest);
  });

  const threads = new URL('../../packages/coordinator/src/engine/threads.ts', import.meta.url);
  if (!existsSync(threads)) console.warn('skipped: placement threads is not built yet');
  it.skipIf(!existsSync(threads))('has the same digest in threads, however many', () => {
    for (const count of ['1', '2']) {
      const args = ['run', 'default', ...SHORT, '--seed', '7', '--placement', 'threads', '--threads', count, '--json'];
      const threaded = json(numalab(args));
      expect(threaded).toMatchObject({ digest: result.digest, placement: 'threads', verdict: 'pass' });
      expect(threaded.fetches).toEqual(result.fetches);
      expect(threaded.writes).toEqual(result.writes);
    }
  });
});

describe('the report', () => {
  let text = '';
  beforeAll(() => {
    const { code, stdout, stderr } = numalab(['run', 'default', ...SHORT]);
    expect([code, stderr]).toEqual([0, '']);
    text = stdout;
  });

  it('begins with the verdict and ends with the way to run it again', () => {
    const lines = text.trimEnd().split('\n');
    expect(lines[0]).toBe('PASS default, seed 1: completed held, and no rule was broken');
    expect(lines.at(-1)).toMatch(/^replay +numalab run default --seed 1 --duration 200us$/);
  });

  it('fits into 80 columns and has no escape codes in a pipe', () => {
    for (const line of text.split('\n')) expect(line.length).toBeLessThanOrEqual(80);
    expect(text).not.toContain('\u001b');
    expect(text).not.toMatch(/undefined|NaN|\[object/);
  });

  it('shows both runs, what was gained, paid and assumed', () => {
    expect(text).toMatch(/^ {20,}stage2, ack +one copy$/m);
    expect(text).toMatch(/^ {2}DRAM of another node +0 +0\.00 % +[1-9]/m);
    for (const title of ['Gained', 'Paid', 'Assumed']) expect(text).toContain(`\n${title}\n`);
    expect(text).toContain('refuted    atomic: write');
  });

  it('warns of a protocol that is too weak for Linux', () => {
    const { code, stdout } = numalab(['run', 'small', '--protocol', 'post']);
    expect(code).toBe(0);
    expect(stdout).toContain('\nwarning: post declares ordered, which is too weak for Linux');
  });
});

describe('the exit code', () => {
  it('is 0 and --quiet prints the verdict alone', () => {
    const { code, stdout } = numalab(['run', 'small', '--quiet']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^PASS small, seed 1: [^\n]+\n$/);
  });

  it('is 1 with the cause first when the run fails, and the JSON is there', () => {
    const args = ['run', 'small', '--set', 'checks.expect=[R1]'];
    const { code, stdout } = numalab(args);
    expect(code).toBe(1);
    expect(stdout).toMatch(/^FAIL small, seed 1: expected to be broken, but held: R1\n/);
    expect(stdout).toContain("replay     numalab run small --seed 1 --set 'checks.expect=[R1]'\n");
    const again = numalab([...args, '--json']);
    expect([again.code, json(again).verdict]).toEqual([1, 'fail']);
  });

  it('is 3 when too little could have refuted the level', () => {
    const { code, stdout } = numalab(['run', 'small', '--set', 'checks.minEvidence=1000000', '--quiet']);
    expect(code).toBe(3);
    expect(stdout).toMatch(/^UNKNOWN small/);
  });
});

describe('files', () => {
  it('of --out are the result, the report and a scenario that gives the same again', () => {
    const out = join(folder, 'deep', 'out');
    const { code, stdout } = numalab(['run', 'small', '--seed', '3', '--out', out, '--json']);
    expect(code).toBe(0);
    // run.json is what `replay` compares with, the trace what it looks at when they differ.
    expect(readdirSync(out).sort()).toEqual(['report.txt', 'result.json', 'run.json', 'scenario.yaml', 'trace']);
    const result = JSON.parse(readFileSync(join(out, 'result.json'), 'utf8')) as RunResult;
    expect(result).toEqual(JSON.parse(stdout));
    expect(readFileSync(join(out, 'report.txt'), 'utf8')).toMatch(/^PASS small, seed 3: /);
    const again = json(numalab(['run', join(out, 'scenario.yaml'), '--seed', '3', '--json']));
    expect(again.digest).toBe(result.digest);
  });

  it('of --dump-text are what every node sees: the image with all writes', async () => {
    const out = join(folder, 'text');
    expect(numalab(['run', 'small', '--seed', '5', '--dump-text', out, '--quiet']).code).toBe(0);
    const { prepared, judged } = await runWithMachine(loadScenario('small'), { seed: 5 });
    const { text, words } = prepared.spec.kernel;
    const expected = words.slice();
    for (const write of judged.judgement.writes) expected.set(write.words, write.word);
    expect(Buffer.from(words.buffer).equals(Buffer.from(expected.buffer))).toBe(false);
    const bytes = Buffer.from(expected.buffer, text.start, text.end - text.start);
    expect(readdirSync(out).sort()).toEqual(['node-0.bin', 'node-1.bin']);
    for (const name of readdirSync(out)) expect(readFileSync(join(out, name)).equals(bytes)).toBe(true);
  });

  it('of --casemate are a log for each node, which begins with its registers', () => {
    const out = join(folder, 'casemate');
    expect(numalab(['run', 'small', '--set', 'machine.stage2.ipaBits=48', '--casemate', out, '--quiet']).code).toBe(0);
    expect(readdirSync(out).sort()).toEqual(['node-0.log', 'node-1.log']);
    const log = readFileSync(join(out, 'node-1.log'), 'utf8').trimEnd().split('\n');
    expect(log[0]).toMatch(/^\(sysreg-write \(id 0\) \(tid 0\) \(sysreg vtcr_el2\)/);
    // Every store to a table happens under the lock.
    let locked = false;
    for (const line of log) {
      if (/^\((un)?lock /.test(line)) {
        expect(line.startsWith('(lock')).toBe(!locked);
        locked = !locked;
      } else if (line.startsWith('(mem-write')) expect(locked).toBe(true);
    }
    expect(locked).toBe(false);
  });

  it('that cannot be written, or tables that casemate does not know, are bad input', () => {
    writeFileSync(join(folder, 'file'), '');
    const refusals: [string[], string][] = [
      [['--out', join(folder, 'file', 'x')], '--out: '],
      [['--dump-text', join(folder, 'file')], '--dump-text: '],
      [
        ['--casemate', join(folder, 'c')],
        '--casemate: scenarios/small.yaml: machine.stage2.ipaBits: must be 48, not 40',
      ],
      [
        ['--casemate', join(folder, 'c'), '--set', 'machine.stage2.granule=64K'],
        '--casemate: --set machine.stage2.granule: must be 4K',
      ],
    ];
    for (const [args, message] of refusals) {
      const { code, stdout, stderr } = numalab(['run', 'small', ...args]);
      expect([code, stdout]).toEqual([2, '']);
      expect(stderr).toMatch(/^[^\n]+\n$/);
      expect(stderr).toContain(message);
    }
    expect(existsSync(join(folder, 'c'))).toBe(false);
  });
});

/** Runs a command that makes `out`, and sends `signal` as soon as it has. */
const signalWhenMade = (args: readonly string[], out: string, signal: NodeJS.Signals): Promise<Outcome> =>
  new Promise((done) => {
    const child = spawn(process.execPath, [CLI, ...args], { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] });
    const watcher = watch(folder, (_event, name) => {
      if (name !== out) return;
      watcher.close();
      child.kill(signal);
    });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (data: Buffer) => {
      stdout += data.toString();
    });
    child.stderr.on('data', (data: Buffer) => {
      stderr += data.toString();
    });
    child.on('close', (code) => done({ code, stdout, stderr }));
  });

describe('a run', () => {
  it.each(['SIGINT', 'SIGTERM'] as const)('that %s cuts off prints what there is and ends with 130', async (signal) => {
    const out = `out-${signal}`;
    const args = ['run', 'default', '--duration', '10s', '--out', join(folder, out), '--json'];
    const outcome = await signalWhenMade(args, out, signal);
    expect([outcome.code, outcome.stderr]).toEqual([130, '']);
    expect(json(outcome)).toMatchObject({ interrupted: true, verdict: 'unknown', comparison: null });
    expect(existsSync(join(folder, out, 'result.json'))).toBe(true);
  });

  it('whose reader closes the pipe ends quietly with its own code', async () => {
    const { code, stderr } = await closeAfterFirstBytes([CLI, 'run', 'small', '--set', 'checks.expect=[R1]', '--json']);
    expect([code, stderr]).toEqual([1, '']);
  });
});
