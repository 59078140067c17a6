import { Observations } from '@numalab/node-worker';
import { type Protocol, post, type Write } from '@numalab/protocols';
import { describe, expect, it } from 'vitest';
import { otherRegister } from './defects.ts';
import { brokenRules, evidenceOf, messagesOf, run, writers } from './machine.ts';
import { ackThatForgets, ackWith, type Handler, onNode1, postWith, right } from './wrong-protocols.ts';

describe('the right protocol', () => {
  it('breaks no rule, and every rule was put to the test', async () => {
    const judged = await run({ protocol: 'ack' });
    expect(brokenRules(judged)).toEqual([]);
    expect(judged.judgement.verdict).toBe('pass');
    for (const rule of ['R1', 'R2', 'R3', 'R4', 'R5', 'E1', 'T1', 'T2', 'T3', 'T4', 'T6']) {
      expect([rule, evidenceOf(judged, rule) > 0]).toEqual([rule, true]);
    }
  });
});

describe('a protocol that', () => {
  it('retires before the slowest node has applied breaks R5', async () => {
    const early: Protocol = { ...post, guarantee: 'completed' };
    const messages: string[] = [];
    for (let seed = 1; seed <= 4; seed++) {
      messages.push(...messagesOf(await run({ protocol: early, seed, set: ['machine.nodes=4'] }), 'R5'));
    }
    expect(messages[0]).toMatch(
      /^write \d+ by CPU \d+ to word \d+ .* had ended at .* CPU \d+ on node \d+ issued a fetch .*node \d+ (stored|had stored) write \d+/,
    );
  });

  it('stores and does not maintain leaves stale instruction lines, and breaks R5', async () => {
    const noMaintenance: Handler = function* (context, write) {
      yield* context.store(write);
    };
    const judged = await run({ protocol: ackWith(() => noMaintenance) });
    expect(brokenRules(judged)).toContain('R5');
  });

  it('leaves a write out on one node breaks R2', async () => {
    const skipping = onNode1(function* (context, write) {
      if (write.number !== 3) yield* right(context, write);
    });
    expect(brokenRules(await run({ protocol: ackWith(skipping) }))).toContain('R2');
  });

  it('applies a write twice on one node breaks R2', async () => {
    const twice = onNode1(function* (context, write) {
      yield* right(context, write);
      if (write.number === 3) yield* right(context, write);
    });
    expect(brokenRules(await run({ protocol: ackWith(twice) }))).toContain('R2');
  });

  it('stores another value than the write’s on one node breaks R1 and R3', async () => {
    const changing = onNode1(function* (context, write) {
      yield* right(context, { ...write, words: write.words.map((word) => (word ^ 1) >>> 0) });
    });
    const rules = brokenRules(await run({ protocol: ackWith(changing) }));
    expect(rules).toContain('R1');
    expect(rules).toContain('R3');
  });

  it('never retires a write breaks R2, and the core that waits is named by L1', async () => {
    const judged = await run({ protocol: ackThatForgets(3) });
    expect(brokenRules(judged)).toContain('R2');
    expect(messagesOf(judged, 'R2').some((message) => message.includes('write 3'))).toBe(true);
    expect(messagesOf(judged, 'L1').some((message) => message.includes('write 3'))).toBe(true);
  });

  it('applies two writes in the wrong order does not hold ordered, and breaks R5', async () => {
    const reordering = (): Handler => {
      let held: Write | null = null;
      return function* (context, write) {
        if (write.number === 2) {
          held = write;
          return;
        }
        yield* right(context, write);
        if (held !== null) {
          yield* right(context, held);
          held = null;
        }
      };
    };
    const judged = await run({ protocol: postWith(reordering) });
    expect(judged.judgement.refuted.map(({ level }) => level)).toContain('ordered');
    expect(brokenRules(judged)).toContain('R5');
  });
});

describe('a core', () => {
  const fetches = (second: number): string[] => {
    const observations = new Observations(0, 2);
    observations.fetched(7, 0xa, 1, 1, 10, 20);
    observations.fetched(7, second === 1 ? 0xa : 0xb, second, 1, 30, 40);
    observations.fetched(7, 0xb, 2, 1, 50, 60);
    observations.fetched(7, second === 1 ? 0xa : 0xb, second, 1, 70, 80);
    return observations.findings.map(({ id }) => id);
  };

  it('that goes forward in the order breaks nothing; one that goes back breaks R4', () => {
    expect(fetches(2)).toEqual([]);
    expect(fetches(1)).toEqual(['R4']);
  });

  it('whose trapped store EL2 takes for another one breaks E1', async () => {
    const set = [writers('{ kind: synthetic, rate: 400k/s, forms: [stp_x] }')];
    expect(brokenRules(await run({ set }))).not.toContain('E1');
    const judged = await run({ set, meddle: otherRegister });
    expect(brokenRules(judged)).toContain('E1');
    expect(messagesOf(judged, 'E1')[0]).toMatch(/CPU \d+/);
  });
});
