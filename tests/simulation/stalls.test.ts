/** A run that never comes to its end: L1 says who waits for whom, and the faults that did it are fatal. */
import { loadScenario } from '@numalab/coordinator';
import { describe, expect, it } from 'vitest';
import { runWith } from './faults.ts';

const STORES = 'kernel.writers=[{ kind: synthetic, width: 8, rate: 200k/s, sites: 8 }]';
const LOSSY = { kind: 'queue', target: 1, probability: 0.5 };

const stall = async (protocol: string, faults: readonly object[], ...set: readonly string[]) => {
  const scenario = loadScenario('small', { protocol, set: [STORES, ...set, `faults=${JSON.stringify(faults)}`] });
  const run = await runWith(scenario, 1);
  const { message } = run.judgement.rules.find(({ id }) => id === 'L1')!.example!;
  return { ...run, message };
};

describe('a run that stalls', () => {
  it('on an answer says whose', async () => {
    const { judgement, faults, message } = await stall('bbm', [LOSSY], 'bugs=["41"]');
    expect(judgement.verdict).toBe('fail');
    expect(faults).toMatchObject([{ kind: 'queue', outcome: 'fatal' }]);
    expect(message).toMatch(/^CPU \d waits for ever since [\d.]+ ns for the write to word \d+ to be retired/);
    expect(message).toMatch(/the protocol waits for the answer of node 1 to its question \d/);
  });

  it('on a broadcast says which node has not applied what', async () => {
    const { message } = await stall('ack', [LOSSY], 'bugs=["41"]');
    expect(message).toMatch(/write \d+, numbered and not retired; node 1 has applied up to write \d+/);
  });

  it('behind the lock of the order says who waits for it', async () => {
    const { message } = await stall('ack', [LOSSY], 'bugs=["41"]', 'hypervisor.serialisation=lock');
    expect(message).toMatch(/numbered and not retired; node 1 has applied/);
  });

  it('on a page says which', async () => {
    const { judgement } = await stall('bbm', [LOSSY], 'bugs=["41"]', 'workload.duty=1', 'workload.focus=0.8');
    const texts = judgement.violations.filter(({ id }) => id === 'L1').map(({ message }) => message);
    expect(texts.join('\n')).toMatch(/CPU \d waits for ever for page \d+, which EL2 has unmapped, to be mapped;/);
  });

  it('on a hypervisor that is gone says why it is', async () => {
    const crash = { kind: 'hyp-crash', target: 'sent', nth: 3 };
    const { judgement, faults, message } = await stall('ack', [crash], 'hypervisor.journal=false');
    expect(message).toContain('the hypervisor is down for good: it keeps no journal');
    expect(message).toMatch(/the hypervisor has not acknowledged messages of node \d: \d/);
    expect(faults).toMatchObject([{ outcome: 'fatal', broke: expect.arrayContaining(['L1']) }]);
    expect(judgement.violations).toEqual([]);
  });
});
