import { cpSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { numalab } from './spawn.ts';

const folder = mkdtempSync(join(tmpdir(), 'numalab-trace-'));
const run = join(folder, 'run');
afterAll(() => rmSync(folder, { recursive: true }));

/** A copy of the run's folder in which one file of the trace is not what it was. */
const damaged = (name: string, damage: (file: string) => void): string => {
  const copy = join(folder, name);
  cpSync(run, copy, { recursive: true });
  damage(join(copy, 'trace', 'node-1.trace'));
  return copy;
};

const expectRefused = (args: readonly string[], message: RegExp): void => {
  const { code, stdout, stderr } = numalab(args);
  expect([args, code, stdout]).toEqual([args, 2, '']);
  expect(stderr.trim().split('\n')).toHaveLength(1);
  expect(stderr).toMatch(message);
};

describe('the trace of a run', () => {
  beforeAll(() => {
    expect(numalab(['run', 'small', '--seed', '3', '--quiet', '--out', run]).code).toBe(0);
  });

  it('tells the life of a write in order, from the trap to its end', () => {
    const { code, stdout } = numalab(['trace', run, '--write', '2']);
    expect(code).toBe(0);
    const kinds = stdout
      .trim()
      .split('\n')
      .map((line) => /^\s*[\d.]+ ns {2}(?:node \d+|hypervisor) +([\w-]+)/.exec(line)?.[1]);
    expect(kinds.filter((kind) => kind !== 'frame' && kind !== 'synchronised')).toEqual([
      'trap',
      'submit',
      'numbered',
      'applied',
      'applied',
      'retired',
      'retire',
      'over',
    ]);
  });

  it('is filtered by node, kind and time, and printed as JSON lines', () => {
    const { stdout } = numalab([
      'trace',
      run,
      '--json',
      '--node',
      'hyp',
      '--kind',
      'numbered',
      '--from',
      '1ns',
      '--to',
      '1ms',
    ]);
    const events = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(events.length).toBeGreaterThan(3);
    for (const event of events)
      expect(event).toMatchObject({ process: 'hypervisor', kind: 'numbered', writes: [event.a] });
    expect(numalab(['trace', run, '--to', '0']).stdout).not.toContain(' 54.589 ns');
    expectRefused(['trace', run, '--node', '2'], /--node.*beyond the last/);
    expectRefused(['trace', run, '--kind', 'numberd'], /did you mean numbered/);
    expectRefused(['trace', run, '--from', '12'], /must be a time/);
  });

  it('that was cut off or changed is refused, by trace and replay alike', () => {
    const cut = damaged('cut', (file) => truncateSync(file, readFileSync(file).length - 5));
    for (const verb of ['trace', 'replay'])
      expectRefused([verb, cut], /node-1\.trace: is damaged: it ends in the middle/);
    const flipped = damaged('flipped', (file) => {
      const bytes = readFileSync(file);
      bytes[Math.floor(bytes.length / 2)]! ^= 4;
      writeFileSync(file, bytes);
    });
    expectRefused(['trace', flipped], /is damaged: the checksum/);
    expectRefused(['trace', damaged('empty', (file) => truncateSync(file, 0))], /is no trace/);
    expectRefused(['trace', damaged('gone', (file) => rmSync(file))], /node-1\.trace is missing/);
    expectRefused(['trace', join(folder, 'nowhere')], /no such folder/);
    expectRefused(['trace', import.meta.dirname], /holds no trace/);
  });

  it('of another version is refused, and says which one can be read', () => {
    const other = damaged('other', (file) => {
      const text = readFileSync(file, 'latin1').replace(/^numalab-trace 1 /, 'numalab-trace 2 ');
      writeFileSync(file, text, 'latin1');
    });
    for (const verb of ['trace', 'replay']) expectRefused([verb, other], /a trace of version 2; this numalab reads 1/);
  });

  it('shows where a run that is not the same begins to differ', () => {
    const changed = damaged('changed', () => {});
    const file = join(changed, 'scenario.yaml');
    writeFileSync(file, readFileSync(file, 'utf8').replace('jitter: 1', 'jitter: 2'));
    const { code, stdout } = numalab(['replay', changed]);
    expect(code).toBe(1);
    const lines = stdout.trim().split('\n');
    expect(lines[0]).toMatch(/^not the same: digest [0-9a-f]+, recorded [0-9a-f]+$/);
    expect(lines[1]).toMatch(/^first different event, after [\d,]+ that are the same:$/);
    expect(lines[2]).toMatch(/^ {2}recorded {2}[\d.]+ ns {2}(node \d|hypervisor)/);
    expect(lines[3]).toMatch(/^ {2}now {7}[\d.]+ ns {2}(node \d|hypervisor)/);
    expect(lines[2]!.slice(12)).not.toBe(lines[3]!.slice(12));
  });
});
