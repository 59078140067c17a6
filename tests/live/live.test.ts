import { fileURLToPath } from 'node:url';
import { InputError } from '@numalab/base';
import type { Judgement } from '@numalab/checkers';
import {
  buildSpec,
  judgeLiveRun,
  type LiveRun,
  loadScenario,
  runLiveScenario,
  runLiveThreads,
} from '@numalab/coordinator';
import type { PatchWriter } from '@numalab/kernel';
import { expect, test } from 'vitest';

const SET = [
  'machine.nodes=2',
  'machine.coresPerNode=4',
  'machine.memoryPerNode=512MiB',
  'kernel.writers=[{kind: synthetic, inFlight: 4}]',
  'interconnect.latencyScale=0',
  'workload.duty=0.2',
];

interface Lived {
  readonly run: LiveRun;
  readonly judgement: Judgement;
}

/** Few words, so that every core has the lines of all of them: what is stale shows soon. */
const HOT = ['kernel.writers=[{kind: synthetic, inFlight: 4, sites: 1}]', 'workload.duration=600ms'];

const live = async (protocol: string, file: string | null = null, set: readonly string[] = []): Promise<Lived> => {
  const scenario = loadScenario('small', {
    set: [...SET, ...set],
    protocol,
    ...(set.some((item) => item.startsWith('workload.duration')) ? {} : { duration: '200ms' }),
    mode: 'live',
  });
  const { spec, watch } = buildSpec(scenario, 1);
  const path = file === null ? null : fileURLToPath(new URL(file, import.meta.url));
  const run = await runLiveThreads(spec, path ?? protocol, watch, {
    scale: scenario.interconnect.latencyScale,
    recordLimit: 10_000,
  });
  return { run, judgement: judgeLiveRun(spec, run, scenario.checks) };
};

const broken = ({ judgement }: Lived): Set<string> => new Set(judgement.violations.map(({ id }) => id));

test.each(['post', 'ack', 'direct', 'bbm', 'stop-machine', 'invalidate', 'collapse'])(
  '%s holds its level while threads race',
  async (protocol) => {
    const { run, judgement } = await live(protocol);
    expect(judgement.violations).toEqual([]);
    expect(judgement.verdict).toBe('pass');
    expect(run.rested).toBe(true);
    expect(run.shared.ordersOnNodes).toBe(['post', 'ack', 'direct'].includes(protocol));
    expect(run.hypervisor.record.map(({ write }) => write.number)).toEqual(
      Array.from({ length: Math.min(run.hypervisor.numbered, 10_000) }, (_, i) => i + 1),
    );
    expect(run.hypervisor.numbered).toBeGreaterThan(0);
    expect(run.cellsRead).toBeGreaterThan(0);
    expect(run.cellsTorn).toBe(0);
  },
  30_000,
);

const LOCK = 'hypervisor.serialisation=lock';

test.each(['post', 'ack', 'direct', 'bbm', 'stop-machine', 'invalidate', 'collapse'])(
  '%s holds its level under a lock that moves',
  async (protocol) => {
    const { run, judgement } = await live(protocol, null, [LOCK]);
    expect(judgement.violations).toEqual([]);
    expect(judgement.verdict).toBe('pass');
    expect(run.rested).toBe(true);
    expect(run.hypervisor.numbered).toBeGreaterThan(0);
  },
  30_000,
);

test('under the lock a write begins when the one before it is over, and only then', async () => {
  const { run, judgement } = await live('ack', './alone.ts', [LOCK]);
  expect(judgement.violations).toEqual([]);
  expect(run.hypervisor.numbered).toBeGreaterThan(8);
  // The lock's line takes its time, and a compare-and-swap finds what another core has stored since it looked.
  const one = 'kernel.writers=[{kind: synthetic, inFlight: 4, width: mixed, sites: 1}]';
  const slow = ['interconnect.latencyScale=20', one];
  const moved = await live('ack', './alone.ts', [LOCK, ...slow]);
  expect(moved.judgement.violations).toEqual([]);
  expect(moved.run.rested).toBe(true);
  expect(moved.run.hypervisor.withoutEffect).toBeGreaterThan(0);
  await expect(live('ack', './alone.ts')).rejects.toThrow(/write \d+ began before \d+ was over/);
}, 30_000);

test.each([
  ['by nodes', []],
  ['by the hypervisor', [LOCK]],
])(
  'a compare-and-swap that nobody disturbs writes: ordered %s',
  async (_, order) => {
    const set = ['kernel.writers=[{kind: synthetic, inFlight: 1, width: mixed}]', 'workload.duration=400ms'];
    const { run, judgement } = await live('direct', null, [...set, ...order]);
    expect(judgement.violations).toEqual([]);
    expect(run.hypervisor.numbered).toBeGreaterThan(200);
    expect(run.hypervisor.withoutEffect).toBe(0);
  },
  30_000,
);

test('two writers of the same sites do not know what the other has left there', async () => {
  const scenario = loadScenario('small', {
    set: [...SET, 'kernel.writers=[{kind: ftrace, sites: 4, batch: 2, rate: max, cpus: [0]}]'],
    duration: '300ms',
    mode: 'live',
  });
  const { spec, watch } = buildSpec(scenario, 1);
  const first = spec.writers[0] as PatchWriter;
  const second: PatchWriter = { ...first, items: first.items.map((item) => ({ ...item, cpu: 4 })) };
  const both = { ...spec, writers: [first, second] };
  const run = await runLiveThreads(both, 'ack', watch, { scale: 0, recordLimit: 10_000 });
  const { violations, rules } = judgeLiveRun(both, run, scenario.checks);
  expect(violations).toEqual([]);
  expect(run.hypervisor.numbered).toBeGreaterThan(8);
  // Nothing was compared that could have shown anything; by itself each is judged.
  expect(rules.find(({ id }) => id === 'K1')!.evidence).toBe(0);
  const alone = await runLiveThreads(spec, 'ack', watch, { scale: 0, recordLimit: 10_000 });
  const judged = judgeLiveRun(spec, alone, scenario.checks);
  expect(judged.violations).toEqual([]);
  expect(judged.rules.find(({ id }) => id === 'K1')!.evidence).toBeGreaterThan(8);
});

test('the kernel’s own writers take locks, kick and stop all cores of all threads', async () => {
  const writers = ['jump-label', 'ftrace', 'ftrace-literal', 'kprobe', 'alternatives']
    .map((kind) => `{kind: ${kind}, batch: 2}`.replace(/(kprobe|literal|alternatives), batch: 2/, '$1'))
    .join(', ');
  const lived = await live('ack', null, [`kernel.writers=[${writers}]`]);
  expect(lived.judgement.violations).toEqual([]);
  expect(lived.run.rested).toBe(true);
  expect(lived.run.nodes.every(({ counts }) => counts.actions > 0)).toBe(true);
}, 30_000);

test('a protocol that forgets to invalidate is caught: a fetch sees a word older than a write that had ended', async () => {
  expect(broken(await live('ack', './without-invalidation.ts', HOT))).toContain('R5');
}, 30_000);

test('a writer cleans and invalidates what it stored by its own address: on one node that is enough', async () => {
  const { run, judgement } = await live('ack', './without-invalidation.ts', ['machine.nodes=1', ...HOT]);
  expect(judgement.violations).toEqual([]);
  expect(run.hypervisor.numbered).toBeGreaterThan(0);
}, 30_000);

test('a protocol that loses a store on one node is caught in its copy', async () => {
  expect(broken(await live('ack', './loses-a-store.ts'))).toContain('R1');
}, 30_000);

test('a protocol that retires before every node has stored does not hold completed', async () => {
  const { judgement } = await live('ack', './retires-early.ts', HOT);
  expect(judgement.refuted.map(({ level }) => level)).toContain('completed');
}, 30_000);

test('one write in flight is measured apart, and the record keeps within its bound', async () => {
  const { run } = await live('direct');
  expect(run.alone?.retired).toBeGreaterThan(0);
  // And while threads warm up nothing is measured, though all of it is checked.
  expect(run.warmUpMs).toBeGreaterThan(0);
  expect(run.retired + run.alone!.retired).toBeLessThan(run.hypervisor.retired);
  expect(run.hypervisor.record.length).toBe(Math.min(10_000, run.hypervisor.numbered));
}, 30_000);

test('a protocol that throws ends the run with its cause, as what its author has to mend', async () => {
  const failure = await live('ack', './fails.ts').catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(InputError);
  expect((failure as Error).message).toMatch(/fails\.ts: onMessage of the node’s half threw Error: told to fail/);
}, 30_000);

test('a run that is interrupted while the order cannot be told claims nothing of what nodes saw', async () => {
  const protocol = fileURLToPath(new URL('./loops.ts', import.meta.url));
  const scenario = loadScenario('small', { set: SET, protocol, duration: '60s', mode: 'live' });
  const controller = new AbortController();
  const progress = (ms: number): void => {
    if (ms > 300) controller.abort();
  };
  const { result } = await runLiveScenario(scenario, { seed: 1, signal: controller.signal, progress });
  expect(result).toMatchObject({ verdict: 'unknown', interrupted: true, violations: [], guarantee: { held: null } });
  expect(result.warnings.join()).toContain('the hypervisor had not told the order');
}, 30_000);

test('threads of one process are called threads, whatever their clock', async () => {
  const none = [...SET, 'replication.strategy=none'];
  const scenario = loadScenario('small', { set: none, duration: '100ms', mode: 'live' });
  expect((await runLiveScenario(scenario, { seed: 1 })).result).toMatchObject({ placement: 'threads', processes: 1 });
}, 30_000);

test('one write in flight is measured when those of all others are over', async () => {
  const set = [...SET, 'kernel.writers=[{kind: synthetic, inFlight: 16}]'];
  const scenario = loadScenario('small', { set, protocol: 'collapse', duration: '600ms', mode: 'live' });
  const { result } = await runLiveScenario(scenario, { seed: 1 });
  const { writesPerSecond, latencyPs } = result.rateAlone!;
  expect(writesPerSecond).toBeGreaterThan(0);
  // Rate times latency is what is in flight.
  expect((writesPerSecond * latencyPs.p50!) / 1e12).toBeLessThan(2);
}, 30_000);
