import type { Instant } from '@numalab/base';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Message } from './message.ts';
import { FrameReader, FrameWriter } from './window-frame.ts';

const operand = fc.oneof(
  fc.integer(),
  fc.double().map((x) => x + 0),
  fc.constantFrom(2 ** 53, Infinity, Number.NaN),
);
const body = fc.oneof(
  fc.constant(null),
  fc.array(fc.nat(0xffff_ffff), { minLength: 32, maxLength: 32 }).map((words) => Uint32Array.from(words)),
  fc.record({ number: fc.nat(), words: fc.array(fc.nat()), origin: fc.option(fc.string()) }),
  fc.constantFrom<unknown>(undefined, new Map([[1, { deep: [1, 2] }]]), 2n ** 100n, 'text'),
);
const message: fc.Arbitrary<Message> = fc.record({
  time: fc.nat(2 ** 31 - 1).map((x) => (x * 2 ** 20) as Instant),
  order: fc.nat(2 ** 31 - 1).map((x) => x * 2 ** 20 + 7),
  to: fc.nat(128),
  from: fc.nat(128),
  kind: fc.nat(200),
  a: operand,
  b: operand,
  c: operand,
  body,
});

describe('a frame of a window', () => {
  it('carries every message as it is, in order, window after window', () => {
    const writer = new FrameWriter();
    const reader = new FrameReader();
    const window = fc.array(message, { maxLength: 20 });
    fc.assert(
      fc.property(fc.array(window, { maxLength: 4 }), (windows) => {
        for (const [exchange, messages] of windows.entries()) {
          const header = { exchange, next: Infinity, isEnding: exchange === 2, sent: [Infinity, 5] };
          for (const one of messages) writer.put(one);
          const received: Message[] = [];
          const told = reader.read(writer.take(header), (one) => received.push(one));
          expect(told).toEqual(header);
          expect(received).toEqual(messages);
        }
      }),
      { seed: 1 },
    );
  });
});
