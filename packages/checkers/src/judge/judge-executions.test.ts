import { describe, expect, it } from 'vitest';
import { lateExecutions } from './judge-executions.ts';
import { judgeWord } from './judge-word.ts';
import { BOOT_VALUE, logOf } from './sample-reports.ts';
import type { Version } from './timeline.ts';

const WORD = 7;

/** Write i + 1 lasts until `ends[i]`. */
const versions = (...ends: readonly number[]): Version[] => [
  { number: 0, value: BOOT_VALUE, begin: -Infinity, end: -Infinity },
  ...ends.map((end, i) => ({ number: i + 1, value: i, begin: end - 5, end })),
];

/** CPU 3 executes what write `number` left at `time`. */
const executions = (of: readonly Version[], ...list: readonly (readonly [number: number, time: number])[]) => {
  const log = logOf(
    WORD,
    list.map(([number, time]) => ({ word: WORD, cpu: 3, number, value: of[number]!.value, issue: time, end: time })),
  );
  return judgeWord(WORD, of, [log]).sights;
};

const late = (
  of: readonly Version[],
  writers: readonly number[],
  syncs: readonly (readonly [cpu: number, time: number, isStopped?: boolean])[],
  ...list: readonly (readonly [number: number, time: number])[]
): string[] =>
  lateExecutions(
    WORD,
    executions(of, ...list),
    (number) => writers[number - 1] ?? -1,
    syncs.map(([cpu, time, isStopped = false]) => ({ word: WORD, cpu, time, isStopped })),
  ).map(({ message }) => message);

describe('X1', () => {
  const of = versions(10, 50);

  it('holds if the old word is executed until the synchronisation returns', () => {
    expect(late(of, [0, 0], [[0, 20]], [0, 20], [1, 30])).toEqual([]);
  });

  it('is broken by an execution of the old word after that', () => {
    const [message] = late(of, [0, 0], [[0, 20]], [0, 21]);
    expect(message).toMatch(/^write 1 by CPU 0 to word 7 /);
    expect(message).toContain('CPU 3 executed at 0.021 ns what write 0 had left');
  });

  it('holds, where all others are to stand still, if the old word is executed until the write begins', () => {
    expect(late(of, [0, 0], [[0, 20, true]], [0, 5], [1, 30])).toEqual([]);
  });

  it('is broken there by an execution of the old word while it is being written', () => {
    const [message] = late(of, [0, 0], [[0, 20, true]], [0, 6]);
    expect(message).toContain('all other cores were to stand still from 0.005 ns on, and CPU 3 executed at 0.006 ns');
  });

  it('asks only for what was written when the synchronisation returned', () => {
    expect(late(of, [0, 0], [[0, 20]], [1, 60])).toEqual([]);
    expect(
      late(
        of,
        [0, 0],
        [
          [0, 20],
          [0, 55],
        ],
        [1, 60],
      ),
    ).toHaveLength(1);
  });

  it('asks nothing for another writer’s write, which that one has not synchronised yet', () => {
    // CPU 1's write 2 ended at 50, before CPU 0's synchronisation returned at 60; its own returns at 90 only.
    expect(late(of, [0, 1], [[0, 60]], [1, 70])).toEqual([]);
    expect(
      late(
        of,
        [0, 1],
        [
          [0, 60],
          [1, 90],
        ],
        [1, 91],
      ),
    ).toHaveLength(1);
    expect(late(of, [0, 1], [[0, 60]], [0, 70])).toHaveLength(1);
  });

  it('reports each late word once, by the first synchronisation that it is too late for', () => {
    const [message, ...others] = late(
      of,
      [0, 0],
      [
        [0, 20],
        [0, 30],
        [0, 55],
      ],
      [0, 100],
    );
    expect(message).toContain('returned at 0.020 ns');
    expect(others).toEqual([]);
  });
});
