/** Live runs whose threads are in several processes of the operating system, one of which may be killed. */
import {
  buildSpec,
  closeMembers,
  judgeLiveRun,
  type LiveClusterOptions,
  type LiveRun,
  loadScenario,
  runLiveCluster,
} from '@numalab/coordinator';
import { afterAll, expect, it } from 'vitest';

const SET = [
  'machine.nodes=3',
  'machine.coresPerNode=2',
  'machine.memoryPerNode=512MiB',
  'interconnect.latencyScale=0',
  'workload.duty=0.1',
  'workload.duration=1ms',
];

const live = async (
  protocol: string,
  writers: string,
  set: readonly string[] = [],
  options: Partial<LiveClusterOptions> = {},
) => {
  const scenario = loadScenario('small', {
    set: [...SET, `kernel.writers=[${writers}]`, ...set],
    protocol,
    mode: 'live',
  });
  const { spec, watch } = buildSpec(scenario, 1);
  const run = await runLiveCluster(spec, protocol, watch, {
    scale: 0,
    recordLimit: 10_000,
    processes: 2,
    ownHypervisor: false,
    ...options,
  });
  return { run, judgement: judgeLiveRun(spec, run, scenario.checks) };
};

const over = (run: LiveRun): number => run.nodes.reduce((sum, { counts }) => sum + counts.writesOver, 0);

afterAll(closeMembers);

it.each(['ack', 'direct'])(
  '%s retires what cores of two processes write, and every copy has it',
  async (protocol) => {
    const { run, judgement } = await live(protocol, '{kind: synthetic, inFlight: 3, writes: 30}');
    expect(judgement.violations).toEqual([]);
    expect(['pass', 'unknown']).toContain(judgement.verdict);
    expect([run.rested, run.processes, run.lost]).toEqual([true, 2, []]);
    const { numbered, retired, withoutEffect } = run.hypervisor;
    expect([numbered + withoutEffect, retired, over(run)]).toEqual([30, numbered, numbered]);
    expect(judgement.evidence.eventual).toBeGreaterThan(0);
  },
  60_000,
);

it('without replication stores of all processes reach the one copy in one order', async () => {
  const { run, judgement } = await live(
    'ack',
    '{kind: synthetic, inFlight: 3, writes: 60}, {kind: jump-label, writes: 4}',
    ['replication.strategy=none'],
  );
  expect(judgement.violations).toEqual([]);
  expect(judgement.refuted.map(({ level }) => level)).not.toContain('completed');
  expect([judgement.verdict, run.rested]).toEqual(['pass', true]);
  const { numbered, retired, record } = run.hypervisor;
  expect([retired, over(run)]).toEqual([numbered, numbered]);
  expect(record.map(({ write }) => write.number)).toEqual(Array.from({ length: numbered }, (_, i) => i + 1));
  expect(new Set(record.map(({ write }) => write.origin))).toEqual(new Set([0, 1, 2]));
  expect(judgement.evidence.eventual).toBeGreaterThan(0);
}, 60_000);

it('a protocol that forgets to invalidate in another process is caught', async () => {
  const file = new URL('../live/without-invalidation.ts', import.meta.url).pathname;
  const { judgement } = await live(file, '{kind: synthetic, inFlight: 3, sites: 1}', ['workload.duration=600ms']);
  expect(judgement.violations.map(({ id }) => id)).toContain('R5');
}, 60_000);

it('the kernel’s locks, kicks and stops reach cores of all processes', async () => {
  const { run, judgement } = await live(
    'ack',
    '{kind: ftrace, batch: 2, writes: 6}, {kind: kprobe, writes: 4}, {kind: alternatives, writes: 2}',
    [],
    { ownHypervisor: true, processes: 3 },
  );
  expect(judgement.violations).toEqual([]);
  expect(run.rested).toBe(true);
  expect(run.hypervisor.numbered).toBe(run.hypervisor.retired);
  expect(run.hypervisor.retired).toBe(over(run));
}, 60_000);

it('a protocol that loses a store in another process is caught in its copy', async () => {
  const file = new URL('../live/loses-a-store.ts', import.meta.url).pathname;
  const { judgement } = await live(file, '{kind: synthetic, inFlight: 3, writes: 30}');
  expect(judgement.violations.map(({ id }) => id)).toContain('R1');
}, 60_000);

it('ends with its name if the process that has the order is killed', async () => {
  let pids: readonly number[] = [];
  const run = live('ack', '{kind: synthetic, inFlight: 6}', ['workload.duration=60s'], {
    started: (started) => {
      pids = started;
    },
    progress: () => process.kill(pids[0]!, 'SIGKILL'),
  });
  await expect(run).rejects.toThrow(/^process 0 of the run \(pid \d+\), with the hypervisor and node 0.* SIGKILL$/);
}, 60_000);
