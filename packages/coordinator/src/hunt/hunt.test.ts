import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { BUGS } from '../bugs/catalogue.ts';
import { runScenario } from '../result/run-scenario.ts';
import { loadScenario } from '../scenario/load.ts';
import { hunt } from './hunt.ts';
import { readRunFolder } from './run-folder.ts';

const folder = mkdtempSync(join(tmpdir(), 'numalab-hunt-'));
afterAll(() => rmSync(folder, { recursive: true }));

const bug = BUGS.find(({ id }) => id === '28')!;
const broken = loadScenario(bug.scenario, { set: [...bug.set, `bugs=["${bug.id}"]`] });

describe('hunt', () => {
  it('tells every cause once, with a folder that runs the same again', async () => {
    const result = await hunt(broken, { seeds: { from: 1, to: 30 }, faults: 'none', jobs: 1, out: folder });
    expect(result.verdict).toBe('fail');
    expect(result.runs).toMatchObject({ total: 30, error: 0 });
    const causes = result.failures.map(({ cause }) => cause);
    expect(new Set(causes).size).toBe(causes.length);
    const found = result.failures.find(({ invariant }) => invariant === bug.rule)!;
    const { record, scenario } = readRunFolder(found.folder!);
    const again = await runScenario(scenario, { seed: record.seed });
    expect(again.digest).toBe(record.digest);
    expect(again.violations.map(({ id }) => id)).toContain(bug.rule);
  });

  it('refuses folders that are damaged, or of another format', () => {
    const file = join(folder, 'failure-1', 'run.json');
    const whole = readFileSync(file, 'utf8');
    writeFileSync(file, whole.slice(0, whole.length / 2));
    expect(() => readRunFolder(join(folder, 'failure-1'))).toThrow(/damaged/);
    writeFileSync(file, '{"format":1}');
    expect(() => readRunFolder(join(folder, 'failure-1'))).toThrow(/damaged/);
    writeFileSync(file, whole.replace('"format": 1', '"format": 2'));
    expect(() => readRunFolder(join(folder, 'failure-1'))).toThrow(/format 2/);
    expect(() => readRunFolder(join(folder, 'nowhere'))).toThrow(/cannot be read/);
  });

  it('keeps what it has when it is cut off', async () => {
    const stop = new AbortController();
    const scenario = loadScenario('small');
    const progress = ({ done }: { readonly done: number }): void => {
      if (done > 0) stop.abort();
    };
    const result = await hunt(scenario, { seeds: { from: 1, to: 1e9 }, jobs: 1, signal: stop.signal, progress });
    expect(result.interrupted).toBe(true);
    expect(result.runs.total).toBeGreaterThan(0);
    expect(result.runs.fail).toBe(0);
  });
});
