import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseScenario } from '../scenario/load.ts';
import { makeCell } from './cell.ts';
import { Journal, type JournalEntry } from './journal.ts';
import type { LeaseOutcome } from './lease.ts';
import { Tally } from './tally.ts';

const CELLS = [makeCell(parseScenario('machine: { nodes: 2 }'), 'none')];
const outcome = (to: number): LeaseOutcome => ({ to, tally: new Tally().data(), busyMs: 1, cpuMs: 1 });
const lease = (from: number, to: number): Omit<JournalEntry, 'session'> => ({
  elapsedMs: to,
  lease: { cell: 0, from, to },
  outcome: outcome(to),
});

let folder = '';
let path = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'numalab-journal-'));
  path = join(folder, 'deep', 'journal.jsonl');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const open = async (
  version = '1',
  cells = CELLS,
  id = 'first',
): Promise<{ journal: Journal; entries: readonly JournalEntry[] }> => {
  const entries: JournalEntry[] = [];
  const journal = await Journal.open(join(folder, 'deep'), '--out', version, cells, id, (entry) => entries.push(entry));
  return { journal, entries };
};

const written = async (...entries: readonly Omit<JournalEntry, 'session'>[]): Promise<void> => {
  const { journal } = await open();
  for (const entry of entries) journal.append(entry);
  journal.close();
};

describe('a journal', () => {
  it('gives back what was appended, session by session, and keeps the campaign’s name', async () => {
    await written(lease(1, 5), lease(6, 9));
    const second = await open('1', CELLS, 'another');
    expect(second.entries).toEqual([
      { session: 1, ...lease(1, 5) },
      { session: 1, ...lease(6, 9) },
    ]);
    expect([second.journal.campaign, second.journal.session]).toEqual(['first', 2]);
    second.journal.append(lease(10, 11));
    second.journal.close();
    const third = await open();
    expect(third.entries.map(({ session }) => session)).toEqual([1, 1, 2]);
    third.journal.close();
  });

  it('survives a kill at every byte of the last line, and goes on behind the last whole one', async () => {
    await written(lease(1, 5));
    const whole = statSync(path).size;
    const { journal } = await open();
    journal.append(lease(6, 9));
    journal.close();
    const bytes = readFileSync(path);
    for (let cut = whole; cut < bytes.length; cut += 7) {
      writeFileSync(path, bytes.subarray(0, cut));
      const { journal: again, entries } = await open();
      expect(entries.length).toBe(1);
      again.append(lease(6, 7));
      again.close();
      const after = await open();
      expect(after.entries.map((entry) => entry.lease.to)).toEqual([5, 7]);
      after.journal.close();
    }
  });

  it('begins anew if not even its first line was whole', async () => {
    await written();
    truncateSync(path, 10);
    const { journal } = await open('1', CELLS, 'second');
    expect(journal.campaign).toBe('second');
    journal.close();
  });

  it('of another version, another scenario or no campaign at all is refused and left alone', async () => {
    await written(lease(1, 5));
    const before = readFileSync(path, 'utf8');
    const other = [makeCell(parseScenario('machine: { nodes: 3 }'), 'none')];
    await expect(open('2')).rejects.toThrow('was written by numalab 1; this is 2');
    await expect(open('1', other)).rejects.toThrow('holds another campaign: its scenario');
    await expect(open('1', [...CELLS, ...CELLS])).rejects.toThrow('1 cells instead of 2');
    expect(readFileSync(path, 'utf8')).toBe(before);
    writeFileSync(path, '{"a": 1}\n');
    await expect(open()).rejects.toThrow('is not the journal of a campaign');
  });

  it('that is damaged before its last line is refused, and the line is named', async () => {
    await written(lease(1, 5));
    appendFileSync(path, '{"session": 1, "el\n');
    await expect(open()).rejects.toThrow(/journal\.jsonl is damaged in line 3$/);
  });

  it('cannot be opened twice at a time', async () => {
    const { journal } = await open();
    await expect(open()).rejects.toThrow('another campaign is writing to it');
    journal.close();
    (await open()).journal.close();
  });
});

describe('the hash of a scenario', () => {
  it('depends on what happens, not on what files are called', () => {
    const hash = (text: string): string => makeCell(parseScenario(text), 'none').hash;
    expect(hash('machine: { nodes: 2 }')).toBe(CELLS[0]!.hash);
    expect(makeCell({ ...CELLS[0]!.scenario, name: 'x', file: '/y' }, 'none').hash).toBe(CELLS[0]!.hash);
    expect(hash('machine: { nodes: 3 }')).not.toBe(CELLS[0]!.hash);
    expect(makeCell(CELLS[0]!.scenario, 'swarm').hash).not.toBe(CELLS[0]!.hash);
    const withMap = (name: string, content: string): string => {
      writeFileSync(join(folder, name), content);
      const { kernel } = CELLS[0]!.scenario;
      return makeCell({ ...CELLS[0]!.scenario, kernel: { ...kernel, map: join(folder, name) } }, 'none').hash;
    };
    expect(withMap('a.map', 'one')).toBe(withMap('b.map', 'one'));
    expect(withMap('a.map', 'two')).not.toBe(withMap('b.map', 'one'));
  });
});
