import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { numalab } from './spawn.ts';

const folder = mkdtempSync(join(tmpdir(), 'numalab-shrink-'));
afterAll(() => rmSync(folder, { recursive: true }));

describe('shrink', () => {
  it('makes of a failure of hunt a scenario and a story, which replay and trace take', () => {
    const hunted = numalab([
      'hunt',
      '--bug',
      '9',
      '--seeds',
      '1..4',
      '--jobs',
      '1',
      '--out',
      join(folder, 'hunt'),
      '--json',
    ]);
    expect(hunted.code).toBe(1);
    const [failure] = JSON.parse(hunted.stdout).failures;

    const shrunk = numalab(['shrink', failure.folder, '--jobs', '1', '--json']);
    expect([shrunk.code, shrunk.stderr.includes('bug in numalab')]).toEqual([0, false]);
    const result = JSON.parse(shrunk.stdout);
    expect(result).toMatchObject({ cause: failure.cause, invariant: 'R5', after: { actions: 1, faults: 0 } });
    expect(result.after.events).toBeLessThan(result.before.events);
    expect(result.story[0]).toMatch(/^R5: write \d+ by CPU/);
    expect(result.story[1]).toMatch(/trapped at .* numbered at .* retired at/);
    expect(readFileSync(join(result.folder, 'story.txt'), 'utf8').split('\n')[0]).toBe(result.story[0]);

    const run = numalab(['run', result.file, '--seed', String(result.seed), '--json']);
    expect(run.code).toBe(1);
    expect(JSON.parse(run.stdout).violations[0].message).toBe(result.message);
    expect(numalab(['replay', result.folder]).code).toBe(0);
    expect(numalab(['trace', result.folder, '--kind', 'retired']).stdout).toContain('write 1 retired');
  });

  it('refuses runs that pass, and what is no run, with one line', () => {
    const passed = join(folder, 'passed');
    expect(numalab(['run', 'small', '--quiet', '--out', passed]).code).toBe(0);
    const foreign = join(folder, 'foreign');
    cpSync(join(passed, 'report.txt'), join(foreign, 'report.txt'), { recursive: true });
    for (const [path, message] of [
      [passed, /did not fail/],
      [join(folder, 'nowhere'), /cannot be read/],
      [foreign, /cannot be read/],
    ] as const) {
      const { code, stdout, stderr } = numalab(['shrink', path]);
      expect([path, code, stdout]).toEqual([path, 2, '']);
      expect(stderr).toMatch(message);
      expect(stderr.trim().split('\n')).toHaveLength(1);
    }
  });
});
