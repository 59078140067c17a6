/** Planned faults in live mode: threads that really end, stand still, or lose messages; what became of each is in the result. */
import { join } from 'node:path';
import { type LiveScenarioRun, loadScenario, runLiveScenario } from '@numalab/coordinator';
import { expect, test } from 'vitest';

const SET = [
  'machine.nodes=3',
  'machine.coresPerNode=2',
  'machine.memoryPerNode=512MiB',
  'kernel.writers=[{kind: synthetic, inFlight: 6}]',
  'interconnect.latencyScale=0',
  'workload.duty=0.2',
  'workload.duration=250ms',
];

const live = (fault: string, set: readonly string[] = []): Promise<LiveScenarioRun> =>
  runLiveScenario(loadScenario('small', { set: [...SET, `faults=[${fault}]`, ...set], mode: 'live' }), { seed: 1 });

const passes = ({ result, run }: LiveScenarioRun): void => {
  expect(result.violations).toEqual([]);
  expect(result.verdict).toBe('pass');
  expect(run.rested).toBe(true);
};

test.each(['ack', 'direct', 'stop-machine', 'invalidate'])(
  '%s survives a node whose thread ends and comes back without its memory, while messages are lost',
  async (protocol) => {
    const lived = await live(
      '{kind: crash, target: 1, at: 1ms, for: 1ms, memory: lost}, {kind: drop, probability: 0.02}',
      [`replication.protocol=${protocol}`],
    );
    passes(lived);
    const { result } = lived;
    expect(result.faults[0]).toMatchObject({ kind: 'crash', outcome: 'repaired', fired: 1, repaired: 1 });
    expect(result.outages).toHaveLength(1);
    expect(result.outages[0]!.backMs).toBeGreaterThan(result.outages[0]!.downMs);
    // In its second life it takes part again.
    expect(result.nodes.map(({ id }) => id)).toEqual([0, 1, 2]);
    expect(result.warnings.join()).toContain('node 1 went down');
  },
  30_000,
);

test.each(['0', '20'])(
  'nodes that go down with the order’s lock, or while they wait for it, keep nobody from it (latencies × %s)',
  async (scale) => {
    const crashes = [1, 0, 2]
      .map((node, i) => `{kind: crash, target: ${node}, at: ${2 + 6 * i}ms, for: 2ms}`)
      .join(', ');
    const lived = await live(crashes, ['hypervisor.serialisation=lock', `interconnect.latencyScale=${scale}`]);
    passes(lived);
    expect(lived.result.outages).toHaveLength(3);
    expect(lived.result.outages.every(({ backMs }) => backMs !== null)).toBe(true);
    expect(lived.result.assumptions.join()).toContain('core with the lock');
  },
  30_000,
);

test('what a half on a node declares durable is there in the node’s next life', async () => {
  const protocol = join(import.meta.dirname, 'remembers.ts');
  const lived = await live('{kind: crash, target: 1, nth: 5, for: 1ms}', [`replication.protocol=${protocol}`]);
  passes(lived);
  expect(lived.result.outages).toMatchObject([{ node: 1, backMs: expect.any(Number) }]);
}, 30_000);

test('no write is over while the node with the primary is down', async () => {
  const lived = await live('{kind: crash, target: 0, at: 5ms, for: 5ms}');
  passes(lived);
  expect(lived.result.faults[0]).toMatchObject({ outcome: 'repaired', fired: 1 });
}, 30_000);

// By count where a loaded machine could sleep through a time.
test('what is survivable is survived and accounted for', async () => {
  const lived = await live(
    [
      '{kind: corrupt, nth: 5}',
      '{kind: flip-message, nth: 7}',
      '{kind: duplicate, nth: 9}',
      '{kind: delay, nth: 11, for: 1ms}',
      '{kind: partition, target: 1|hyp, nth: 3}',
      '{kind: pause, target: 1, at: 1ms, for: 30ms}',
      '{kind: slow-node, target: 2, during: [0ms, 600ms], factor: 2}',
      '{kind: flip-replica, target: 1, at: 1ms}',
      '{kind: crash, target: 1, at: 3600s}',
    ].join(', '),
    ['workload.duration=600ms'],
  );
  passes(lived);
  const { faults } = lived.result;
  const outcomes = Object.fromEntries(faults.map(({ kind, outcome }) => [kind, outcome]));
  expect(outcomes).toEqual({
    corrupt: 'repaired',
    'flip-message': 'repaired',
    duplicate: 'masked',
    delay: 'masked',
    partition: 'repaired',
    pause: 'masked',
    'slow-node': 'masked',
    'flip-replica': 'repaired',
    crash: 'not fired',
  });
  for (const { kind, fired } of faults) expect([kind, fired > 0]).toEqual([kind, kind !== 'crash']);
}, 30_000);

test('a flipped word that nothing covers is booked to its fault', async () => {
  // The last write to the word may come after it, so that the flip is masked; with one write in all it stays.
  // Early in a run that lasts, so that a loaded machine does not sleep through it.
  const lived = await live('{kind: flip-replica, target: 1, at: 1ms}', [
    'workload.duration=600ms',
    'machine.ecc=none',
    'kernel.writers=[{kind: synthetic, inFlight: 1, writes: 1}]',
  ]);
  expect(lived.result.faults[0]).toMatchObject({ outcome: 'silent', survivable: false });
  expect(lived.result.faults[0]!.broke).toContain('R1');
}, 30_000);

test('a finite writer makes the writes that it was told to, though its node goes down in between', async () => {
  const lived = await live('{kind: crash, target: 1, at: 50ms, for: 1ms}', [
    'kernel.writers=[{kind: synthetic, inFlight: 3, writes: 300, rate: 1k/s}]',
    'workload.duration=10ms',
  ]);
  passes(lived);
  expect(lived.result.faults[0]).toMatchObject({ fired: 1 });
  // The store that its core was in the middle of may have been made, and is made again.
  const { numbered, withoutEffect } = lived.run.hypervisor;
  expect([300, 301]).toContain(numbered + withoutEffect);
}, 30_000);
