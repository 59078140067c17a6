import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, watch, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type CampaignResult, campaign, loadScenario, type RunResult } from '@numalab/coordinator';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CLI, numalab, ROOT } from '../cli/spawn.ts';
import { factsOf } from './outcomes.ts';
import { start } from './processes.ts';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'numalab-campaign-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const SHORT = ['--duration', '10us'];
const json = (text: string): CampaignResult => JSON.parse(text) as CampaignResult;
const journalOf = (out: string): string[] => readFileSync(join(out, 'journal.jsonl'), 'utf8').split('\n').slice(1, -1);

/** Resolves once the journal in `out` has at least `lines` leases. */
const journalHas = (out: string, lines: number): Promise<void> =>
  new Promise((resolve) => {
    const watcher = watch(folder, { recursive: true }, () => {
      if (!existsSync(join(out, 'journal.jsonl')) || journalOf(out).length < lines) return;
      watcher.close();
      resolve();
    });
  });

describe('campaign', () => {
  it('killed at any moment resumes with nothing lost and nothing counted twice', async () => {
    const out = join(folder, 'killed');
    const args = [
      'campaign',
      'small',
      ...SHORT,
      '--seeds',
      '1..60',
      '--lease',
      '4',
      '--jobs',
      '2',
      '--out',
      out,
      '--json',
    ];
    for (const lines of [1, 4, 6]) {
      const { child, ended } = start(args);
      await journalHas(out, lines);
      child.kill('SIGKILL');
      expect((await ended).code).toBeNull();
    }
    const before = journalOf(out).length;
    const last = json((await start(args).ended).stdout);
    expect(last.runs).toMatchObject({ total: 60, requested: 60 });
    expect(last.runs.resumed).toBeGreaterThanOrEqual(before * 4 - 4);
    const whole = await campaign([loadScenario('small', { duration: '10us' })], {
      seeds: { from: 1, to: 60 },
      jobs: 1,
    });
    expect(factsOf(last)).toEqual(factsOf(whole));
    const seeds = journalOf(out).flatMap((line) => {
      const { lease, outcome } = JSON.parse(line);
      return Array.from({ length: outcome.to - lease.from + 1 }, (_, i) => lease.from + i);
    });
    expect(seeds.sort((x, y) => x - y)).toEqual(Array.from({ length: 60 }, (_, i) => i + 1));
  });

  it('cut off by SIGINT prints what there is, ends with 130, and goes on from there', async () => {
    const out = join(folder, 'interrupted');
    const args = ['campaign', 'small', ...SHORT, '--seeds', '1..40000', '--jobs', '1', '--out', out, '--json'];
    const { child, ended } = start(args);
    await journalHas(out, 2);
    child.kill('SIGINT');
    const { code, stdout } = await ended;
    const cut = json(stdout);
    expect(code).toBe(130);
    expect(cut).toMatchObject({ interrupted: true, verdict: 'unknown' });
    expect(cut.runs.total).toBeGreaterThan(4);
    const done = journalOf(out).reduce((sum, line) => sum + JSON.parse(line).outcome.tally.runs.total, 0);
    expect(done).toBe(cut.runs.total);
  });

  it('lets a scheduler decide whose turn it is, and names it', () => {
    const [random, pct] = ['random', 'pct'].map((scheduler) => {
      const { code, stdout } = numalab(['campaign', ...SHORT, '--seeds', '1..6', '--scheduler', scheduler, '--json']);
      return { code, ...json(stdout) };
    });
    expect([random!.code, pct!.code]).toEqual([0, 0]);
    expect(pct!.cells[0]!.name).toBe(`${random!.cells[0]!.name}, scheduler pct`);
    expect(pct!.cells[0]!.events).not.toBe(random!.cells[0]!.events);
  });

  it('runs every scenario with every protocol on every topology, and finds what breaks', () => {
    const junit = join(folder, 'junit.xml');
    const summary = join(folder, 'summary.md');
    const file = join(folder, 'broken.yaml');
    writeFileSync(
      file,
      'machine: { nodes: 2, coresPerNode: 1 }\nworkload: { duration: 5us }\nchecks: { expect: [T1] }\n',
    );
    const args = [
      'campaign',
      'small',
      file,
      ...SHORT,
      '--protocol',
      'ack,post',
      '--topology',
      'kunpeng920,xeon8-glueless',
    ];
    const { code, stdout } = numalab([...args, '--seeds', '3..4', '--junit', junit, '--summary', summary, '--json']);
    const result = json(stdout);
    expect([code, result.verdict, result.runs.total, result.cells.length]).toEqual([1, 'fail', 16, 8]);
    expect(result.cells.map(({ verdict }) => verdict)).toEqual(
      [...'pppp'].map(() => 'pass').concat([...'ffff'].map(() => 'fail')),
    );
    expect(new Set(result.cells.map(({ name }) => name)).size).toBe(8);
    expect(result.failures.length).toBe(4);
    expect(result.failures[0]).toMatchObject({ invariant: 'expect', count: 2, scenario: 'broken.yaml' });
    expect(result.faultsFired).toEqual({});
    expect(readFileSync(junit, 'utf8').match(/<testsuite /g)?.length).toBe(8);
    expect(readFileSync(summary, 'utf8')).toMatch(/^# FAIL: 16 of 16 runs\n/);
  });

  it('draws faults from the seed, and every failure has a line that runs it again', () => {
    const scenario = ['small', '--set', 'checks.expect=[T1]', ...SHORT];
    const { code, stdout } = numalab(['campaign', ...scenario, '--seeds', '1..12', '--faults', 'swarm', '--json']);
    const { failures, faultsFired } = json(stdout);
    expect(code).toBe(1);
    expect(Object.values(faultsFired).reduce((sum, count) => sum + count, 0)).toBeGreaterThan(0);
    const { seed, replay } = failures[0]!;
    expect(replay).toContain(`numalab run small --seed ${seed}`);
    const line = replay.replace(/^numalab/, `'${process.execPath}' '${CLI}'`);
    const { status, stdout: again } = spawnSync('sh', ['-c', `${line} --json`], { cwd: ROOT, encoding: 'utf8' });
    const run = JSON.parse(again) as RunResult;
    expect([status, run.events]).toEqual([1, failures[0]!.events]);
  });

  it('prints a report for people, its verdict first', () => {
    const { code, stdout } = numalab(['campaign', ...SHORT, '--seeds', '1..3', '--jobs', '1']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^PASS 3 runs: no rule was broken in 3 runs\n/);
    expect(stdout).toMatch(/\nwrites +p50 [\d.]+ ns/);
  });

  it.each([
    [['--seeds', '5..1'], 'must not be below'],
    [['--seeds', 'x'], 'A..B'],
    [[], "required option '--seeds"],
    [['--seeds', '1..2', '--protocol', 'ack,,post'], 'empty entry'],
    [['--seeds', '1..2', '--protocol', 'akc'], 'no built-in protocol akc'],
    [['--seeds', '1..2', '--bug', 'moth'], '--bug: there is no bug moth'],
    [['--seeds', '1..2', '--topology', 'moon'], '--topology: '],
    [['--seeds', '1..2', '--metrics-port', '1', '--metrics-host', '192.0.2.1'], '--metrics-port: 192.0.2.1:1'],
    [['--seeds', '1..2', '--out', '/dev/null/x'], '--out: '],
    [['--seeds', '1..2', '--jobs', '2', '--redis', 'redis://127.0.0.1:1'], '--jobs: '],
    [['none.yaml', '--seeds', '1..2'], 'none.yaml: no such file'],
  ])('%j is refused', (args, message) => {
    const { code, stdout, stderr } = numalab(['campaign', ...args]);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(/^[^\n]+\n$/);
    expect(stderr).toContain(message);
  });
});

describe('metrics', () => {
  it('are served on loopback in the text form of Prometheus', async () => {
    const { child, ended, says } = start([
      ...['campaign', ...SHORT, '--seeds', '1..100000', '--jobs', '1', '--lease', '2', '--metrics-port', '0'],
    ]);
    // The whole of the line that tells the port.
    const { address } = JSON.parse((await says('metrics are served"}\n')).split('\n')[0]!);
    expect(address.address).toBe('127.0.0.1');
    const response = await fetch(`http://127.0.0.1:${address.port}/metrics`);
    expect(response.headers.get('content-type')).toContain('text/plain');
    const text = await response.text();
    expect(text).toContain('# TYPE numalab_runs_total counter\n');
    expect(text).toMatch(/^numalab_campaign_runs_requested 100000$/m);
    expect((await fetch(`http://127.0.0.1:${address.port}/`)).status).toBe(404);
    child.kill('SIGTERM');
    expect((await ended).code).toBe(130);
  });
});
