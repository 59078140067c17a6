/** Scrubbers find what flips in copies of the text, and repair it without undoing a write. */
import { watchTables } from '@numalab/checkers';
import {
  buildSpec,
  InlineMachine,
  type JudgedRun,
  judgeRaw,
  loadScenario,
  parseScenario,
  runMachine,
  type Scenario,
} from '@numalab/coordinator';
import { type NodeProcess, reportOf } from '@numalab/node-worker';
import { PROTOCOLS } from '@numalab/protocols';
import { describe, expect, it } from 'vitest';
import { runWith } from './faults.ts';

const CHECKS = { minEvidence: 0, expect: [] };

/** Writes of all widths to few places, while bits of both copies flip. */
const flipping = (protocol: string, ...set: readonly string[]): Scenario => {
  const faults = Array.from({ length: 6 }, (_, i) => ({ kind: 'flip-replica', target: i % 2, at: `${40 + 23 * i}us` }));
  return loadScenario('small', {
    protocol,
    set: [
      'machine.ecc=none',
      'hypervisor.scrub=100us',
      'workload.duration=150us',
      'kernel.writers=[{ kind: synthetic, width: mixed, rate: 300k/s, sites: 8 }]',
      `faults=${JSON.stringify(faults)}`,
      ...set,
    ],
  });
};

const broken = ({ judgement }: JudgedRun): readonly string[] => judgement.violations.map(({ id }) => id);

describe('a scrubber', () => {
  it.each(Object.keys(PROTOCOLS))('repairs what flips in copies under %s, while writes flow', async (protocol) => {
    const { judgement, faults } = await runWith(flipping(protocol), 2);
    expect(judgement).toMatchObject({ verdict: 'pass', violations: [] });
    expect(faults.map(({ outcome }) => outcome)).toContain('repaired');
    expect(faults.map(({ outcome }) => outcome)).not.toContain('fatal');
    for (const { detected, repaired } of faults) expect(repaired).toBe(detected);
  });

  it.each(['hypervisor.serialisation=lock', 'machine.ctr={ idc: true, dic: true }', 'machine.stage2.granule=64K'])(
    'repairs with %s',
    async (set) => {
      const { judgement, faults } = await runWith(flipping('ack', set), 2);
      expect(judgement.violations).toEqual([]);
      expect(faults.map(({ outcome }) => outcome)).toContain('repaired');
    },
  );

  it('leaves what flips to the judges where there is none', async () => {
    const run = await runWith(flipping('ack', 'hypervisor.scrub=null'), 2);
    expect(run.faults.every(({ outcome }) => outcome === 'masked' || outcome === 'silent')).toBe(true);
    expect(run.faults.flatMap(({ broke }) => broke)).toContain('R1');
  });

  it('touches nothing where a newer write has come before the repair', async () => {
    // What EL2 stores from afar is not held up; the answer of the hypervisor is.
    const flips = Array.from({ length: 30 }, (_, i) => ({ kind: 'flip-replica', target: 1, at: `${20 + 10 * i}us` }));
    const late = { kind: 'delay', target: 'hyp>1', probability: 1, for: '20us' };
    const busy = 'kernel.writers=[{ kind: synthetic, width: 8, rate: 200k/s, sites: 1 }]';
    const faults = `faults=${JSON.stringify([...flips, late])}`;
    const run = await runWith(flipping('direct', 'workload.duration=350us', busy, faults), 1);
    expect(run.judgement.violations).toEqual([]);
    const { suspects, words } = run.raw.nodes[1]!.scrub!;
    expect(suspects).toBeGreaterThan(words);
  });

  it.each([
    ['looks at the number when it gets there', 'onMend', []],
    ['would undo a newer write if it did not', 'onStore', ['R1', 'R5']],
  ] as const)('whose repair is late %s', async (_what, operation, rules) => {
    const { spec, watch } = buildSpec(flipping('ack', 'faults=[]'), 1);
    const machine = new InlineMachine(spec, PROTOCOLS.ack!, watch, watchTables);
    const raw = await machine.run();
    const [node] = machine.nodes.slice(1) as [NodeProcess];
    const { write } = raw.hypervisor.journal.find(({ write: { word, number } }) =>
      raw.hypervisor.journal.some((later) => later.write.word === word && later.write.number > number),
    )!;
    node.agentCpu.pendingStores++;
    node.coherence[operation](1, node.copyOf(4 * write.word), 2, write.number, write.words.slice(0, 1), node.time);
    const run = judgeRaw(spec, { ...raw, nodes: machine.nodes.map((each) => reportOf(each)) }, CHECKS);
    expect([...new Set(broken(run))]).toEqual(rules);
  });

  it('goes on after crashes of its node and of the hypervisor', async () => {
    const faults = [
      { kind: 'crash', target: 1, at: '40us', for: '30us' },
      { kind: 'hyp-crash', at: '120us', for: '30us' },
      { kind: 'flip-replica', target: 1, at: '2ms' },
    ];
    const run = await runWith(flipping('ack', `faults=${JSON.stringify(faults)}`), 1);
    expect(run.judgement.violations).toEqual([]);
    expect(run.faults).toMatchObject(faults.map(({ kind }) => ({ kind, fired: 1, outcome: 'repaired', broke: [] })));
  });

  it('that takes another copy for proof spreads what flipped, and R1 is not excused', async () => {
    const found = new Set<string>();
    const [right, wrong] = [flipping('post'), flipping('post', 'bugs=["52"]')];
    for (let seed = 1; seed <= 8 && !found.has('R1'); seed++) {
      for (const id of broken(await runWith(wrong, seed))) found.add(id);
      expect(broken(await runWith(right, seed))).toEqual([]);
    }
    expect(found).toContain('R1');
  });

  it('does the same in threads, and in shorter windows', async () => {
    const { spec, watch } = buildSpec(flipping('invalidate'), 3);
    const [inline, halved, threads] = await Promise.all([
      runMachine(spec, watch, CHECKS, { placement: 'inline', threads: null }),
      runMachine(spec, watch, CHECKS, { placement: 'inline', threads: null, windowDivisor: 2 }),
      runMachine(spec, watch, CHECKS, { placement: 'threads', threads: 2 }),
    ]);
    expect(inline!.raw.nodes.some(({ scrub }) => scrub!.words > 0)).toBe(true);
    expect([halved!.digest, threads!.digest]).toEqual([inline!.digest, inline!.digest]);
  });

  it('is for sim', () => {
    expect(() => parseScenario('hypervisor: { scrub: 1ms }', { mode: 'live' })).toThrow(
      /hypervisor\.scrub.*is for sim/,
    );
    expect(() => parseScenario('hypervisor: { scrub: 1ns }')).toThrow(/hypervisor\.scrub.*1us to 1000s/);
  });
});
