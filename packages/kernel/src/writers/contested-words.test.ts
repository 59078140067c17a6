import { describe, expect, it } from 'vitest';
import { contestedWords } from './contested-words.ts';
import type { PatchStore, PatchWriter } from './writer-spec.ts';

const store = (offset: number, size: number): PatchStore => ({ offset, size, on: [1], off: [0], once: false });
const writer = (cpu: number, ...stores: readonly PatchStore[]): PatchWriter => ({
  kind: 'ftrace',
  items: [{ cpu, stores }],
  intervalPs: 0,
  startPs: 0,
  actions: null,
  only: null,
});

describe('contestedWords', () => {
  it('are those that two vCPUs patch, each word of a store by itself', () => {
    const one = writer(0, store(64, 8), store(128, 4));
    expect([...contestedWords([one])]).toEqual([]);
    expect([...contestedWords([one, writer(0, store(64, 8))])]).toEqual([]);
    expect([...contestedWords([one, writer(3, store(68, 4), store(132, 4))])]).toEqual([17]);
  });
});
