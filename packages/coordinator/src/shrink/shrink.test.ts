import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { BUGS } from '../bugs/catalogue.ts';
import { scenarioOfBug } from '../bugs/measure-bug.ts';
import { makeCell } from '../campaign/cell.ts';
import { SeedMachine } from '../campaign/seed-machine.ts';
import { buildSpec } from '../machine/build-spec.ts';
import { runScenario } from '../result/run-scenario.ts';
import { loadScenario, parseScenario, scenarioYaml } from '../scenario/index.ts';
import type { Scenario } from '../scenario/scenario.ts';
import { trialOf } from './decisions.ts';
import { shrink } from './shrink.ts';
import { runTrial } from './trial.ts';

const SET = [
  'workload.duration=60us',
  'kernel.writers=[{ kind: jump-label, rate: 200k/s, keys: 3, batch: 1 }, { kind: synthetic, rate: 300k/s, sites: 4, inFlight: 2 }]',
];

/** What is written in a run, by vCPU and its count of submissions. */
const writesOf = (scenario: Scenario): Map<string, string> => {
  const { raw } = new SeedMachine().run(makeCell(scenario, 'none'), 3);
  return new Map(
    raw.hypervisor.journal.map(({ write: { word, words, origin }, core }) => [`${word} ${words}`, `${origin} ${core}`]),
  );
};

const folder = mkdtempSync(join(tmpdir(), 'numalab-shrink-'));
afterAll(() => rmSync(folder, { recursive: true }));

const NOP = 0xd503201f;

/** A trace of ftrace's stores to the first `count` NOPs of the text. */
const traceOf = (count: number): string => {
  const { kernel } = buildSpec(loadScenario('small'), 1).spec;
  const rows: string[] = ['seq,vcpu,writer,offset,size,old,new,table'];
  for (let offset = kernel.text.start; offset < kernel.text.end && rows.length <= count; offset += 4) {
    const isCopied = kernel.ranges.some(
      ({ start, end, kind }) => kind === 'replica' && offset >= start && offset < end,
    );
    if (kernel.words[offset >> 2] !== NOP || !isCopied) continue;
    rows.push(`${rows.length - 1},${rows.length % 4},__ftrace_init,${offset.toString(16)},4,d503201f,aa1e03e9,ftrace`);
  }
  return `${rows.join('\n')}\n`;
};

describe('a trial', () => {
  it('that hangs is cut off after as many windows as it may take', () => {
    const scenario = loadScenario('small', {
      set: ['bugs=["41"]', 'faults=[{ kind: queue, target: 1, probability: 0.5 }]', 'workload.duty=0'],
    });
    const whole = runTrial(trialOf(scenario, 1, Infinity));
    expect(whole.cause).not.toBeNull();
    const few = Math.floor(whole.windows / 4);
    expect(runTrial(trialOf(scenario, 1, few))).toMatchObject({ verdict: 'too long', cause: null, windows: few });
  });
});

describe('what is left out of a run', () => {
  it('leaves the choices of writers as they were', () => {
    const whole = loadScenario('small', { set: SET });
    const [labels, synthetic] = whole.kernel.writers;
    const all = writesOf(whole);
    const without = writesOf({
      ...whole,
      kernel: {
        ...whole.kernel,
        writers: [
          { ...labels!, only: [] },
          { ...synthetic!, only: [3, 5, 8] },
        ],
      },
    });
    expect(all.size).toBeGreaterThan(12);
    expect(without.size).toBe(3);
    // The same words get the same values from the same vCPUs.
    for (const [write, origin] of without) expect([write, all.get(write)]).toEqual([write, origin]);
  });

  it('leaves what faults hit as it was', () => {
    const hits = (...faults: readonly string[]): readonly [number, number | null] => {
      const scenario = loadScenario('small', { set: [...SET, `faults=[${faults.join(', ')}]`] });
      const run = new SeedMachine().run(makeCell(scenario, 'none'), 3);
      const fault = run.faults.find(({ kind }) => kind === 'queue')!;
      return [fault.fired, fault.timePs];
    };
    const queue = '{ kind: queue, target: 1, probability: 0.3, during: [5us, 20us] }';
    const alone = hits(queue);
    expect(alone[0]).toBeGreaterThan(0);
    const late = '{ kind: drop, probability: 0.5, during: [40us, 50us] }';
    expect(hits(late, queue)).toEqual(alone);
    expect(hits(late, queue, '{ kind: pause, target: 0, at: 45us }')).toEqual(alone);
  });
});

describe('shrink', () => {
  it('leaves one write and the one fault that matter, which fail in the same way when they are run again', async () => {
    const bug = [
      'bugs=["56"]',
      'faults=[{ kind: pause, target: 0, at: 10us, for: 3us }, { kind: flip-message, target: "hyp>1", match: protocol, probability: 0.5 }, { kind: duplicate, probability: 0.1 }]',
      'schedule=[{ target: cpu 1, during: [1us, 9us], slow: 4 }, { target: hyp, during: [20us, 24us] }]',
      'comparison=false',
    ];
    const scenario = loadScenario('small', { set: [...SET, ...bug] });
    const whole = await runScenario(scenario, { seed: 1 });
    expect(whole.verdict).toBe('fail');
    const shrunk = await shrink(scenario, { seed: 1, jobs: 1 });
    expect(shrunk.complete).toBe(true);
    expect(shrunk.after).toMatchObject({ actions: 1, faults: 1, choices: 0 });
    expect(shrunk.after.events).toBeLessThan(whole.events / 3);
    expect(shrunk.necessity.map(({ decision, cause }) => [decision.kind, cause === shrunk.cause])).toEqual([
      ['fault', false],
      ['action', false],
    ]);
    const again = await runScenario(parseScenario(scenarioYaml(shrunk.scenario)), { seed: shrunk.seed });
    expect(again.violations[0]!.message).toBe(shrunk.message);
    // It does not depend on how many trials run side by side.
    const side = await shrink(scenario, { seed: 1, jobs: 2 });
    expect([side.seed, scenarioYaml(side.scenario)]).toEqual([shrunk.seed, scenarioYaml(shrunk.scenario)]);
  }, 30_000);

  it('leaves one row of a trace', async () => {
    const file = join(folder, 'trace.csv');
    writeFileSync(file, traceOf(40));
    const writers = `kernel.writers=[{ kind: recorded, file: ${file} }]`;
    const scenario = loadScenario('small', { set: [writers, 'bugs=["9"]', 'workload.duty=0.5', 'comparison=false'] });
    const whole = await runScenario(scenario, { seed: 1 });
    expect([whole.verdict, whole.recorded!.trapped]).toEqual(['fail', 40]);
    const shrunk = await shrink(scenario, { seed: 1, jobs: 1 });
    expect(shrunk.complete).toBe(true);
    expect([shrunk.before.actions, shrunk.after.actions]).toEqual([40, 1]);
    const again = await runScenario(parseScenario(scenarioYaml(shrunk.scenario)), { seed: shrunk.seed });
    expect(again.violations[0]!.message).toBe(shrunk.message);
    expect(again.recorded!.trapped).toBe(1);
  }, 60_000);

  it('does not wait for trials that hang', async () => {
    // Frames of an earlier life: many runs that are a part of this one never come to their end.
    const scenario = scenarioOfBug(BUGS.find(({ id }) => id === '53')!, true);
    const seed = Array.from({ length: 20 }, (_, i) => i + 1).find(
      (one) => runTrial(trialOf(scenario, one, Infinity)).cause !== null,
    )!;
    const { complete, after, before } = await shrink(scenario, { seed, jobs: 1 });
    expect(complete).toBe(true);
    expect(after.actions).toBeLessThan(before.actions);
  }, 60_000);

  it('refuses a run that passes', async () => {
    await expect(shrink(loadScenario('small'), { seed: 1, jobs: 1 })).rejects.toThrow(/does not fail/);
  });

  it('gives the smallest so far when it is cut off', async () => {
    const scenario = loadScenario('small', {
      set: [...SET, 'bugs=["9"]', 'machine.ctr={ idc: false, dic: false }', 'workload.duty=0.5'],
    });
    const stop = new AbortController();
    const { interrupted, complete, after, before } = await shrink(scenario, {
      seed: 1,
      jobs: 1,
      signal: stop.signal,
      progress: () => stop.abort(),
    });
    expect([interrupted, complete]).toEqual([true, false]);
    expect(after.events).toBeLessThanOrEqual(before.events);
  });
});
