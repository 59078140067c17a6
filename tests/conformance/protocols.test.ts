import { buildSpec, type InlineMachine, loadScenario, parseScenario, runScenario } from '@numalab/coordinator';
import { FRAME, type Frame } from '@numalab/interconnect';
import { APPLY_COPY, APPLY_MAP, APPLY_PRIMARY, APPLY_UNMAP } from '@numalab/node-worker';
import { PROTOCOLS } from '@numalab/protocols';
import { describe, expect, it } from 'vitest';
import { brokenRules, run, runAndKeep, writers } from './machine.ts';

const NAMES = Object.keys(PROTOCOLS);

/** How often each kind of entry is in a node's log. */
const entries = (machine: InlineMachine, node: number, kind: number): number =>
  machine.nodes[node]!.applyLog.kinds.filter((found) => found === kind).length;

describe('every built-in protocol', () => {
  it.each(NAMES)('%s holds what it declares, and breaks no rule', async (protocol) => {
    for (let seed = 1; seed <= 4; seed++) {
      const judged = await run({ protocol, seed });
      expect(brokenRules(judged)).toEqual([]);
      expect(judged.judgement.verdict).toBe('pass');
    }
  });

  it.each(NAMES)('%s does so too where the trapping core takes a lock and does the work itself', async (protocol) => {
    for (let seed = 1; seed <= 3; seed++) {
      const set = ['hypervisor.serialisation=lock', 'machine.nodes=3', 'kernel.writers.0.cpus=[0, 3, 6]'];
      const { judged, machine } = await runAndKeep({ protocol, seed, set });
      expect(brokenRules(judged)).toEqual([]);
      expect(judged.judgement.verdict).toBe('pass');
      // Each node's writers have held it.
      expect(machine.nodes.every(({ el2 }) => el2.times.length > 0)).toBe(true);
    }
  });

  it.each(NAMES)('%s leaves every node with the same text, mapped onto its own copy', async (protocol) => {
    const { machine } = await runAndKeep({ protocol });
    for (const node of machine.nodes) {
      // What `invalidate` unmapped and nobody touched again stays unmapped.
      if (protocol !== 'invalidate') expect(node.textPages.exceptions()).toEqual([]);
    }
    expect(machine.hypervisor.journal.length).toBeGreaterThan(3);
  });
});

describe('bbm', () => {
  it('unmaps and maps the page on every node for every write', async () => {
    const { machine } = await runAndKeep({ protocol: 'bbm' });
    const writes = machine.hypervisor.journal.length;
    for (const { id } of machine.nodes) {
      expect(entries(machine, id, APPLY_UNMAP)).toBe(writes);
      expect(entries(machine, id, APPLY_MAP)).toBe(writes);
    }
  });
});

describe('invalidate', () => {
  it('copies a page only where it is touched again, and never on the node of the primary', async () => {
    const { machine } = await runAndKeep({ protocol: 'invalidate' });
    expect(entries(machine, 0, APPLY_COPY)).toBe(0);
    expect(entries(machine, 1, APPLY_COPY)).toBeGreaterThan(0);
    expect(entries(machine, 1, APPLY_COPY)).toBe(entries(machine, 1, APPLY_MAP));
  });
});

describe('collapse', () => {
  it('maps the primary while a page is written, and the copy again when it is quiet', async () => {
    const { machine } = await runAndKeep({ protocol: 'collapse' });
    const collapsed = entries(machine, 1, APPLY_PRIMARY);
    expect(collapsed).toBeGreaterThan(0);
    expect(entries(machine, 1, APPLY_MAP)).toBe(collapsed);
    expect(entries(machine, 0, APPLY_PRIMARY)).toBe(0);
  });

  it('waits as long as its option says', async () => {
    const collapses = async (quietUs: number): Promise<number> => {
      const set = [`replication.protocolOptions={quietUs: ${quietUs}}`];
      return entries((await runAndKeep({ protocol: 'collapse', set })).machine, 1, APPLY_PRIMARY);
    };
    const [soon, late] = [await collapses(1), await collapses(1000)];
    expect(soon).toBeGreaterThan(late);
  });
});

describe('stop-machine', () => {
  it('lets nobody execute between the first store and the last', async () => {
    const { judged, machine } = await runAndKeep({ protocol: 'stop-machine' });
    const [first, second] = machine.nodes.map(({ applyLog }) => applyLog);
    expect(first!.subjects).toEqual(second!.subjects);
    for (const [i, at] of first!.times.entries()) {
      const [from, to] = [Math.min(at, second!.times[i]!), Math.max(at, second!.times[i]!)];
      for (const node of judged.raw.nodes) {
        for (const { lastExecution } of node.words) {
          for (const time of lastExecution) expect(time > from && time < to).toBe(false);
        }
      }
    }
  });
});

describe('a store that traps while the cores are being stopped', () => {
  it.each([1, 2, 3])('does not keep them from stopping, seed %i', async (seed) => {
    const judged = await run({
      protocol: 'stop-machine',
      seed,
      set: [
        'machine.nodes=1',
        'machine.coresPerNode=2',
        'workload.duration=20us',
        'workload.duty=0.01',
        writers('{kind: synthetic, rate: 100k/s}', '{kind: ftrace, rate: 10k/s}', '{kind: synthetic, rate: 100k/s}'),
      ],
      checks: { minEvidence: 0 },
    });
    expect(brokenRules(judged)).toEqual([]);
  });
});

describe('two writers that patch the same sites', () => {
  it('break no rule', async () => {
    const set = ['workload.duration=400us', writers('{kind: ftrace, rate: 100k/s}', '{kind: ftrace, rate: 100k/s}')];
    expect(brokenRules(await run({ protocol: 'ack', set }))).toEqual([]);
  });
});

describe('multicast', () => {
  const set = ['machine.nodes=4', 'replication.protocolOptions={multicast: true}'];

  /** Frames that the hypervisor sent to each node. */
  const framesTo = async (protocol: string, options: readonly string[]): Promise<number[]> => {
    const counts = [0, 0, 0, 0];
    await run({
      protocol,
      set: options,
      meddle: ({ nodes, hypervisor }) => {
        for (const node of nodes) {
          const receive = node.receive.bind(node);
          node.receive = (message) => {
            const isFrame = message.kind === FRAME && message.from === hypervisor.id;
            // Frames without a body acknowledge what the node itself has sent.
            if (isFrame && (message.body as Frame).sequence > 0) counts[node.id]!++;
            receive(message);
          };
        }
      },
    });
    return counts;
  };

  it('sends one message to each socket', async () => {
    const direct = await framesTo('ack', [set[0]!]);
    const tree = await framesTo('ack', set);
    expect(direct.every((count) => count > 0)).toBe(true);
    // Kunpeng 920: nodes 0 and 1 are one socket, 2 and 3 the other.
    expect([tree[1], tree[3]]).toEqual([0, 0]);
    expect(tree[0]).toBeGreaterThan(0);
    expect(tree[2]).toBeGreaterThan(0);
  });

  it.each(NAMES)('changes nothing of what %s guarantees', async (protocol) => {
    const judged = await run({ protocol, set });
    expect(brokenRules(judged)).toEqual([]);
    expect(judged.judgement.verdict).toBe('pass');
  });
});

describe('multicast where a crash is planned', () => {
  const multicast = ['replication.protocolOptions.multicast=true', 'workload.duration=50us'];
  const warnings = async (...set: readonly string[]): Promise<string> =>
    (await runScenario(loadScenario('small', { set: [...multicast, ...set] }), { seed: 1 })).warnings.join();

  it('is off, and the report says so', async () => {
    expect(await warnings()).not.toContain('multicast');
    expect(await warnings('faults=[{kind: delay, probability: 0.1}]')).not.toContain('multicast');
    expect(await warnings('faults=[{kind: crash, target: 1, at: 20us}]')).toContain('multicast is off');
    expect(await warnings('faults=[{kind: hyp-crash, target: sent, nth: 2}]')).toContain('multicast is off');
  });
});

describe('options', () => {
  const build = (options: string): unknown =>
    buildSpec(parseScenario('{}', { set: [`replication.protocolOptions=${options}`] }), 1);

  it('are refused if the protocol does not have them, or they are of another type', () => {
    expect(() => build('{quietUs: 3}')).toThrow('the protocol has no such option; there are multicast');
    expect(() => build('{multicast: 3}')).toThrow('must be a boolean');
  });
});
