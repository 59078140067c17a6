import { describe, expect, it } from 'vitest';
import { brokenRules, evidenceOf, messagesOf, run, writers } from './machine.ts';

const stage1 = (kind: string, ...set: readonly string[]) => ({
  set: [
    'replication.strategy=stage1',
    'machine.nodes=3',
    writers(`{ kind: ${kind}, rate: 100k/s }`),
    'workload.duration=200us',
    ...set,
  ],
});

const CTR = ['{ idc: true, dic: true }', '{ idc: false, dic: false }'];

describe('a kernel that keeps a copy of its text on every node', () => {
  it.each(['jump-label', 'ftrace', 'kprobe', 'alternatives'])(
    'patches all of them by %s, which is hooked',
    async (kind) => {
      for (const ctr of CTR) {
        const judged = await run(stage1(kind, `machine.ctr=${ctr}`));
        expect([ctr, brokenRules(judged)]).toEqual([ctr, []]);
        expect(evidenceOf(judged, 'R1')).toBeGreaterThan(20);
        expect(judged.judgement.declared).toBeNull();
      }
    },
  );

  it('holds completed for what the hooks patch one after the other', async () => {
    const { judgement } = await run(stage1('jump-label', 'machine.coresPerNode=1'));
    // No fetch refutes it. That copies are patched out of order refutes `ordered`, and with it all levels above.
    const completed = judgement.refuted.find(({ level }) => level === 'completed');
    expect(completed?.fetches ?? []).toEqual([]);
    expect(judgement.evidence.completed).toBeGreaterThan(10);
  });

  it('holds completed while one core patches after the other', async () => {
    const { judgement } = await run(stage1('jump-label, cpus: [0]'));
    expect(judgement.held).toBe('completed');
    expect(judgement.evidence.completed).toBeGreaterThan(10);
  });

  it('does not hold ordered when cores patch at once: the hook runs outside patch_lock', async () => {
    const { judgement } = await run(stage1('jump-label', 'machine.coresPerNode=1'));
    const ordered = judgement.refuted.find(({ level }) => level === 'ordered');
    expect(ordered?.message).toMatch(/^node \d applied write \d+ before write \d+$/);
  });

  it('leaves the literals of ftrace, which are not hooked, on node 0 alone', async () => {
    const judged = await run(stage1('ftrace-literal'));
    expect(brokenRules(judged)).toEqual(['R1']);
    expect(messagesOf(judged, 'R1')[0]).toMatch(
      /^node 1, word \d+: holds the image's word, the reference .* of write 1$/,
    );
  });

  it('passes with literals if that divergence is expected, and fails if it is expected and does not come', async () => {
    const checks = { expect: ['R1'] };
    expect((await run({ ...stage1('ftrace-literal'), checks })).judgement.verdict).toBe('pass');
    expect((await run({ ...stage1('jump-label'), checks })).judgement.verdict).toBe('fail');
  });

  it('leaves plain stores to text on node 0 alone', async () => {
    expect(brokenRules(await run(stage1('synthetic')))).toEqual(['R1']);
  });

  it('has no trap, no stage 2, and no fetch from another node', async () => {
    const { raw } = await run(stage1('jump-label'));
    for (const { counts, tables } of raw.nodes) {
      expect([counts.trapped, counts.served[4], tables]).toEqual([0, 0, null]);
    }
  });

  it('has one digest whatever the windows', async () => {
    const [whole, halved] = await Promise.all(
      [1, 2].map((windowDivisor) => run({ ...stage1('jump-label'), windowDivisor })),
    );
    expect(whole!.digest).toBe(halved!.digest);
  });
});
