import type { Comparison } from '@numalab/node-worker';
import { describe, expect, it } from 'vitest';
import { type JudgeInput, type Judgement, judge } from './judge.ts';
import { TRAP_BOUND_PS } from './judge-progress.ts';
import {
  BOOT_VALUE,
  logOfStores,
  type SampleFetch,
  type SampleWrite,
  sampleInput,
  withNode,
} from './sample-reports.ts';

const WORD = 100;
const NEW = 0x1400_0010;

/** One write to one word, from 1 µs to 2 µs, on node 0. */
const WRITE: SampleWrite = { word: WORD, values: [NEW], node: 0, begin: 1_000_000, end: 2_000_000 };

const fetch = (cpu: number, number: number, issue: number): SampleFetch => ({
  word: WORD,
  cpu,
  number,
  value: number === 0 ? BOOT_VALUE : NEW,
  issue,
  end: issue + 10,
});

/** Node 1 still fetches the old word after node 0 has fetched the new one, but not after the write's end. */
const COMPLETED = [fetch(0, 1, 1_200_000), fetch(2, 0, 1_500_000), fetch(2, 1, 2_100_000)];
/** As `COMPLETED`, and node 1 is late. */
const ORDERED = [...COMPLETED, fetch(3, 0, 2_050_000)];

const broken = ({ violations }: Judgement): string[] => [...new Set(violations.map(({ id }) => id))];

const isBroken = (input: JudgeInput, id: string, ...parts: readonly string[]): void => {
  const { violations, verdict } = judge(input);
  const finding = violations.find((candidate) => candidate.id === id);
  expect(finding, `${id} among ${violations.map((other) => other.id)}`).toBeDefined();
  for (const part of parts) expect(finding!.message).toContain(part);
  expect(verdict).toBe('fail');
};

describe('the level that held', () => {
  it('is completed if only fetches during the write differ', () => {
    const judged = judge(sampleInput(2, 'completed', [WRITE], COMPLETED));
    expect(judged).toMatchObject({ verdict: 'pass', held: 'completed', declared: 'completed' });
    expect(judged.refuted.map(({ level }) => level)).toEqual(['atomic']);
    expect(judged.evidence.completed).toBe(1);
  });

  it('is ordered if a fetch is late', () => {
    const judged = judge(sampleInput(2, 'ordered', [WRITE], ORDERED));
    expect(judged).toMatchObject({ verdict: 'pass', held: 'ordered', violations: [] });
    expect(judged.refuted.map(({ level }) => level)).toEqual(['completed', 'atomic']);
  });

  it('breaks R5 if it is less than what was declared', () => {
    isBroken(sampleInput(2, 'completed', [WRITE], ORDERED), 'R5', 'completed does not hold', 'CPU 3', 'write 1');
    isBroken(sampleInput(2, 'atomic', [WRITE], COMPLETED), 'R5', 'atomic does not hold', 'CPU 2', 'CPU 0');
  });

  it('is not refuted at a level above what was declared', () => {
    expect(broken(judge(sampleInput(2, 'completed', [WRITE], COMPLETED)))).toEqual([]);
  });

  it('is atomic if every fetch agrees with one moment of change', () => {
    const fetches = [fetch(2, 0, 900_000), fetch(0, 1, 1_200_000), fetch(2, 1, 2_100_000)];
    expect(judge(sampleInput(2, 'completed', [WRITE], fetches))).toMatchObject({ held: 'atomic', refuted: [] });
  });

  it('is ordered at most after a node applied writes out of order', () => {
    const second = { ...WRITE, word: WRITE.word + 1 };
    const input = withNode(sampleInput(2, 'ordered', [WRITE, second], COMPLETED), 1, () => ({
      applied: logOfStores([2, 1]),
    }));
    isBroken(input, 'R5', 'ordered does not hold', 'node 1 applied write 2 before write 1');
    expect(judge(input).held).toBe('eventual');
  });

  it('is unknown without fetches that could have refuted it', () => {
    const judged = judge(sampleInput(2, 'completed', [WRITE], COMPLETED.slice(0, 2)));
    expect(judged).toMatchObject({ verdict: 'unknown', held: 'ordered', violations: [] });
    expect(judged.reason).toContain('0 of 1 fetches could have refuted completed');
  });

  it('wants as much evidence as the checks ask for', () => {
    const input = sampleInput(2, 'completed', [WRITE], [...COMPLETED, fetch(0, 1, 2_500_000)]);
    expect(judge({ ...input, minEvidence: 2 })).toMatchObject({ verdict: 'pass' });
    expect(judge({ ...input, minEvidence: 3 })).toMatchObject({ verdict: 'unknown' });
  });

  it('is what was declared, vacuously, if nothing was written', () => {
    expect(judge(sampleInput(2, 'completed', [], []))).toMatchObject({ verdict: 'pass', held: 'completed' });
  });
});

describe('rules that nodes report', () => {
  const good = sampleInput(2, 'completed', [WRITE], COMPLETED);

  it.each(['R2', 'R3', 'R4', 'E1', 'L1', 'M1'])('%s is broken by a finding of one node', (id) => {
    expect(broken(judge(good))).toEqual([]);
    const input = withNode(good, 1, () => ({ findings: [{ id, message: 'CPU 2 did wrong', timePs: 1 }] }));
    isBroken(input, id, 'CPU 2 did wrong');
    expect(broken(judge(input))).toEqual([id]);
  });

  it.each(['T1', 'T2', 'T3', 'T4', 'T5', 'T6', 'M1'])('%s is broken by a finding about tables', (id) => {
    isBroken({ ...good, tableFindings: [{ id, message: 'node 1: no good', timePs: 0 }] }, id, 'node 1: no good');
  });

  it('K1 is broken by a comparison that failed', () => {
    const found = { word: WORD, cpu: 1, issue: 2_500_000, end: 2_600_000, value: NEW, number: 1, expected: -1 };
    const comparing = (comparison: Comparison): JudgeInput => withNode(good, 0, () => ({ comparisons: [comparison] }));
    expect(broken(judge(comparing(found)))).toEqual([]);
    isBroken(comparing({ ...found, value: BOOT_VALUE, number: 0 }), 'K1', 'write 1 had ended', 'CPU 1 loaded word 100');
    isBroken(comparing({ ...found, value: 5 }), 'K1', 'CPU 1', 'which the order did not hold there');
    isBroken(comparing({ ...found, cpu: 0, expected: 7 }), 'K1', 'CPU 0', 'should have left 0x7');
    // CPU 0 has written the word: CPU 1 has nothing to expect of it.
    expect(broken(judge(comparing({ ...found, expected: 7 })))).toEqual([]);
  });

  it('R4, X1 and K1 ask nothing of levels that do not promise it', () => {
    const findings = [{ id: 'R4', message: 'back', timePs: 1 }];
    const comparisons = [{ word: WORD, cpu: 1, issue: 10, end: 20, value: 7, number: 0, expected: -1 }];
    const declared = (level: 'eventual' | 'ordered'): JudgeInput =>
      withNode(sampleInput(2, level, [WRITE], COMPLETED), 0, () => ({ findings, comparisons }));
    expect(broken(judge(declared('ordered')))).toEqual(['R4']);
    expect(broken(judge(declared('eventual')))).toEqual([]);
  });

  it('L1 is broken by a core that never ended its task, unless the run was cut off', () => {
    const input = withNode(good, 0, () => ({
      waits: [
        {
          cpu: 1,
          node: 0,
          what: 'the lock patch_lock',
          since: -1,
          word: -1,
          isInEl2: false,
          lock: 1,
          interrupters: [],
        },
      ],
      locks: [{ lock: 1, cpu: 3 }],
    }));
    isBroken(input, 'L1', 'CPU 1 waits for ever for the lock patch_lock, which CPU 3 holds');
    expect(broken(judge({ ...input, interrupted: true }))).toEqual([]);
  });
});

describe('L1', () => {
  const staying = (ps: number): JudgeInput => {
    const good = sampleInput(2, 'completed', [{ ...WRITE, begin: 0, end: ps }], []);
    return withNode(good, 0, ({ times }) => ({ times: times.map((time) => ({ ...time, begin: 0, end: ps })) }));
  };

  it('holds for a store that stayed in EL2 up to the bound', () => {
    expect(broken(judge(staying(TRAP_BOUND_PS)))).toEqual([]);
  });

  it('is broken by one that stayed longer', () => {
    isBroken(staying(TRAP_BOUND_PS + 1), 'L1', 'write 1 on node 0 trapped at 0.000 ns and returned only at');
  });
});

describe('E1', () => {
  const good = sampleInput(2, 'completed', [WRITE], COMPLETED);
  const storing = (offset: number, bytes: readonly number[], number = 1): JudgeInput =>
    withNode(good, 0, ({ times }) => ({ times: times.map((time) => ({ ...time, offset, bytes, number })) }));
  const bytes = [0x10, 0x00, 0x00, 0x14];

  it('holds if the order has the bytes that the instruction stored, of part of a word too', () => {
    expect(broken(judge(storing(4 * WORD, bytes)))).toEqual([]);
    expect(broken(judge(storing(4 * WORD + 3, [0x14])))).toEqual([]);
  });

  it('is broken if it has others, or has them elsewhere, or has no such write', () => {
    isBroken(
      storing(4 * WORD, [0x11, 0x00, 0x00, 0x14]),
      'E1',
      'write 1, trapped on node 0',
      'other bytes in the order',
    );
    isBroken(storing(4 * WORD + 2, [0x14]), 'E1', 'other bytes in the order');
    isBroken(storing(4 * WORD - 4, bytes), 'E1', 'other bytes in the order');
    isBroken(storing(4 * WORD, bytes, 2), 'E1', 'write 2', 'is not in the order');
  });
});

describe('M1', () => {
  const failing = (poolFailures: number, poolFailuresReported: number): JudgeInput =>
    withNode(sampleInput(2, 'completed', [WRITE], COMPLETED), 1, () => ({ poolFailures, poolFailuresReported }));

  it('holds if every request that failed was made known, and is broken if one was not', () => {
    expect(broken(judge(failing(3, 3)))).toEqual([]);
    isBroken(failing(3, 2), 'M1', 'pool of node 1 was exhausted 3 times, 1 of them without a word');
  });
});

describe('R3', () => {
  it('is broken by a value that its write did not put there', () => {
    const good = sampleInput(2, 'completed', [WRITE], COMPLETED);
    expect(broken(judge(good))).toEqual([]);
    const torn = { ...fetch(2, 1, 2_200_000), value: NEW ^ 0xff };
    isBroken(
      sampleInput(2, 'completed', [WRITE], [fetch(0, 1, 2_150_000), torn]),
      'R3',
      'CPU 2',
      'word 100',
      'write 1',
    );
  });
});

describe('the verdict', () => {
  const bad = sampleInput(2, 'completed', [WRITE], ORDERED);

  it('passes if exactly what was expected is broken', () => {
    expect(judge({ ...bad, expect: ['R5'] })).toMatchObject({ verdict: 'pass', reason: 'broken as expected: R5' });
  });

  it('fails if what was expected held, or something else is broken too', () => {
    const good = sampleInput(2, 'completed', [WRITE], COMPLETED);
    expect(judge({ ...good, expect: ['R5'] })).toMatchObject({ verdict: 'fail' });
    expect(judge({ ...bad, expect: ['R1'] })).toMatchObject({ verdict: 'fail' });
    expect(judge({ ...bad, expect: ['R5', 'X1'] })).toMatchObject({ verdict: 'fail' });
  });

  it('names the first broken rule as its reason', () => {
    expect(judge(bad).reason).toMatch(
      /^write 1 by CPU 0 to word 100 .* CPU 3 on node 1 issued a fetch .*\(R5: the declared level holds\)$/,
    );
  });

  it('says of every rule how often it was put to the test', () => {
    const { rules } = judge(sampleInput(2, 'completed', [WRITE], COMPLETED));
    const evidence = Object.fromEntries(rules.map((rule) => [rule.id, rule.evidence]));
    expect(evidence).toMatchObject({ R1: 2, R2: 1, R3: 3, R4: 3, R5: 1 });
    expect(rules.every(({ held, complete }) => held && complete)).toBe(true);
    for (const { says, doesNotVerify } of rules) expect(says.length * doesNotVerify.length).toBeGreaterThan(0);
  });
});
