import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { replayFromLive } from '@numalab/coordinator';
import { PROTOCOLS } from '@numalab/protocols';
import { expect, test } from 'vitest';

const CLI = fileURLToPath(new URL('../../packages/coordinator/src/cli.ts', import.meta.url));

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
  readonly ms: number;
}

/** Runs numalab; SIGINT is sent after `interruptMs`. `ms` is the time from there to its end. */
const numalab = async (args: readonly string[], interruptMs = Infinity): Promise<Ended> => {
  const child = spawn(process.execPath, [CLI, ...args]);
  let out = '';
  let err = '';
  let since = performance.now();
  child.stdout.on('data', (data) => {
    out += data;
  });
  child.stderr.on('data', (data) => {
    err += data;
  });
  const timer = Number.isFinite(interruptMs)
    ? setTimeout(() => {
        since = performance.now();
        child.kill('SIGINT');
      }, interruptMs)
    : undefined;
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  clearTimeout(timer);
  return { code, out, err, ms: performance.now() - since };
};

const SMALL = ['--set', 'machine.nodes=2', '--set', 'machine.coresPerNode=4', '--set', 'machine.memoryPerNode=512MiB'];

test('a live run prints one JSON document without virtual time', async () => {
  const { code, out, err } = await numalab([
    'run',
    'live',
    '--mode',
    'live',
    '--duration',
    '300ms',
    '--json',
    ...SMALL,
  ]);
  expect([code, err]).toEqual([0, '']);
  const result = JSON.parse(out);
  expect(result).toMatchObject({ mode: 'live', digest: null, virtualTimePs: null, verdict: 'pass', latencyScale: 0 });
  expect([result.order, result.threads]).toEqual(['nodes', result.nodes.length]);
  expect(result.rate.inFlight).toBe(16);
  expect(result.rateAlone.inFlight).toBe(1);
  expect(result.writes.retired).toBeGreaterThan(0);
  expect(result.warmUpMs).toBeGreaterThanOrEqual(60);
  expect(result.dutyOfRealTime).toBeGreaterThan(0);
  expect(result.dutyOfRealTime).toBeLessThan(0.1);
  expect(result.history.recorded).toBeGreaterThan(0);
  expect(result.guarantee).toMatchObject({ declared: 'completed' });
}, 30_000);

test('SIGINT ends a live run soon, with what there is', async () => {
  const { code, out, ms } = await numalab(
    ['run', 'live', '--mode', 'live', '--duration', '60s', '--json', ...SMALL],
    3000,
  );
  expect(code).toBe(130);
  expect(JSON.parse(out)).toMatchObject({ interrupted: true });
  // Two seconds on a machine of one's own.
  expect(ms).toBeLessThan(10_000);
}, 30_000);

test('what live cannot do is refused in one line', async () => {
  const refused = await numalab(['run', 'live', '--mode', 'live', '--set', 'replication.strategy=stage1']);
  expect(refused).toMatchObject({ code: 2, out: '' });
  expect(refused.err).toMatch(/replication\.strategy: must be stage2 or none in live\n$/);
}, 30_000);

test('a run that is interrupted before its threads have begun says so, and claims nothing', async () => {
  const args = ['run', 'live', '--mode', 'live', '--duration', '60s'];
  const { code, out } = await numalab([...args, '--json'], 500);
  expect(code).toBe(130);
  const result = JSON.parse(out);
  // On a slow machine it has not even come to that.
  if (result.wallMs > 0) return;
  expect(result.warnings).toContain('interrupted before the measured phase began');
  expect(result).toMatchObject({ threads: 4, fetches: { total: 0, local: 0 }, guarantee: { held: null } });
}, 30_000);

test('the folder of a live run is refused where a trace is wanted, and in a line if it is damaged', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'numalab-live-'));
  try {
    const writers = 'kernel.writers=[{kind: synthetic, width: 4, inFlight: 4, writes: 50}]';
    const out = ['--duration', '100ms', '--out', folder, '--quiet', '--set', writers];
    expect((await numalab(['run', 'live', '--mode', 'live', ...out, ...SMALL])).code).toBe(0);
    for (const verb of ['replay', 'trace', 'shrink']) {
      const { code, err } = await numalab([verb, folder]);
      expect([verb, code]).toEqual([verb, 2]);
      expect(err).toMatch(/is the folder of a live run, .*--from-live\n$/);
    }
    for (const text of ['{"memory":[[1', '{}', '{"verdict":"pass","memory":[1]}']) {
      writeFileSync(join(folder, 'memory.json'), text);
      await expect(replayFromLive(folder, 1)).rejects.toThrow(/memory\.json: is damaged/);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}, 60_000);

const BUILT_IN = Object.keys(PROTOCOLS).map((name) => `replication.protocol=${name}`);

test.each([...BUILT_IN, 'replication.strategy=none', 'hypervisor.serialisation=lock'])(
  'a recorded live order gives the same memory and verdict in virtual time, %s',
  async (setting) => {
    const folder = mkdtempSync(join(tmpdir(), 'numalab-live-'));
    try {
      const writers = 'kernel.writers=[{kind: synthetic, width: 4, inFlight: 4, writes: 200}]';
      const few = ['--set', writers, '--set', setting];
      const out = ['--duration', '100ms', '--out', folder];
      const { code, err } = await numalab(['run', 'live', '--mode', 'live', '--quiet', ...out, ...few, ...SMALL]);
      expect([code, err]).toEqual([0, '']);
      const replayed = await replayFromLive(folder, 1);
      expect(replayed).toMatchObject({ live: 'pass', sim: 'pass', differences: [] });
      expect(replayed.rows).toBeGreaterThanOrEqual(150);
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
  60_000,
);
