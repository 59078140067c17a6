import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { numalab } from './spawn.ts';

const folder = mkdtempSync(join(tmpdir(), 'numalab-hunt-'));
afterAll(() => rmSync(folder, { recursive: true }));

describe('hunt and replay', () => {
  it('print what was found once, exit 1, and leave a folder that runs the same again', () => {
    const found = numalab(['hunt', '--bug', '28', '--seeds', '1..10', '--jobs', '1', '--out', folder, '--json']);
    expect(found.code).toBe(1);
    const { runs, failures, faultsFired } = JSON.parse(found.stdout);
    expect(runs.total).toBe(10);
    expect(runs.perSecond).toBeGreaterThan(0);
    expect(faultsFired).toEqual({});
    expect(failures[0]).toMatchObject({ invariant: 'T4', folder: join(folder, 'failure-1') });

    const again = numalab(['replay', failures[0].folder]);
    expect([again.code, again.stderr]).toEqual([0, '']);
    expect(again.stdout).toContain('the same: digest');
  });

  it('refuse a damaged folder, and one of other sources, with one line', () => {
    const file = join(folder, 'failure-1', 'run.json');
    const record = JSON.parse(readFileSync(file, 'utf8'));
    writeFileSync(file, JSON.stringify({ ...record, version: '9.9.9' }));
    const other = numalab(['replay', join(folder, 'failure-1')]);
    expect([other.code, other.stdout]).toEqual([2, '']);
    expect(other.stderr).toMatch(/was written by numalab 9\.9\.9/);
    writeFileSync(file, '{');
    const damaged = numalab(['replay', join(folder, 'failure-1')]);
    expect([damaged.code, damaged.stdout]).toEqual([2, '']);
    expect(damaged.stderr.trim().split('\n')).toHaveLength(1);
  });
});
