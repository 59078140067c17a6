/** Every rule on a whole machine: a run in which it holds with evidence, and the same run with one thing wrong. */
import type { Protocol } from '@numalab/protocols';
import { describe, expect, it } from 'vitest';
import * as defects from './defects.ts';
import { brokenRules, evidenceOf, messagesOf, run, type Setup, writers } from './machine.ts';
import { ackWith, type Handler, right } from './wrong-protocols.ts';

interface Twin {
  readonly rule: string;
  readonly what: string;
  readonly good: Setup;
  readonly bad: Setup;
  readonly says: RegExp;
}

const EAGER = ['machine.stage2.population=eager'];
const WIDE = [writers('{ kind: synthetic, rate: 400k/s, forms: [stp_x] }')];
/** Stores and maintains the first word of a write before the others, on a node that says writes are seen whole. */
const inTwoSteps: Handler = function* (context, write) {
  const { word, words } = write;
  yield* right(context, { ...write, words: words.slice(0, 1) });
  if (words.length > 1) yield* right(context, { ...write, word: word + 1, words: words.slice(1) });
};
const wholeAck: Protocol = { ...ackWith(() => inTwoSteps), wholeWrites: true };

const TWINS: readonly Twin[] = [
  {
    rule: 'T1',
    what: 'a table is linked twice',
    good: {},
    bad: { spoil: defects.tableLinkedTwice },
    says: /node 1 .*reached/,
  },
  {
    rule: 'T2',
    what: 'a leaf of the text is writable',
    good: {},
    bad: { spoil: defects.textWritable },
    says: /node 1 .*writable/,
  },
  {
    rule: 'T3',
    what: 'an annotation is lost',
    good: {},
    bad: { spoil: defects.annotationLost },
    says: /node 1 .*not annotated/,
  },
  {
    rule: 'T4',
    what: 'EL2 leaves out its TLBIs',
    good: { protocol: 'bbm' },
    bad: { protocol: 'bbm', meddle: defects.skipsTlbi },
    says: /node 1 .*TLBI/,
  },
  {
    rule: 'T5',
    what: 'walk caches do not hear TLBIs',
    good: { protocol: 'bbm' },
    bad: { protocol: 'bbm', meddle: defects.deafWalkCache },
    says: /node 1 .*CPU \d still translates .*walk cache/,
  },
  {
    rule: 'T5',
    what: 'instruction caches do not hear maintenance',
    good: {},
    bad: { meddle: defects.deafInstructionCache },
    says: /^write \d+ was stored .* L1I of CPU \d/,
  },
  {
    rule: 'T6',
    what: 'a leaf outside the range differs',
    good: { set: EAGER },
    bad: { set: EAGER, spoil: defects.leafDiffers },
    says: /another node/,
  },
  {
    rule: 'R6',
    what: 'nodes store a wide write in two steps',
    good: { protocol: 'bbm', set: WIDE },
    bad: { protocol: wholeAck, set: WIDE },
    says: /^write \d+ by CPU \d+ to 4 words from word \d+/,
  },
  {
    rule: 'M1',
    what: 'a page of the pool is lost',
    good: {},
    bad: { meddle: defects.leaksPage },
    says: /node 1: the pool says/,
  },
  {
    rule: 'M1',
    what: 'exhaustion is not made known',
    good: {},
    bad: { meddle: defects.silentExhaustion },
    says: /pool of node 1 was exhausted 1 times, 1 of them without a word/,
  },
];

describe.each(TWINS)('$rule', ({ rule, what, good, bad, says }) => {
  it('holds, and was put to the test', async () => {
    const judged = await run(good);
    expect(brokenRules(judged)).toEqual([]);
    expect(evidenceOf(judged, rule)).toBeGreaterThan(0);
  });

  it(`is broken if ${what}`, async () => {
    const judged = await run(bad);
    expect(brokenRules(judged)).toContain(rule);
    expect(messagesOf(judged, rule)[0]).toMatch(says);
    expect(judged.judgement.verdict).toBe('fail');
  });
});
