/** The hypervisor's journal: what a record costs, and what becomes of records that memory damages. */
import { loadScenario, parseScenario, type Scenario } from '@numalab/coordinator';
import { PROTOCOLS } from '@numalab/protocols';
import { describe, expect, it } from 'vitest';
import { runWith } from './faults.ts';

const protocols = Object.keys(PROTOCOLS);
const CRASH = { kind: 'hyp-crash', at: '110us', for: '30us' };
const flips = (count: number): readonly object[] =>
  Array.from({ length: count }, (_, i) => ({ kind: 'flip-journal', at: `${50000 + 50 * i}ns` }));

/** Stores with writers that know what they wrote. */
const storing = (protocol: string, faults: readonly object[], ...set: readonly string[]): Scenario =>
  loadScenario('small', {
    protocol,
    set: [
      'workload.duration=150us',
      'kernel.writers=[{ kind: synthetic, width: 8, rate: 200k/s, sites: 8 }]',
      `faults=${JSON.stringify(faults)}`,
      ...set,
    ],
  });

const NO_ECC = 'machine.ecc=none';

describe('a record of the journal that a flip damages', () => {
  it.each(protocols)('is read from its other copy when the hypervisor begins anew, under %s', async (protocol) => {
    const run = await runWith(storing(protocol, [...flips(2), CRASH], NO_ECC), 1);
    expect(run.judgement).toMatchObject({ verdict: 'pass', violations: [] });
    const [first] = run.faults;
    expect(first).toMatchObject({ kind: 'flip-journal', fired: 1, outcome: 'repaired', survivable: false, broke: [] });
  });

  it('matters to nobody if no hypervisor reads it', async () => {
    const run = await runWith(storing('ack', flips(1), NO_ECC), 1);
    expect(run.faults).toMatchObject([{ fired: 1, outcome: 'masked', detected: 0 }]);
  });

  it('is what was written again with ECC', async () => {
    const run = await runWith(storing('ack', flips(1)), 1);
    expect(run.faults).toMatchObject([{ fired: 1, outcome: 'repaired', survivable: true }]);
  });

  it('is no record if there is none yet', async () => {
    const run = await runWith(storing('ack', [{ kind: 'flip-journal', at: 0 }]), 1);
    expect(run.faults).toMatchObject([{ fired: 0, outcome: 'not fired' }]);
  });

  it('in both copies keeps the hypervisor from coming back, and L1 says why', async () => {
    const scenario = storing('ack', [...flips(400), CRASH], NO_ECC);
    const run = await runWith(scenario, 1);
    const fatal = run.faults.filter(({ outcome }) => outcome === 'fatal');
    expect(fatal.length).toBeGreaterThan(1);
    expect(fatal.every(({ kind, detected }) => kind === 'hyp-crash' || detected > 0)).toBe(true);
    expect(run.faults.at(-1)).toMatchObject({ kind: 'hyp-crash', outcome: 'fatal' });
    expect(run.judgement.violations).toEqual([]);
    const { message } = run.judgement.rules.find(({ id }) => id === 'L1')!.example!;
    expect(message).toMatch(/^CPU \d waits for ever/);
    expect(message).toMatch(/the hypervisor is down for good: both copies of record \d+ of its journal are damaged/);
  });

  it('is to blame for a write that was numbered before it', async () => {
    const crash = { kind: 'hyp-crash', target: 'journalled', nth: 3, for: '100us' };
    const run = await runWith(storing('ack', [crash, ...flips(400)], NO_ECC), 1);
    expect(run.raw.hypervisor.journal.some(({ retired }) => retired < 0)).toBe(true);
    expect(new Set(run.faults.flatMap(({ broke }) => broke))).toContain('R2');
    expect(run.judgement).toMatchObject({ verdict: 'pass', violations: [] });
  });

  it('and passes a checksum that covers too little is not excused', async () => {
    const faults = [...flips(40), CRASH];
    const found = new Set<string>();
    for (let seed = 1; seed <= 4 && found.size === 0; seed++) {
      const wrong = await runWith(storing('ack', faults, NO_ECC, 'bugs=["56"]'), seed);
      for (const { id } of wrong.judgement.violations) found.add(id);
    }
    expect(found).toContain('E1');
  });

  it('is refused where there is no journal', () => {
    const text = 'hypervisor: { journal: false }\nfaults: [{ kind: flip-journal, at: 1us }]';
    expect(() => parseScenario(text)).toThrow(/faults\.0\.kind.*hypervisor\.journal is false/);
  });
});

describe('a record of the journal takes its time', () => {
  const median = async (...set: readonly string[]): Promise<number> => {
    const { raw, judgement } = await runWith(storing('ack', [], ...set), 1);
    expect(judgement.violations).toEqual([]);
    const spans = raw.nodes.flatMap(({ times }) => times.map(({ begin, end }) => end - begin)).sort((x, y) => x - y);
    return spans[spans.length >> 1]!;
  };

  it.each(['central', 'lock'])('which every write waits for (%s)', async (serialisation) => {
    const order = `hypervisor.serialisation=${serialisation}`;
    const longer = (await median(order, 'hypervisor.recordTime=2us')) - (await median(order));
    expect(longer).toBeGreaterThan(1.8e6);
  });

  it('and a hypervisor that crashes meanwhile has not numbered the write', async () => {
    for (let at = 50_000; at < 60_000; at += 997) {
      for (const order of ['central', 'lock']) {
        const crash = [{ kind: 'hyp-crash', at: `${at}ns`, for: '20us' }];
        const set = ['hypervisor.recordTime=3us', `hypervisor.serialisation=${order}`];
        const { judgement } = await runWith(storing('ack', crash, ...set), 1);
        expect(judgement.violations, `${order} at ${at} ns`).toEqual([]);
      }
    }
  });

  it('unless there is none', () => {
    const text = 'hypervisor: { journal: false, recordTime: 100ns }';
    expect(() => parseScenario(text)).toThrow(/hypervisor\.recordTime.*nothing is recorded/);
  });
});
