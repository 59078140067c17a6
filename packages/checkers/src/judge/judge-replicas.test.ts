import type { NodeReport } from '@numalab/node-worker';
import { describe, expect, it } from 'vitest';
import { type JudgeInput, judgeLogs } from './judge.ts';
import { judgeReplicas, judgeWrites } from './judge-replicas.ts';
import { BOOT_VALUE, logOfStores, type SampleWrite, sampleInput, withNode } from './sample-reports.ts';
import { timedWrites } from './timeline.ts';

/** Two words by one store, then one of them again. */
const WRITES: readonly SampleWrite[] = [
  { word: 8, values: [0x11, 0x22], node: 0, begin: 10, end: 20 },
  { word: 9, values: [0x33], node: 1, begin: 30, end: 40 },
];

const good = sampleInput(3, 'completed', WRITES, []);

const writesOf = ({ spec, nodes, hypervisor }: JudgeInput) => timedWrites(spec, nodes, hypervisor);
const replicas = (input: JudgeInput): string[] =>
  judgeReplicas(input, writesOf(input)).findings.map(({ id, message }) => `${id}: ${message}`);
const lost = (input: JudgeInput): string[] =>
  judgeWrites(input, writesOf(input), judgeLogs(input, writesOf(input))).map(({ id, message }) => `${id}: ${message}`);

const copy = (words: number[], values: number[], numbers: number[]): Partial<NodeReport> => ({
  copy: { words: Int32Array.from(words), values: Uint32Array.from(values), numbers: Uint32Array.from(numbers) },
});

describe('R1', () => {
  it('holds if every copy is the image plus all writes in order', () => {
    expect(replicas(good)).toEqual([]);
    expect(judgeReplicas(good, writesOf(good)).compared).toBe(6);
  });

  it('is broken by a copy that misses a word', () => {
    const [message] = replicas(withNode(good, 2, () => copy([8], [0x11], [1])));
    expect(message).toBe("R1: node 2, word 9: holds the image's word, the reference 0x33 of write 2");
  });

  it('is broken by an older write', () => {
    const [message] = replicas(withNode(good, 1, () => copy([8, 9], [0x11, 0x22], [1, 1])));
    expect(message).toBe('R1: node 1, word 9: holds 0x22 of write 1, the reference 0x33 of write 2');
  });

  it('is broken by the right value under another write’s number', () => {
    expect(replicas(withNode(good, 1, () => copy([8, 9], [0x11, 0x33], [1, 1])))).toHaveLength(1);
  });

  it('is broken by a word that nobody wrote', () => {
    const [message] = replicas(withNode(good, 0, () => copy([8, 9, 50], [0x11, 0x33, 0xbad], [1, 2, 0])));
    expect(message).toContain(`node 0, word 50: holds 0xbad of write 0, the reference 0x${BOOT_VALUE.toString(16)}`);
  });

  it('is not judged after a run that was cut off', () => {
    const input = { ...withNode(good, 2, () => copy([], [], [])), interrupted: true };
    expect(judgeReplicas(input, writesOf(input))).toEqual({ findings: [], compared: 0 });
  });
});

describe('R2', () => {
  it('holds if every write was retired and applied once everywhere', () => {
    expect(lost(good)).toEqual([]);
  });

  it('is broken by a write that was never retired', () => {
    const input = sampleInput(3, 'completed', [WRITES[0]!, { ...WRITES[1]!, end: -1 }], []);
    expect(lost(input)).toEqual([
      'R2: write 2 was numbered and never retired',
      'R2: the store of write 2 never returned',
    ]);
    expect(lost({ ...input, interrupted: true })).toEqual([]);
  });

  it('is broken by a write that a node skipped', () => {
    expect(lost(withNode(good, 1, () => ({ applied: logOfStores([2]) })))).toEqual([
      'R2: write 1 was never applied on node 1',
    ]);
  });

  it('is broken by the last writes missing on a node', () => {
    const behind = (...stored: number[]): JudgeInput => withNode(good, 2, () => ({ applied: logOfStores(stored) }));
    expect(lost(behind(1))).toEqual(['R2: write 2 was never applied on node 2']);
    expect(lost(behind())).toEqual([1, 2].map((number) => `R2: write ${number} was never applied on node 2`));
  });

  it('is broken by a store whose number the order gave to another, or does not have', () => {
    const storedBy = (number: number) =>
      withNode(good, 2, () => ({ times: [{ ...good.nodes[0]!.times[0]!, number }] }));
    expect(lost(storedBy(1))).toEqual([
      'R2: core 0 of node 2 and core 0 of node 0 have both stored write 1: one of them is lost',
    ]);
    expect(lost(storedBy(3))).toEqual(['R2: core 0 of node 2 stored write 3, which the order does not have']);
  });

  it('is broken by a write that a node applied again', () => {
    expect(lost(withNode(good, 0, () => ({ applied: logOfStores([1, 2, 2]) })))).toEqual([
      'R2: write 2 was applied again on node 0',
    ]);
  });
});
