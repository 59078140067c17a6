import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ValueReader, ValueWriter } from './value-codec.ts';

const number = fc.oneof(fc.double(), fc.integer(), fc.constantFrom(-0, 2 ** 53, 2 ** 32, Number.NaN, Infinity));
const key = fc.constantFrom('number', 'word', 'words', 'origin', 'a b', 'ключ', '');
const plain = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    number,
    fc.constantFrom(null, undefined, true, false),
    fc.array(number),
    fc.array(fc.nat(0xffff_ffff)).map((words) => Uint32Array.from(words)),
    fc.string({ unit: 'grapheme' }),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(key, tie('value'), { noNullPrototype: true }),
  ),
})).value;
const others = fc.constantFrom<unknown>(
  new Map([[1, { deep: [1, 2] }]]),
  new Set(['x', 'y']),
  2n ** 100n,
  -5n,
  Float64Array.of(1.5, -0),
  new Date(1000),
);

/** Writes all values to one stream and reads them back, opening the stream anew for each, as an exchange does. */
const roundTrip = (values: readonly unknown[]): unknown[] => {
  const writer = new ValueWriter(1);
  const reader = new ValueReader();
  return values.map((value) => {
    writer.clear();
    writer.value(value);
    const shared = new Float64Array(new SharedArrayBuffer(8 * (writer.length + 3)));
    shared.set(writer.words.subarray(0, writer.length), 3);
    reader.open(shared, 3, writer.length);
    const read = reader.value();
    expect(reader.atEnd).toBe(true);
    return read;
  });
};

describe('values written as words', () => {
  it('come back as they were', () => {
    fc.assert(
      fc.property(fc.array(plain, { maxLength: 8 }), (values) => {
        expect(roundTrip(values)).toStrictEqual(values);
      }),
      { numRuns: 300 },
    );
  });

  it('come back also where there is no form for them', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(plain, others)), (values) => {
        expect(roundTrip(values)).toEqual(values);
      }),
    );
  });

  it('keep the order of keys and name them once', () => {
    const first = { number: 1, word: 2, words: [3], origin: 0 };
    const second = { origin: 0, number: 1, word: 2, words: [3] };
    const read = roundTrip([first, second, first]) as object[];
    expect(read.map((object) => Object.keys(object))).toEqual(
      [first, second, first].map((object) => Object.keys(object)),
    );
    const writer = new ValueWriter();
    writer.value(first);
    const naming = writer.length;
    writer.value(first);
    expect(writer.length - naming).toBeLessThan(naming);
    // Tag, shape, three numbers of two words, an array of one.
    expect(writer.length - naming).toBe(2 + 3 * 2 + 3);
  });

  it('are copied out of the memory that they are read from', () => {
    const writer = new ValueWriter();
    writer.value({ line: Uint32Array.of(1, 2, 3), numbers: [1, 2], text: 'abc' });
    const reader = new ValueReader();
    reader.open(writer.words, 0, writer.length);
    const read = reader.value();
    writer.words.fill(0);
    expect(read).toEqual({ line: Uint32Array.of(1, 2, 3), numbers: [1, 2], text: 'abc' });
  });

  it('may have more keys, shapes and depth than there are forms for', () => {
    const wide = Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`key${i}`, i]));
    const shapes = Array.from({ length: 1500 }, (_, i) => ({ [`only${i}`]: i }));
    let deep: unknown = 1;
    for (let i = 0; i < 40; i++) deep = { deep };
    const values = [wide, ...shapes, deep, wide, ...shapes];
    expect(roundTrip(values)).toEqual(values);
  });

  it('may contain themselves', () => {
    const loop: { self?: unknown } = {};
    loop.self = loop;
    const [read] = roundTrip([loop]) as (typeof loop)[];
    expect((read as { self: { self: object } }).self.self).toBeTypeOf('object');
  });

  it('are refused by a reader that reads something else', () => {
    const reader = new ValueReader();
    reader.open(Float64Array.of(99), 0, 1);
    expect(() => reader.value()).toThrow('no value begins with the word 99');
  });
});
