/** What an exhaustive search of the smallest scope finds: wrong protocols, and known bugs; each by its shortest story. */
import { buildSpec, type Explored, exploreProtocol, parseScenario, specOf } from '@numalab/coordinator';
import { ack, invalidate, PROTOCOLS, type Protocol, post, type Steps, type Write } from '@numalab/protocols';
import { describe, expect, it } from 'vitest';
import { ackThatForgets, ackWith, ackWithout, onNode1, postWith, right } from './wrong-protocols.ts';

const scenario = parseScenario('{}', { set: ['machine.nodes=2', 'machine.memoryPerNode=512MiB'] });
const base = buildSpec(scenario, 1).spec;

const explore = async (protocol: Protocol, crashes = 0, ...bugs: readonly string[]): Promise<Explored> => {
  // One write is enough for what a crash shows.
  const origins = crashes === 0 ? [0, 1] : [1];
  const spec = { ...specOf(scenario, ack, base), protocolOptions: { multicast: false, ...protocol.options }, bugs };
  return await exploreProtocol(spec, protocol, origins, { crashes, timers: 8, earlyTimers: 0, maxStates: 60_000 });
};

const rulesOf = ({ failures }: Explored): string[] => [...new Set(failures.map(({ invariant }) => invariant))].sort();

/** Keeps the first write back until the second is here. */
const backwards = postWith(() => {
  const kept: Write[] = [];
  return function* (context, write) {
    if (kept.push(write) < 2) return;
    for (const one of kept.splice(0).reverse()) yield* right(context, one);
  };
});

const WRONG: readonly (readonly [string, Protocol, string, RegExp])[] = [
  ['retires at once', { ...post, guarantee: 'completed' }, 'R5', /is over, and a core of node \d can still fetch/],
  ['claims to be atomic', { ...ack, guarantee: 'atomic' }, 'R5', /^a fetch has seen write 1, and a later one/],
  ['waits for all but one', ackWithout(1), 'R5', /^write 1 is over/],
  ['forgets to retire', ackThatForgets(2), 'L1', /a core of node \d waits for its write; write 2 is not retired/],
  ['does not maintain', ackWith(() => (context, write) => context.store(write)), 'R5', /^write 1 is over/],
  ['leaves a node out', ackWith(onNode1(function* () {})), 'R1', /the copy of node 1 holds the word as it was at boot/],
  [
    'applies writes twice',
    ackWith(
      () =>
        function* (context, write) {
          yield* right(context, write);
          yield* right(context, write);
        },
    ),
    'R2',
    /write 1 was applied again on node/,
  ],
  ['applies writes backwards', backwards, 'R4', /that has fetched write 2 fetches write 1 after it/],
  [
    'maps a page before it has copied it',
    {
      ...invalidate,
      node: () => {
        const half = invalidate.node();
        return {
          ...half,
          *onMessage(context, body) {
            if ('copy' in (body as object)) yield* context.map((body as { copy: number }).copy);
            yield* half.onMessage(context, body)!;
          },
        };
      },
    },
    'R5',
    /can still fetch/,
  ],
];

describe('an exhaustive search finds a protocol that', () => {
  it.each(WRONG)('%s', async (_what, protocol, rule, message) => {
    const found = await explore(protocol);
    expect(found.verdict).toBe('fail');
    expect(rulesOf(found)).toContain(rule);
    const failure = found.failures.find((one) => one.invariant === rule)!;
    expect(failure.message).toMatch(message);
    expect(failure.story).toHaveLength(failure.events);
    expect(failure.events).toBeLessThan(30);
  });

  it('throws', async () => {
    const found = await explore(ackWith(() => () => (null as unknown as { steps: Steps }).steps));
    expect(found.failures[0]).toMatchObject({ invariant: 'error', cause: 'error the protocol throws' });
  });
});

/** Known bugs that show in this scope: in which protocol, with how many crashes, and by which rule. */
const BUGS: readonly (readonly [string, string, number, string])[] = [
  ['7', 'ack', 0, 'R2'],
  ['8', 'stop-machine', 0, 'R6'],
  ['9', 'ack', 0, 'R5'],
  ['10', 'ack', 0, 'R5'],
  ['25', 'invalidate', 0, 'R5'],
  ['37', 'invalidate', 0, 'R5'],
  ['39', 'ack', 0, 'R4'],
  ['45', 'ack', 1, 'R3'],
  ['46', 'ack', 1, 'R2'],
  ['47', 'ack', 1, 'R5'],
  ['48', 'ack', 1, 'R3'],
  ['50', 'ack', 1, 'R5'],
  ['51', 'ack', 1, 'R5'],
];

describe('an exhaustive search finds bug', () => {
  it.each(BUGS)('%s in %s, with %i crashes, by %s', async (bug, name, crashes, rule) => {
    const found = await explore(PROTOCOLS[name]!, crashes, bug);
    expect(found.verdict).toBe('fail');
    expect(rulesOf(found)).toContain(rule);
  });
});
