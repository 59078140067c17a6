/** Campaigns over a real redis-server, which these tests start themselves. Without one they fail; they never skip. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type CampaignOptions,
  type CampaignResult,
  campaign,
  type Lease,
  type LeaseRunner,
  loadScenario,
  runWorker,
  Tally,
} from '@numalab/coordinator';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { numalab } from '../cli/spawn.ts';
import { factsOf } from './outcomes.ts';
import { type Running, start } from './processes.ts';
import { makeCertificate, RedisServer } from './redis-server.ts';

const SCENARIO = loadScenario('small', { duration: '10us' });
const SHORT = ['small', '--duration', '10us'];

let folder = '';
let server: RedisServer | null = null;
const running: Running[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'numalab-redis-test-'));
});
afterEach(async () => {
  for (const { child } of running.splice(0)) child.kill('SIGKILL');
  await server?.remove();
  server = null;
  rmSync(folder, { recursive: true, force: true });
});

const started = (...args: Parameters<typeof start>): Running => {
  const process = start(...args);
  running.push(process);
  return process;
};

/** Answers a lease without simulating anything. */
const quickly: LeaseRunner = {
  run: async ({ from, to }) => {
    const tally = new Tally();
    for (let seed = from; seed <= to; seed++) {
      tally.addRun({
        verdict: 'pass',
        failure: null,
        sums: { seeds: seed },
        evidence: { eventual: 1, ordered: 1, completed: 1, atomic: 1 },
        rules: [],
        faults: [],
        marks: [],
        times: { writeLatencyPs: [seed], maintainedPs: [] },
      });
    }
    return { to, tally: tally.data(), busyMs: 1, cpuMs: 1 };
  },
  close: async () => {},
};

/** A campaign whose leases workers of this process answer at once. */
const quickCampaign = async (options: Omit<CampaignOptions, 'redis'>, workers = 1): Promise<CampaignResult> => {
  const stop = new AbortController();
  const redis = server!.url;
  const all = Array.from({ length: workers }, () =>
    runWorker({ redis, jobs: 4, signal: stop.signal, runner: quickly, lockMs: 2000 }),
  );
  try {
    return await campaign([SCENARIO], { ...options, redis });
  } finally {
    stop.abort();
    await Promise.all(all);
  }
};

/** One line on standard error, nothing on standard output, exit 2. */
const refuses = (args: readonly string[], ...parts: readonly string[]): void => {
  const { code, stdout, stderr } = numalab(args);
  expect(stderr).toMatch(/^[^\n]+\n$/);
  for (const part of parts) expect(stderr).toContain(part);
  expect([code, stdout]).toEqual([2, '']);
};

describe('campaign --redis', () => {
  it('finds through TLS and a password what it finds without a queue, and tells nobody the password', async () => {
    const { cert, key } = makeCertificate(folder);
    server = await RedisServer.start([
      ...['--port', '0', '--tls-port', 'PORT', '--tls-cert-file', cert, '--tls-key-file', key],
      ...['--tls-ca-cert-file', cert, '--tls-auth-clients', 'no', '--requirepass', 'hush-hush'],
    ]);
    const env = { NODE_EXTRA_CA_CERTS: cert };
    const url = `rediss://:hush-hush@127.0.0.1:${server.port}`;
    const worker = started(['worker', '--redis', url, '--jobs', '1'], env);
    const args = ['campaign', ...SHORT, '--seeds', '1..12', '--json'];
    const far = await started([...args, '--redis', url, '--lease', '5'], env).ended;
    expect([far.code, far.stderr.includes('hush')]).toEqual([0, false]);
    worker.child.kill('SIGTERM');
    const { code, stdout, stderr } = await worker.ended;
    expect([code, stdout]).toEqual([130, '']);
    expect(stderr).not.toContain('hush');
    expect(stderr).toContain('waiting for campaigns');
    const near = numalab([...args, '--jobs', '1']);
    expect(factsOf(JSON.parse(far.stdout))).toEqual(factsOf(JSON.parse(near.stdout)));
    // Nobody vouches for the certificate here.
    refuses(['worker', '--redis', url], '--redis: rediss://127.0.0.1:', 'certificate is not trusted');
    refuses([...args, '--redis', url.replace('rediss', 'redis')], '--redis: redis://127.0.0.1:');
  });

  it('has the lease of a worker redone that is killed', async () => {
    server = await RedisServer.start();
    const flags = ['worker', '--redis', server.url, '--jobs', '1', '--lock', '1s'];
    const first = started(flags);
    await first.says('waiting for campaigns');
    const args = ['campaign', ...SHORT, '--seeds', '1..60', '--lease', '10', '--redis', server.url, '--json'];
    const asked = started(args);
    await first.says('"msg":"lease"');
    first.child.kill('SIGKILL');
    const second = started(flags);
    const { code, stdout } = await asked.ended;
    expect([code, JSON.parse(stdout).runs.total]).toEqual([0, 60]);
    await second.says('a lease is redone');
    second.child.kill('SIGTERM');
    await second.ended;
  });

  it('waits for a Redis that is restarted, has what it forgot done again, and counts nothing twice', async () => {
    server = await RedisServer.start();
    let leases = 0;
    let restarted: Promise<void> | null = null;
    const result = await quickCampaign({
      seeds: { from: 1, to: 2000 },
      seedsPerLease: 20,
      counted: () => {
        if (++leases === 30) restarted = server!.restart();
      },
    });
    expect(restarted).not.toBeNull();
    await restarted;
    expect(result.runs).toMatchObject({ total: 2000, pass: 2000 });
    expect(result.histograms.writeLatencyPs).toMatchObject({ count: 2000, min: 1, max: 2000 });
  });

  it('that was killed takes up what its workers have done meanwhile', async () => {
    server = await RedisServer.start();
    const out = join(folder, 'out');
    const args = ['campaign', ...SHORT, '--seeds', '1..40', '--lease', '10', '--redis', server.url, '--out', out];
    const killed = started([...args, '--json']);
    const ids = async (): Promise<number> => Number(server!.ask('--raw', 'llen', 'bull:numalab:wait'));
    while ((await ids()) < 4) await new Promise((resolve) => setTimeout(resolve, 50));
    killed.child.kill('SIGKILL');
    await killed.ended;
    const asked: Lease[] = [];
    const stop = new AbortController();
    const worker = runWorker({ redis: server.url, jobs: 1, signal: stop.signal, runner: quickly });
    while (server.ask('zcard', 'bull:numalab:completed') !== '4') await new Promise((done) => setTimeout(done, 50));
    stop.abort();
    await worker;
    // Nobody works any more: all comes from what Redis kept.
    const result = await campaign([SCENARIO], {
      seeds: { from: 1, to: 40 },
      out,
      redis: server.url,
      counted: (lease) => asked.push(lease),
    });
    expect(result.runs).toMatchObject({ total: 40, resumed: 0 });
    expect(asked.length).toBe(4);
    expect(server.ask('zcard', 'bull:numalab:completed')).toBe('0');
  });

  it('leaves no finished lease behind, however many there were', async () => {
    server = await RedisServer.start();
    const options = { seeds: { from: 1, to: 400 }, seedsPerLease: 1 };
    await quickCampaign(options);
    const keys = server.ask('dbsize');
    const { leases } = await quickCampaign({ ...options, seeds: { from: 1, to: 1200 } });
    expect(leases).toBe(1200);
    expect(server.ask('dbsize')).toBe(keys);
    expect(Number(keys)).toBeLessThan(8);
  });

  it('refuses a worker of another version, which gives its lease back', async () => {
    server = await RedisServer.start();
    const redis = server.url;
    const foreign = runWorker({ redis, jobs: 1, runner: quickly, version: '9.9.9+other' });
    const refused = expect(foreign).rejects.toThrow(/^--redis: the queue holds leases of numalab .*9\.9\.9\+other$/);
    const asked = campaign([SCENARIO], { seeds: { from: 1, to: 30 }, seedsPerLease: 10, redis });
    await refused;
    const stop = new AbortController();
    const worker = runWorker({ redis, jobs: 1, runner: quickly, signal: stop.signal });
    expect((await asked).runs.total).toBe(30);
    stop.abort();
    expect(await worker).toBe(3);
  });
});

describe('a Redis that cannot be used', () => {
  it('is refused in one line', async () => {
    server = await RedisServer.start(['--requirepass', 'hush-hush']);
    const at = `127.0.0.1:${server.port}`;
    const seeds = ['campaign', ...SHORT, '--seeds', '1..2'];
    refuses(['worker', '--redis', 'http://x'], '--redis: must be redis://');
    refuses([...seeds, '--redis', 'redis://127.0.0.1:1'], '--redis: redis://127.0.0.1:1: nobody listens there');
    refuses([...seeds, '--redis', `redis://:wrong@${at}`], `redis://${at}: wrong user or password`);
    refuses(['worker', '--redis', `redis://${at}`], 'a password is needed');
    refuses(['worker', '--redis', `rediss://:hush-hush@${at}`], `rediss://${at}: `);
  });

  it('because it is full is refused in one line', async () => {
    server = await RedisServer.start(['--maxmemory', '1mb', '--maxmemory-policy', 'noeviction']);
    refuses(['campaign', ...SHORT, '--seeds', '1..2', '--redis', server.url], 'Redis is full');
    const { code, stdout, stderr } = numalab(['worker', '--redis', server.url, '--jobs', '1', '--quiet']);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(/^[^\n]*Redis is full[^\n]*\n$/);
  });
});
