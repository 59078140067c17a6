import { expect, test } from 'vitest';
import type { FaultKind, FaultPlan, FaultSpec } from './faults/fault.ts';
import { LinkFaults } from './faults/link-faults.ts';
import { LiveTally, liveTallyBytes, readLiveTallies } from './faults/live-tally.ts';
import { joinTallies } from './faults/tally.ts';
import { LiveLink } from './live-link.ts';
import { LiveRingReader, LiveRingWriter, liveRingBytes } from './live-ring.ts';

const WORDS = 2 ** 12;

const fault = (kind: FaultKind): FaultSpec => ({
  kind,
  name: kind,
  from: -1,
  to: -1,
  bothWays: false,
  node: -1,
  step: '',
  field: '',
  atPs: -1,
  nth: -1,
  match: '',
  chance: 2 ** 30,
  fromPs: 0,
  // Of the 100 ms in which the test sends; then all that is on the wire arrives.
  toPs: 100e9,
  spanPs: 3e9,
  factor: 1,
  losesMemory: false,
  survivable: true,
});

/** Two ends on one thread, with a clock that only moves when told to. */
const rig = (kinds: readonly FaultKind[]) => {
  const plan: FaultPlan = { faults: kinds.map(fault), healPs: 1e15 };
  const wire = new SharedArrayBuffer(2 * liveRingBytes(WORDS));
  const account = new SharedArrayBuffer(liveTallyBytes(plan, 2));
  const clock = { ms: 1000 };
  const end = (own: number): LiveLink => {
    const tally = new LiveTally(plan, account, own);
    return new LiveLink({
      out: new LiveRingWriter(wire, own * liveRingBytes(WORDS), WORDS),
      in: new LiveRingReader(wire, (1 - own) * liveRingBytes(WORDS), WORDS),
      words: WORDS,
      peer: 1 - own,
      faults: new LinkFaults(plan, 7, own, tally),
      tally,
      kindOf: () => 0,
      now: () => clock.ms,
      beganMs: () => 1000,
      wake: () => {},
    });
  };
  return { ends: [end(0), end(1)] as const, clock, tally: () => joinTallies(readLiveTallies(plan, account, 2)) };
};

test.each([['drop'], ['duplicate'], ['delay'], ['reorder'], ['corrupt'], ['flip-message']] as const)(
  'records arrive once and in order while the wire has the fault %s',
  (kind) => {
    const { ends, clock, tally } = rig([kind]);
    const [sender, receiver] = ends;
    const got: unknown[] = [];
    const sent = Array.from({ length: 200 }, (_, i) => ({ i, words: [i, 2 ** 31 + i] }));
    for (let round = 0; round < 2000; round++) {
      const next = sent[round];
      if (next !== undefined) {
        sender.sender.begin(5, 0);
        sender.sender.value(next);
        sender.sender.end();
      }
      for (const end of ends) end.run();
      while (receiver.receiver.next(clock.ms)) got.push(receiver.receiver.value());
      clock.ms += 0.5;
    }
    expect(got).toEqual(sent);
    expect(tally().get(kind)!.fired).toBeGreaterThan(10);
    if (kind === 'corrupt' || kind === 'flip-message') {
      expect(tally().get(kind)!.repaired).toBe(tally().get(kind)!.fired);
    }
  },
);

test('a link that has nothing to do says when it will', () => {
  const { ends } = rig(['drop']);
  expect(ends[0].nextMs()).toBe(Infinity);
  ends[0].sender.begin(1, 0);
  ends[0].sender.end();
  ends[0].run();
  expect(ends[0].nextMs()).toBeLessThan(Infinity);
});
