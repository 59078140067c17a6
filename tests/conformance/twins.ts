/** Every rule on a whole machine: a run in which it holds with evidence, and the same run with one thing wrong. */
import { type Protocol, post } from '@numalab/protocols';
import * as defects from './defects.ts';
import { type Setup, writers } from './machine.ts';
import { ackThatForgets, ackWith, type Handler, onNode1, postWith, right } from './wrong-protocols.ts';

/** Two runs one step apart. */
export interface Twin {
  readonly rule: string;
  /** The step: `is broken if` … */
  readonly what: string;
  readonly good: Setup;
  readonly bad: Setup;
  /** What the finding says. */
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

/** Stores each write, and then what the word held before once more. */
const goingBack = (): Handler => {
  const before = new Map<number, Parameters<Handler>[1]>();
  return function* (context, write) {
    yield* right(context, write);
    const older = before.get(write.word);
    // Cores have time to see the newer one first.
    yield 2_000_000;
    if (older !== undefined) yield* right(context, older);
    before.set(write.word, write);
  };
};
/** Cores execute all the time, and little but what is patched. */
const BUSY = ['workload.duty=1', 'workload.focus=1'];
const FTRACE = [writers('{ kind: ftrace, rate: 200k/s, sites: 4, batch: 1, cpus: [0, 3] }')];

export const TWINS: readonly Twin[] = [
  {
    rule: 'R1',
    what: 'a node leaves out what it is told to store',
    good: {},
    bad: { protocol: ackWith(onNode1(function* () {})) },
    says: /^node 1, word \d+: holds the image's word, the reference 0x\w+ of write \d+/,
  },
  {
    rule: 'R2',
    what: 'a node applies a write twice',
    good: {},
    bad: {
      protocol: ackWith(
        onNode1(function* (context, write) {
          yield* right(context, write);
          if (write.number === 3) yield* right(context, write);
        }),
      ),
    },
    says: /^write 3 was applied again on node 1/,
  },
  {
    rule: 'R3',
    what: 'a node stores another value than the write’s',
    good: {},
    bad: {
      protocol: ackWith(
        onNode1(function* (context, write) {
          yield* right(context, { ...write, words: write.words.map((word) => (word ^ 1) >>> 0) });
        }),
      ),
    },
    says: /CPU \d/,
  },
  {
    rule: 'R4',
    what: 'a node stores what a word held before once more',
    good: { protocol: 'post', set: BUSY },
    bad: { protocol: postWith(() => onNode1(goingBack())()), set: BUSY },
    says: /^CPU [345] .* word \d+ of write \d+ after it had seen write \d+/,
  },
  {
    rule: 'R5',
    what: 'a protocol that retires at once declares completed',
    good: { protocol: 'post' },
    bad: { protocol: { ...post, guarantee: 'completed' } },
    says: /^write \d+ by CPU \d+ to word \d+ .* had ended at .* issued a fetch/,
  },
  {
    rule: 'X1',
    what: 'a node leaves out what it is told to store',
    good: { set: [...FTRACE, ...BUSY] },
    bad: { set: [...FTRACE, ...BUSY], protocol: ackWith(onNode1(function* () {})) },
    says: /^write \d+ by CPU \d .*synchronisation had returned at .* executed at .* what write \d+ had left/,
  },
  {
    rule: 'K1',
    what: 'the writer’s node leaves out what it is told to store',
    good: { set: FTRACE },
    bad: { set: FTRACE, protocol: ackWith(onNode1(function* () {})) },
    says: /^write \d+ had ended at .*, and CPU 3 loaded word \d+ .* to compare it before patching and found write 0/,
  },
  {
    rule: 'E1',
    what: 'the instruction that EL2 reads names another register',
    good: { set: WIDE },
    bad: { set: WIDE, meddle: defects.otherRegister },
    says: /^CPU \d: after the emulated store/,
  },
  {
    rule: 'L1',
    what: 'a write is never retired',
    good: {},
    bad: { protocol: ackThatForgets(3) },
    says: /^CPU \d waits for ever since .*write 3, numbered and not retired/,
  },
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
