import { loadScenario, parseScenario } from '@numalab/coordinator';
import { PROTOCOLS } from '@numalab/protocols';
import { describe, expect, it } from 'vitest';
import { runWith, swarm } from './faults.ts';

const MESSAGES = [
  'drop',
  'duplicate',
  'delay',
  'reorder',
  'corrupt',
  'flip-message',
  'partition',
  'slow-link',
] as const;
const seeds = Array.from({ length: 12 }, (_, i) => i + 1);

const small = (...faults: readonly object[]) => loadScenario('small', { set: [`faults=${JSON.stringify(faults)}`] });

describe('messages that are lost, repeated, late, out of order or damaged', () => {
  it.each(Object.keys(PROTOCOLS))('break no rule of %s', async (protocol) => {
    expect((await swarm(protocol, MESSAGES, seeds)).broken).toEqual([]);
  });

  it('are told of with what became of them', async () => {
    const { outcomes } = await swarm(
      'ack',
      MESSAGES,
      Array.from({ length: 60 }, (_, i) => i),
    );
    for (const outcome of ['drop: repaired', 'duplicate: masked', 'corrupt: repaired', 'partition: repaired']) {
      expect(outcomes.get(outcome) ?? 0, outcome).toBeGreaterThan(0);
    }
  });

  it('break no rule where the lock orders the writes', async () => {
    expect((await swarm('ack', MESSAGES, seeds, ['hypervisor.serialisation=lock'])).broken).toEqual([]);
  });

  it('break no rule where messages are passed on inside a socket', async () => {
    const set = ['machine.nodes=4', 'replication.protocolOptions={ multicast: true }'];
    expect((await swarm('bbm', MESSAGES, seeds.slice(0, 6), set)).broken).toEqual([]);
  });
});

describe('a planned fault', () => {
  it('hits the n-th message that matches, once', async () => {
    const { faults, judgement } = await runWith(small({ kind: 'drop', target: '0>hyp', match: 'submit', nth: 2 }), 1);
    expect(judgement.verdict).toBe('pass');
    expect(faults).toMatchObject([{ kind: 'drop', fired: 1, outcome: 'repaired', broke: [] }]);
  });

  it('that hits nothing is told so', async () => {
    const { faults } = await runWith(small({ kind: 'drop', match: 'submit', nth: 1_000_000 }), 1);
    expect(faults).toMatchObject([{ fired: 0, timePs: null, outcome: 'not fired' }]);
  });

  it('that damages a frame is noticed by its checksum', async () => {
    const { faults } = await runWith(small({ kind: 'corrupt', probability: 0.2 }), 1);
    expect(faults[0]!.fired).toBeGreaterThan(0);
    expect(faults[0]).toMatchObject({ outcome: 'repaired', detected: faults[0]!.fired });
  });

  it('makes the same choices whatever other faults there are', async () => {
    const late = { kind: 'delay', target: '1>hyp', probability: 0.3, for: '1us' };
    const alone = await runWith(small(late), 3);
    const beside = await runWith(small({ kind: 'drop', target: '0>hyp', nth: 999, match: 'submit' }, late), 3);
    expect(beside.faults[1]).toEqual(alone.faults[0]);
    expect(beside.digest).toBe(alone.digest);
  });

  it('gives the same run again, and another than none', async () => {
    const scenario = small({ kind: 'drop', probability: 0.2 });
    const run = await runWith(scenario, 5);
    expect((await runWith(scenario, 5)).digest).toBe(run.digest);
    expect((await runWith(small(), 5)).digest).not.toBe(run.digest);
  });

  it('is refused with its place if it makes no sense', () => {
    expect(() => parseScenario('faults: [{ kind: corrupt, nth: 1, target: 7 }]')).toThrow(/faults\.0\.target/);
  });
});
