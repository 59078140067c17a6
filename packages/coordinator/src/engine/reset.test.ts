import { watchTables } from '@numalab/checkers';
import { PROTOCOLS, type Protocol } from '@numalab/protocols';
import { describe, expect, it } from 'vitest';
import { buildSpec, type PreparedMachine } from '../machine/build-spec.ts';
import { loadScenario } from '../scenario/load.ts';
import { InlineMachine } from './inline.ts';
import { judgeRaw } from './run-machine.ts';

/** Broadcasts and forgets the maintenance: cores go on with stale lines. */
const careless: Protocol = {
  ...PROTOCOLS.ack!,
  name: 'careless',
  node: () => ({
    *onMessage(context, body) {
      const write = body as Parameters<typeof context.store>[0];
      yield* context.store(write);
      context.send(write.number);
    },
  }),
};

const SETS: readonly (readonly string[])[] = [
  [],
  ['machine.nodes=3', 'workload.data=0.05', 'workload.mmio=0.02', 'workload.duty=0.2'],
  ['machine.ctr.idc=false', 'machine.ctr.dic=false', 'hypervisor.serialisation=lock', 'machine.caches.nested=true'],
  ['replication.strategy=none'],
];

const run = async (
  machine: InlineMachine,
  { spec }: PreparedMachine,
): Promise<{ digest: string; verdict: string; rest: string }> => {
  const raw = await machine.run();
  const { digest, judgement } = judgeRaw(spec, raw, { minEvidence: 1, expect: [] });
  const { verdict, violations, evidence, rules } = judgement;
  const stage2 = raw.nodes.map((node) => [node.stage2, node.committedBytes, node.copy?.words.length]);
  return { digest, verdict, rest: JSON.stringify({ violations, evidence, rules, stage2 }) };
};

describe('a machine that is reset', () => {
  for (const set of SETS) {
    it(`gives exactly what a new one gives, after runs that pass and runs that fail (${set.join(' ')})`, async () => {
      const scenario = loadScenario('small', { set });
      const first = buildSpec(scenario, 0);
      const reused = new InlineMachine(first.spec, careless, first.watch, watchTables);
      reused.checkpoint();
      let spent: PreparedMachine = first;
      const verdicts = new Set<string>();
      for (let seed = 1; seed <= 12; seed++) {
        const protocol = seed % 3 === 0 ? careless : PROTOCOLS.ack!;
        const fresh = buildSpec(scenario, seed);
        const expected = await run(new InlineMachine(fresh.spec, protocol, fresh.watch, watchTables), fresh);
        spent = buildSpec(scenario, seed, {}, spent);
        reused.reset(spent.spec, protocol, spent.watch);
        expect(await run(reused, spent)).toEqual(expected);
        verdicts.add(expected.verdict);
      }
      if (!set.includes('replication.strategy=none')) expect(verdicts).toContain('fail');
    });
  }

  it('refuses to become another machine', () => {
    const first = buildSpec(loadScenario('small'), 1);
    const other = buildSpec(loadScenario('small', { set: ['machine.coresPerNode=3'] }), 1);
    const machine = new InlineMachine(first.spec, careless, first.watch, watchTables);
    machine.checkpoint();
    expect(() => machine.reset(other.spec, careless, other.watch)).toThrow(/the same/);
  });

  it('can be reset in the middle of a run', async () => {
    const scenario = loadScenario('small', { set: ['workload.data=0.05', 'workload.duty=0.2'] });
    const first = buildSpec(scenario, 1);
    const reused = new InlineMachine(first.spec, PROTOCOLS.ack!, first.watch, watchTables);
    reused.checkpoint();
    for (let seed = 2; seed < 6; seed++) {
      for (let i = 0; i < 60 * seed; i++) reused.window();
      const next = buildSpec(scenario, seed);
      reused.reset(next.spec, PROTOCOLS.ack!, next.watch);
      const expected = await run(new InlineMachine(next.spec, PROTOCOLS.ack!, next.watch, watchTables), next);
      expect(await run(reused, next)).toEqual(expected);
      reused.reset(next.spec, PROTOCOLS.ack!, next.watch);
    }
  });
});
