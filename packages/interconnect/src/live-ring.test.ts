import { expect, test } from 'vitest';
import { LiveRingReader, LiveRingWriter, liveRingBytes } from './live-ring.ts';

const WORDS = 64;

const newRing = (): { writer: LiveRingWriter; reader: LiveRingReader } => {
  const memory = new SharedArrayBuffer(liveRingBytes(WORDS));
  return { writer: new LiveRingWriter(memory, 0, WORDS), reader: new LiveRingReader(memory, 0, WORDS) };
};

const put = (writer: LiveRingWriter, kind: number, words: readonly number[], due = 0): void => {
  writer.begin(kind, due);
  for (const word of words) writer.word(word);
  writer.end();
};

test('nothing can be taken before it is published', () => {
  const { writer, reader } = newRing();
  put(writer, 3, [1, 2]);
  expect(reader.next(0)).toBe(false);
  expect(writer.publish()).toBe(true);
  expect(reader.next(0)).toBe(true);
  expect([reader.kind, reader.word(), reader.word()]).toEqual([3, 1, 2]);
  expect(reader.next(0)).toBe(false);
});

test('records come out in order through many turns of the ring, whether or not there is room', () => {
  const { writer, reader } = newRing();
  const seen: number[] = [];
  for (let i = 0; i < 1000; i++) {
    put(writer, 1, Array(1 + (i % 7)).fill(i));
    if (i % 3 === 0) writer.publish();
    if (i % 20 !== 0) continue;
    while (reader.next(0)) seen.push(reader.word());
    reader.release();
  }
  for (writer.publish(); reader.next(0) || writer.backlog > 0; writer.publish()) {
    if (reader.hasMore || writer.backlog === 0) seen.push(reader.word());
    reader.release();
  }
  expect(seen).toEqual(Array.from({ length: 1000 }, (_, i) => i));
  expect([writer.sent, reader.taken]).toEqual([1000, 1000]);
});

test('a record that is not due holds back those behind it', () => {
  const { writer, reader } = newRing();
  put(writer, 1, [1], 10);
  put(writer, 1, [2], 5);
  writer.publish();
  expect(reader.nextDue()).toBe(10);
  expect(reader.next(9)).toBe(false);
  expect(reader.next(10)).toBe(true);
  expect(reader.next(10)).toBe(true);
});

test('plain data travel in a record', () => {
  const { writer, reader } = newRing();
  writer.begin(2, 0);
  writer.value({ unmap: [1, 2], text: 'x' });
  writer.end();
  writer.publish();
  reader.next(0);
  expect(reader.value()).toEqual({ unmap: [1, 2], text: 'x' });
});

test('several writers take turns on one ring, however often its positions have gone round', () => {
  const memory = new SharedArrayBuffer(liveRingBytes(64));
  const writers = [0, 1, 2].map(() => new LiveRingWriter(memory, 0, 64));
  const reader = new LiveRingReader(memory, 0, 64);
  const seen: number[] = [];
  for (let round = 0; round < 100; round++) {
    const writer = writers[round % 7 === 0 ? 0 : 1 + (round % 2)]!;
    writer.resume();
    for (let i = 0; writer.hasRoom(20) && i < 1 + (round % 3); i++) {
      writer.begin(1, 0);
      writer.word(round * 10 + i);
      writer.end();
    }
    writer.publish();
    if (round % 4 !== 3) continue;
    while (reader.next(0)) seen.push(reader.word());
    reader.release();
  }
  const all = Array.from({ length: 100 }, (_, round) => round).flatMap((round) =>
    Array.from({ length: 1 + (round % 3) }, (_, i) => round * 10 + i),
  );
  expect(seen).toEqual(all);
  writers[2]!.resume();
  for (let i = 0; i < 15; i++) {
    writers[2]!.begin(1, 0);
    writers[2]!.word(i);
    writers[2]!.end();
  }
  writers[2]!.publish();
  writers[0]!.resume();
  expect([writers[0]!.hasRoom(19), writers[0]!.hasRoom(20)]).toEqual([true, false]);
});
