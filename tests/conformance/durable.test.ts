/** What a half of a protocol keeps over a crash: what it declared durable, and nothing else. */
import { watchTables } from '@numalab/checkers';
import { buildSpec, InlineMachine, loadScenario } from '@numalab/coordinator';
import { ack, type Protocol } from '@numalab/protocols';
import { describe, expect, it } from 'vitest';
import { brokenRules, run, writers } from './machine.ts';

/** What a half knew when it was called: messages since it was made, and since power-on. */
interface Seen {
  readonly variable: number;
  readonly durable: number;
}

/** `ack` whose halves count their calls, in a variable and in what is durable. */
const counting = (): { protocol: Protocol; nodes: Seen[][]; hypervisor: Seen[] } => {
  const nodes: Seen[][] = [[], []];
  const hypervisor: Seen[] = [];
  const count = (durable: Map<string, unknown>, variable: number): Seen => {
    const total = Number(durable.get('calls') ?? 0) + 1;
    durable.set('calls', total);
    return { variable, durable: total };
  };
  const protocol: Protocol = {
    ...ack,
    hypervisor() {
      let calls = 0;
      const half = ack.hypervisor();
      return {
        ...half,
        onWrite(context, write) {
          hypervisor.push(count(context.durable, ++calls));
          return half.onWrite(context, write);
        },
      };
    },
    node() {
      let calls = 0;
      const half = ack.node();
      return {
        onMessage(context, body) {
          nodes[context.node]!.push(count(context.durable, ++calls));
          return half.onMessage(context, body);
        },
      };
    },
  };
  return { protocol, nodes, hypervisor };
};

/** Calls after which a half began anew, and what each half knew by then. */
const restarts = (seen: readonly Seen[]): number[] =>
  seen.flatMap(({ variable }, i) => (i > 0 && variable === 1 ? [i] : []));

const expectKept = (seen: readonly Seen[]): void => {
  expect(restarts(seen)).toHaveLength(1);
  expect(seen.map(({ durable }) => durable)).toEqual(seen.map((_, i) => i + 1));
};

const expectOneLife = (seen: readonly Seen[]): void => {
  expect(seen.length).toBeGreaterThan(1);
  expect(restarts(seen)).toEqual([]);
};

// Every core writes, so that writes come before and after each crash.
const WRITES = writers('{ kind: synthetic, rate: 200k/s, forms: [str_w] }');

describe('what is durable outlives', () => {
  it.each(['kept', 'lost'])('a node that crashes, its memory %s; variables do not', async (memory) => {
    const { protocol, nodes, hypervisor } = counting();
    const crash = `faults=[{ kind: crash, target: 1, at: 80us, for: 40us, memory: ${memory} }]`;
    expect(brokenRules(await run({ protocol, set: [WRITES, crash] }))).toEqual([]);
    expectOneLife(nodes[0]!);
    expectOneLife(hypervisor);
    expectKept(nodes[1]!);
  });

  it('a hypervisor that crashes; variables do not, on the nodes neither', async () => {
    const { protocol, nodes, hypervisor } = counting();
    const crash = 'faults=[{ kind: hyp-crash, target: sent, nth: 9 }]';
    expect(brokenRules(await run({ protocol, set: [WRITES, crash] }))).toEqual([]);
    expectKept(hypervisor);
    // The nodes' halves are those of one hypervisor.
    for (const seen of nodes) expectKept(seen);
  });

  it('no reset: the next run of the same machine begins without it', async () => {
    const { protocol, nodes, hypervisor } = counting();
    const { spec, watch } = buildSpec(loadScenario('small', { set: ['workload.duration=50us'] }), 1);
    const machine = new InlineMachine(spec, protocol, watch, watchTables);
    machine.checkpoint();
    await machine.run();
    machine.reset(spec, protocol, watch);
    await machine.run();
    for (const seen of [...nodes, hypervisor]) expect(seen.filter(({ durable }) => durable === 1)).toHaveLength(2);
  });
});
