import { shared as word } from '@numalab/node-worker';
import { expect, test } from 'vitest';
import { PATIENCE_MS } from '../engine/deadline.ts';
import { buildSpec } from '../machine/build-spec.ts';
import { loadScenario } from '../scenario/load.ts';
import { buildShared } from './live-shared.ts';
import { StuckThreads } from './stuck-threads.ts';

const { spec, watch } = buildSpec(loadScenario('small'), 1);

const rig = (protocol: string): { stuck: StuckThreads; turn: (...threads: number[]) => void; words: Int32Array } => {
  const shared = buildShared(spec, watch, { scale: 0, cores: 2, recordLimit: 10 });
  const { words } = shared;
  Atomics.store(words, word.PHASE, word.PHASE_RUN);
  const turn = (...threads: number[]): void => {
    for (const thread of threads) Atomics.add(words, word.threadWord(thread) + word.TURNS, 1);
  };
  return { stuck: new StuckThreads(shared, [0, 1, 2], protocol), turn, words };
};

test('a thread that does not turn for long is found, and only where a protocol may loop', () => {
  for (const [protocol, found] of [
    ['/x/mine.ts', true],
    ['ack', false],
  ] as const) {
    const { stuck, turn } = rig(protocol);
    expect(stuck.find(0)).toBe(false);
    turn(0, 1);
    expect(stuck.find(PATIENCE_MS - 1)).toBe(false);
    turn(0, 1);
    expect(stuck.find(PATIENCE_MS)).toBe(found);
  }
});

test('threads that turn, are down, or have not begun are not stuck', () => {
  const { stuck, turn, words } = rig('/x/mine.ts');
  Atomics.store(words, word.threadWord(1) + word.OFFLINE, word.OFFLINE_DOWN);
  for (let ms = 0; ms < 4 * PATIENCE_MS; ms += PATIENCE_MS / 2) {
    turn(0, 2);
    expect(stuck.find(ms)).toBe(false);
  }
  const early = rig('/x/mine.ts');
  Atomics.store(early.words, word.PHASE, word.PHASE_BOOT);
  expect([0, PATIENCE_MS, 2 * PATIENCE_MS].map((ms) => early.stuck.find(ms))).toEqual([false, false, false]);
});
