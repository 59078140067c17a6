import type { LiveNodeReport } from '@numalab/node-worker';
import { describe, expect, it } from 'vitest';
import { judgeLive, type LiveJudgeInput } from './judge-live.ts';
import { BOOT_VALUE, logOf, type SampleFetch } from './sample-reports.ts';

const WORD = 100;
const NEW = 0x1400_0010;
const fetch = (number: number, issue: number, value = number === 0 ? BOOT_VALUE : NEW): SampleFetch => ({
  word: WORD,
  cpu: 2,
  number,
  value,
  issue,
  end: issue + 10,
});

const NOTHING = new Proxy({}, { get: () => 0 }) as LiveNodeReport['counts'];

/** A live run of two nodes in which everything went well: one write to one word, from tick 1000 to 2000, by CPU 0. */
const good = (fetches: readonly SampleFetch[] = [fetch(0, 500), fetch(1, 2500)]): LiveJudgeInput => {
  const nodeOf = (id: number): LiveNodeReport =>
    ({
      id,
      counts: new Proxy({}, { get: (_, name) => (name === 'writesOver' ? 1 - id : 9) }),
      findings: [],
      recordFindings: [],
      words: id === 1 ? [logOf(WORD, fetches)] : [],
      synchronisations: [],
      stuck: [],
    }) as unknown as LiveNodeReport;
  return {
    spec: { strategy: 'stage2', guarantee: 'completed', nodes: 2, coresPerNode: 2 } as LiveJudgeInput['spec'],
    nodes: [nodeOf(0), nodeOf(1)],
    writes: [{ number: 1, word: WORD, words: [NEW], begin: 1000, end: 2000, node: 0, core: 0 }],
    timeOf: (tick) => tick,
    valueAtBoot: () => BOOT_VALUE,
    diverged: [],
    comparedWords: 1,
    numbered: 1,
    retired: 1,
    orphaned: 0,
    lostFindings: [],
    tableFindings: [],
    tableEvidence: {},
    minEvidence: 1,
    expect: [],
    interrupted: false,
    rested: true,
    cellsTorn: 0,
  };
};

const withNode0 = (input: LiveJudgeInput, change: Partial<LiveNodeReport>): LiveJudgeInput => ({
  ...input,
  nodes: [{ ...input.nodes[0]!, ...change }, input.nodes[1]!],
});
const brokenOf = (input: LiveJudgeInput): string[] => judgeLive(input).violations.map(({ id }) => id);
const finding = (id: string): { id: string; message: string; timePs: number } => ({
  id,
  message: 'so it is',
  timePs: 1,
});

describe('a live run', () => {
  it('in which all went well breaks nothing, and holds what was put to the test', () => {
    expect(judgeLive(good())).toMatchObject({ verdict: 'pass', held: 'atomic', violations: [] });
  });

  it('R1: is told of words in which copies differ', () => {
    const input = { ...good(), diverged: [finding('R1')] };
    expect(brokenOf(input)).toEqual(['R1', 'R5']);
  });

  it('R2: numbered, retired and returned stores are as many', () => {
    for (const wrong of [{ retired: 2 }, { numbered: 2 }, { orphaned: 1 }]) {
      expect(brokenOf({ ...good(), ...wrong })).toEqual(['R2']);
    }
    // A run that did not come to rest has other troubles.
    expect(brokenOf({ ...good(), retired: 0, rested: false })).toEqual(['L1']);
  });

  it('R3: a value on record is one that its write put there', () => {
    expect(brokenOf(good([fetch(1, 2500, NEW ^ 1)]))).toEqual(['R3']);
    expect(brokenOf({ ...good(), cellsTorn: 1 })).toEqual(['R3']);
  });

  it('R5: a fetch on record after the end of a write that it misses refutes completed', () => {
    const late = judgeLive(good([fetch(1, 1500), fetch(0, 2001)]));
    expect(late.violations.map(({ id }) => id)).toEqual(['R5']);
    expect(late).toMatchObject({ held: 'ordered', verdict: 'fail' });
    expect(brokenOf(good([fetch(1, 2100), fetch(0, 2000)]))).toEqual([]);
  });

  it('X1: an execution on record after the writer’s synchronisation is of its word', () => {
    const sync = (time: number) =>
      withNode0(good([fetch(0, 1990), fetch(1, 2500)]), {
        synchronisations: [{ word: WORD, cpu: 0, time, isStopped: false }],
      });
    expect(brokenOf(sync(2000))).toEqual([]);
    // The fetch of 1990 was executed at 2000.
    expect(brokenOf({ ...sync(1999), writes: [{ ...good().writes[0]!, end: 1999 }] })).toEqual(['X1']);
  });

  it('L1: comes to rest, unless it was cut off', () => {
    const stuck = withNode0({ ...good(), rested: false }, { stuck: ['CPU 1 waits for patch_lock'] });
    expect(judgeLive(stuck).violations).toMatchObject([{ id: 'L1', message: 'CPU 1 waits for patch_lock' }]);
    expect(judgeLive({ ...stuck, interrupted: true })).toMatchObject({ verdict: 'unknown', violations: [] });
  });

  it.each(['R2', 'R3', 'R4', 'E1', 'X1', 'K1', 'L1', 'M1', 'T2'])(
    '%s: a finding of a node breaks it, also of one that is gone',
    (id) => {
      expect(brokenOf(withNode0(good(), { findings: [finding(id)] }))).toEqual([id]);
      expect(brokenOf({ ...good(), lostFindings: [finding(id)] })).toEqual([id]);
    },
  );

  it.each(['T1', 'T2', 'T3', 'T4', 'T6', 'M1'])('%s: a finding about tables breaks it', (id) => {
    expect(brokenOf({ ...good(), tableFindings: [finding(id)] })).toEqual([id]);
  });

  it.each(['completed', 'atomic'])('a fetch that refuted %s as it happened counts for that level', (level) => {
    const judged = judgeLive(withNode0(good(), { findings: [finding(level)] }));
    expect(judged.refuted.map((refutation) => refutation.level)).toEqual([level]);
    expect(judged.violations.map(({ id }) => id)).toEqual(level === 'completed' ? ['R5'] : []);
  });

  it('without enough fetches is unknown', () => {
    expect(
      judgeLive({
        ...good(),
        nodes: good().nodes.map((node) => ({ ...node, counts: NOTHING })),
        numbered: 1,
        retired: 1,
        orphaned: 1,
      }),
    ).toMatchObject({
      verdict: 'unknown',
      held: 'eventual',
    });
  });
});
