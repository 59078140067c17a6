/** The machine without replication on threads that race: nothing traps, and every store hits text that others fetch. */
import { buildSpec, judgeLiveRun, loadScenario, runLiveThreads } from '@numalab/coordinator';
import { MemoryOrder, shared as word } from '@numalab/node-worker';
import { expect, test } from 'vitest';

const live = async (writers: string, ...set: string[]) => {
  const scenario = loadScenario('small', {
    set: [
      'machine.nodes=2',
      'machine.memoryPerNode=512MiB',
      'replication.strategy=none',
      'interconnect.latencyScale=0',
      'workload.duty=0.2',
      `kernel.writers=[${writers}]`,
      ...set,
    ],
    duration: '200ms',
    mode: 'live',
  });
  const { spec, watch } = buildSpec(scenario, 1);
  const run = await runLiveThreads(spec, spec.protocol, watch, { scale: 0, recordLimit: 10_000 });
  return { spec, run, judgement: judgeLiveRun(spec, run, scenario.checks) };
};

test('what writers maintain is never fetched as it was before, and no store traps or is lost', async () => {
  const { run, judgement } = await live('{kind: synthetic, inFlight: 4}, {kind: jump-label}, {kind: alternatives}');
  expect(judgement.violations).toEqual([]);
  expect(judgement.refuted.map(({ level }) => level)).not.toContain('completed');
  expect([judgement.verdict, judgement.declared, run.rested]).toEqual(['pass', null, true]);
  expect(judgement.evidence.completed).toBeGreaterThan(0);
  const { numbered, retired, record } = run.hypervisor;
  expect(numbered).toBeGreaterThan(100);
  expect(retired).toBe(numbered);
  expect(record.map(({ write }) => write.number)).toEqual(Array.from({ length: record.length }, (_, i) => i + 1));
  expect(new Set(record.map(({ write }) => write.origin))).toEqual(new Set([0, 1]));
  expect(run.nodes.map(({ counts }) => counts.trapped)).toEqual([0, 0]);
  // The text is node 0's alone: who reads it from there is told apart.
  expect(run.nodes.map(({ counts }) => [counts.local > 0, counts.remote > 0])).toEqual([
    [true, false],
    [false, true],
  ]);
}, 30_000);

test('what no writer maintains is fetched as it was: completed is refuted', async () => {
  const { judgement } = await live('{kind: ftrace-literal}', 'workload.duration=600ms');
  expect(judgement.refuted.map(({ level }) => level)).toContain('completed');
}, 30_000);

test('a store that depends on what was there is not made if that has changed meanwhile', () => {
  const cells = new Float64Array(new SharedArrayBuffer(64));
  const words = new Int32Array(new SharedArrayBuffer(4 * word.sharedWordCount(2)));
  words[word.RECORD_LIMIT] = 2;
  const shared = { words, reference: new Float64Array(8), recent: new Int32Array(new SharedArrayBuffer(64)) };
  const order = new MemoryOrder(shared, { base: 0x1000, bytes: 32, cells }, 100, () => 7);
  const seen = order.cells(2, 1);
  const by = { origin: 1, core: 0 };
  expect(order.store(2, [0xaaaa], null, by)).toBe(1);
  expect(order.store(2, [0xbbbb], seen, by)).toBe(0);
  expect(order.store(2, [0xcccc, 0xdddd], order.cells(2, 2), by)).toBe(2);
  expect(order.store(5, [1], null, by)).toBe(3);
  expect(order.record.map(({ number, word: at, words: values }) => [number, at, values])).toEqual([
    [1, 102, [0xaaaa]],
    [2, 102, [0xcccc, 0xdddd]],
  ]);
  expect([...cells.subarray(2, 4)]).toEqual([...shared.reference.subarray(2, 4)]);
  expect(words[word.NUMBERED]).toBe(3);
  expect(words[word.ORDER_LOCK]).toBe(0);
});
