import { checksumOf, type Frame, Session } from '@numalab/interconnect';
import type { MachineSpec } from '@numalab/node-worker';
import { PROTOCOLS, type Protocol } from '@numalab/protocols';
import { describe, expect, it } from 'vitest';
import { buildSpec } from '../machine/build-spec.ts';
import { loadScenario } from '../scenario/load.ts';
import type { Scenario } from '../scenario/scenario.ts';
import { checkScope, type Explored, exploreProtocol, originsOf, specOf } from './explore.ts';
import { type SearchedMachine, searchMachine } from './machine-model.ts';
import { exploreSessions } from './session-scope.ts';
import type { MakeSession } from './session-side.ts';
import { smallMachine } from './small-machine.ts';

const SCOPE = { crashes: 0, timers: 8, earlyTimers: 0, maxStates: 400_000 };
const bases = new Map<number, MachineSpec>();

/** Making a kernel ready takes longer than most searches. */
const baseOf = (scenario: Scenario): MachineSpec => {
  const { nodes } = scenario.machine;
  const base = bases.get(nodes) ?? buildSpec(scenario, 1).spec;
  bases.set(nodes, base);
  return base;
};

const explore = async (
  protocol: Protocol | string,
  crashes: number,
  nodes = 2,
  changes: Partial<MachineSpec> = {},
): Promise<Explored> => {
  const used = typeof protocol === 'string' ? PROTOCOLS[protocol]! : protocol;
  const named = typeof protocol === 'string' ? protocol : 'ack';
  const scenario = loadScenario('small', { set: [`machine.nodes=${nodes}`], protocol: named });
  const spec = { ...specOf(scenario, PROTOCOLS[named]!, baseOf(scenario)), ...changes };
  return await exploreProtocol(spec, used, originsOf(scenario), { ...SCOPE, crashes });
};

describe('an exhaustive search without crashes', () => {
  it.each(Object.keys(PROTOCOLS))('covers every order of %s on two nodes, and finds it right', async (name) => {
    const { complete, verdict, held, declared, states, executions } = await explore(name, 0);
    expect([complete, verdict, held]).toEqual([true, 'pass', declared]);
    expect(states).toBeGreaterThan(50);
    expect(executions).toBeGreaterThan(states / 10);
  });

  it.each(['post', 'ack', 'bbm', 'stop-machine', 'collapse'])('covers %s on three', async (name) => {
    const { complete, verdict } = await explore(name, 0, 3);
    expect([complete, verdict]).toEqual([true, 'pass']);
  });

  it('shows what is not promised: post is not completed, ack is not atomic', async () => {
    const [post, ack] = [await explore('post', 0), await explore('ack', 0)];
    expect(post.refuted.map(({ level }) => level)).toEqual(['completed', 'atomic']);
    expect(ack.refuted.map(({ level }) => level)).toEqual(['atomic']);
    expect(ack.refuted[0]!.message).toMatch(/^a fetch has seen write \d, and a later one on node \d can still see/);
  });

  it('is the same each time', async () => {
    const { wallMs: _, ...first } = await explore('invalidate', 0);
    const { wallMs: __, ...second } = await explore('invalidate', 0);
    expect(second).toEqual(first);
  });
});

describe('an exhaustive search with a crash', () => {
  it.each(['ack', 'bbm', 'stop-machine', 'collapse'])('finds %s right wherever it is', async (name) => {
    const { complete, verdict, faults, failures } = await explore(name, 1);
    expect(failures).toEqual([]);
    expect([complete, verdict]).toEqual([true, 'pass']);
    expect(faults['hyp-crash']).toBeGreaterThan(100);
    expect(faults.crash).toBeGreaterThan(100);
  });

  it.each(['ack', 'stop-machine'])('and another, in its recovery or after it, finds %s right', async (name) => {
    const scenario = loadScenario('small', { protocol: name });
    const spec = specOf(scenario, PROTOCOLS[name]!, baseOf(scenario));
    const explored = await exploreProtocol(spec, PROTOCOLS[name]!, [0], { ...SCOPE, crashes: 2 });
    expect(explored.failures).toEqual([]);
    expect([explored.complete, explored.verdict]).toEqual([true, 'pass']);
    expect(explored.bounds.join()).toMatch(/2 crashes at most, .*recovery included/);
  });

  it('finds that a hypervisor without a journal never comes back', async () => {
    const { failures } = await explore('post', 1, 2, { journal: false });
    expect(failures[0]).toMatchObject({ invariant: 'L1' });
    expect(failures[0]!.message).toMatch(/the hypervisor is down/);
    expect(failures[0]!.story.join('\n')).toMatch(/the hypervisor crashes/);
  });
});

describe('the reduction', () => {
  const searched = async (
    name: string,
    crashes: number,
    unreduced: boolean,
    writes: number,
  ): Promise<SearchedMachine> => {
    const scenario = loadScenario('small', { protocol: name });
    const spec = specOf(scenario, PROTOCOLS[name]!, baseOf(scenario));
    const origins = Array.from({ length: writes }, (_, i) => i);
    const machine = smallMachine(spec, PROTOCOLS[name]!, origins, unreduced);
    const bounds = { crashes, timers: 8, earlyTimers: 0 };
    return await searchMachine(machine, bounds, { maxStates: 1_000_000, keepOutcomes: true });
  };

  const findings = ({ found }: SearchedMachine): string[] =>
    found.map(({ id, level, message }) => `${id} ${level} ${message}`).sort();

  it.each([
    ['ack', 0, 2],
    ['post', 0, 2],
    ['bbm', 0, 2],
    ['direct', 0, 2],
    ['collapse', 0, 2],
    ['invalidate', 0, 1],
    ['stop-machine', 1, 1],
    ['ack', 1, 1],
  ] as const)(
    'of %s with %i crashes and %i writes comes to the ends that there are without it',
    async (name, crashes, writes) => {
      const [reduced, whole] = [
        await searched(name, crashes, false, writes),
        await searched(name, crashes, true, writes),
      ];
      expect([reduced.complete, whole.complete]).toEqual([true, true]);
      expect(reduced.states).toBeLessThan(whole.states);
      expect(reduced.outcomes).toEqual(whole.outcomes);
      expect(findings(reduced)).toEqual(findings(whole));
    },
  );
});

describe('the budget', () => {
  it('that runs out is neither pass nor fail', async () => {
    const scenario = loadScenario('small', { protocol: 'ack' });
    const scope = { ...SCOPE, maxStates: 100 };
    const found = await exploreProtocol(baseOf(scenario), PROTOCOLS.ack!, [0, 1], scope);
    const { verdict, complete, cut, states } = found;
    expect([verdict, complete, cut]).toEqual(['unknown', false, 'more than 100 states']);
    expect(states).toBeLessThan(150);
  });

  it('refuses what is too large, naming the key', () => {
    const check = (set: string) => () => checkScope(loadScenario('small', { set: [set] }));
    expect(check('machine.nodes=4')).toThrow(/takes 2 to 3 nodes, not 4/);
    expect(check('workload.writes=9')).toThrow(/takes 1 to 3 writes, not 9/);
  });
});

const sealed = (frame: Frame): Frame => {
  const { epoch, peer, sequence, acknowledged, gap, kind, a, b, body } = frame;
  return { ...frame, checksum: checksumOf(epoch, peer, sequence, acknowledged, gap, kind, a, b, body) };
};

/** A session that takes sound frames as `change` makes them: what a mistake in it comes to. */
const mistaken =
  (change: (frame: Frame, session: Session) => Frame): MakeSession =>
  (port, times) => {
    const session = new Session(port, times);
    const receive = session.receive.bind(session);
    session.receive = (frame, at) =>
      receive(sealed(frame).checksum === frame.checksum ? sealed(change(frame, session)) : frame, at);
    return session;
  };

const trusting: MakeSession = (port, times) => new Session(port, { ...times, checksums: false });

describe('the session layer alone', () => {
  const scope = { ...SCOPE, crashes: 1 };

  it('delivers in order, once, and in the end, whatever link and sides do', async () => {
    for (const { verdict, complete, failures, faults, states } of await exploreSessions([], scope)) {
      expect(failures).toEqual([]);
      expect([verdict, complete]).toEqual(['pass', true]);
      expect(states).toBeGreaterThan(1000);
      for (const kind of ['drop', 'duplicate', 'corrupt']) expect(faults[kind]).toBeGreaterThan(100);
    }
  });

  it.each([
    ['53', /^the (first|other) side delivers/],
    ['56', /leaves a message out/],
  ])('is found out with bug %s', async (bug, message) => {
    const failures = (await exploreSessions([bug], scope)).flatMap((one) => one.failures);
    expect(failures[0]!.message).toMatch(message);
    expect(failures[0]!.story.length).toBeLessThan(12);
  });

  it.each([
    ['takes damaged frames', trusting, /leaves a message out/],
    [
      'takes every acknowledgement for one more than it is',
      mistaken((frame) => ({ ...frame, acknowledged: frame.acknowledged + 1 })),
      /has not got message/,
    ],
    [
      'takes frames for what it waits for',
      mistaken((frame) => (frame.sequence === 2 ? { ...frame, sequence: 1 } : frame)),
      /delivers|leaves|has not got/,
    ],
    [
      'takes frames of any life',
      mistaken((frame, { peerEpoch }) => (frame.sequence > 0 ? { ...frame, epoch: peerEpoch } : frame)),
      /delivers/,
    ],
  ] as const)('is found out when it %s', async (_what, makeSession, message) => {
    const failures = (await exploreSessions([], scope, undefined, undefined, makeSession)).flatMap(
      (one) => one.failures,
    );
    expect(failures.map((failure) => failure.message).join('; ')).toMatch(message);
  });
});
