import type { Instant } from '@numalab/base';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CLASS_MEMORY, type Message, orderOf } from './message.ts';
import { RingReader, RingWriter, ringWords } from './ring.ts';

const message = (sequence: number, body: unknown): Message => ({
  time: (123_456_789_012_345 + sequence) as Instant,
  order: orderOf(CLASS_MEMORY, 200, sequence),
  to: sequence % 256,
  from: 255 - (sequence % 256),
  kind: 1 + (sequence % 36),
  a: 2 ** 47 + sequence,
  b: -1,
  c: sequence / 3,
  body,
});

const ring = (slotWords: number): { writer: RingWriter; reader: RingReader; memory: Float64Array } => {
  const memory = new Float64Array(new SharedArrayBuffer(8 * ringWords(slotWords)));
  return { memory, writer: new RingWriter(memory), reader: new RingReader(memory) };
};

const body = fc.oneof(
  fc.constant(null),
  fc.integer(),
  fc.array(fc.nat(255), { maxLength: 40 }),
  fc.uint32Array({ minLength: 32, maxLength: 32 }),
  fc.record(
    { epoch: fc.nat(), sequence: fc.nat(), acknowledged: fc.nat(), body: fc.option(fc.nat()) },
    { noNullPrototype: true },
  ),
  fc.string(),
);

describe('a ring between two threads', () => {
  it('carries every message over, in order, whatever the size of its slots', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 300 }),
        fc.array(fc.array(body, { maxLength: 6 })),
        (slotWords, windows) => {
          const { writer, reader } = ring(slotWords);
          let exchange = 0;
          let sequence = 0;
          for (const bodies of windows) {
            const sent = bodies.map((value) => message(sequence++, value));
            const taken: Message[] = [];
            for (const one of sent) writer.put(one);
            let rest = 0;
            do {
              rest = writer.flush(exchange);
              // A stream is handed on when it is complete: not before, so that no message is torn.
              expect(taken).toEqual([]);
              reader.take(exchange++, (one) => taken.push(one));
            } while (rest > 0);
            expect(taken).toStrictEqual(sent);
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  it('carries a message that is thousands of times larger than a slot', () => {
    const { writer, reader } = ring(16);
    const sent = [
      message(0, null),
      message(
        1,
        Uint32Array.from({ length: 100_000 }, (_, i) => i),
      ),
      message(2, [1]),
    ];
    for (const one of sent) writer.put(one);
    const taken: Message[] = [];
    let exchanges = 0;
    for (let rest = 1; rest > 0; exchanges++) {
      rest = writer.flush(exchanges);
      reader.take(exchanges, (one) => taken.push(one));
    }
    expect(exchanges).toBeGreaterThan(3000);
    expect(taken).toStrictEqual(sent);
    expect(writer.flush(exchanges)).toBe(0);
    reader.take(exchanges, () => expect.unreachable('nothing was sent'));
  });

  it('lets the sender fill one slot while the receiver reads the other', () => {
    const { writer, reader } = ring(64);
    const taken: Message[] = [];
    writer.put(message(0, [1, 2, 3]));
    writer.flush(0);
    for (let exchange = 1; exchange < 20; exchange++) {
      writer.put(message(exchange, [exchange]));
      writer.flush(exchange);
      reader.take(exchange - 1, (one) => taken.push(one));
    }
    expect(taken.map(({ order }) => order)).toEqual(Array.from({ length: 19 }, (_, i) => message(i, null).order));
    expect(taken[0]!.body).toEqual([1, 2, 3]);
  });

  it('refuses memory that is no two slots', () => {
    expect(() => new RingWriter(new Float64Array(4))).toThrow('two slots');
    expect(() => new RingWriter(new Float64Array(11))).toThrow('two slots');
  });
});
