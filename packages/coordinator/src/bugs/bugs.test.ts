import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { makeCell } from '../campaign/cell.ts';
import { SeedMachine } from '../campaign/seed-machine.ts';
import { ABSENT } from './absent.ts';
import { namesOf } from './bugs-page.ts';
import { BUGS } from './catalogue.ts';
import { MEASURED } from './measure.ts';
import { MOST_SEEDS, scenarioOfBug } from './measure-bug.ts';

/** Every entry of the catalogue; numbers are stable, with gaps. */
const CATALOGUE =
  '1 2 3 4 5 6 7 8 9 10 13 14 15 16 17 18 19 20 21 23 24 25 26 27 28 29 30 31 32 33 35 37 38 39 40 41 43 44 45 46 47 48 49 50 51 52 53 56 59 63'.split(
    ' ',
  );
/** The seed of an entry shows its bug unless the timing of the machine has changed since: then one of these does. */
const FURTHER_SEEDS = 20;

/** Rows of the first table after `heading`, its two of names and rules left out. */
const tableAfter = (page: string, heading: string): readonly (readonly string[])[] => {
  const lines = page.slice(page.indexOf(heading)).split('\n');
  const begin = lines.findIndex((line) => line.startsWith('|'));
  const end = lines.findIndex((line, i) => i > begin && !line.startsWith('|'));
  return lines.slice(begin + 2, end).map((line) =>
    line
      .slice(2, -2)
      .split(' | ')
      .map((cell) => cell.trim()),
  );
};

describe('the catalogue of bugs', () => {
  const page = readFileSync(new URL('../../../../docs/BUGS.md', import.meta.url), 'utf8');
  const table = tableAfter(page, '# Known bugs');

  it('has a switch or a reason for every entry', () => {
    const ids = [...BUGS, ...ABSENT].map(({ id }) => id);
    expect(ids.sort((x, y) => Number(x) - Number(y))).toEqual(CATALOGUE);
  });

  it('is what docs/BUGS.md says', () => {
    expect(table.map((cells) => cells.slice(0, 4))).toEqual(BUGS.map(namesOf));
    const absent = ABSENT.map(({ id, title, why }) => [id, title, why]);
    expect(tableAfter(page, '## Entries without a switch')).toEqual(absent);
  });

  it('was caught by every scheduler within the seeds that docs/BUGS.md allows, and nothing else was', () => {
    for (const [id, ...cells] of table) {
      const seeds = cells.slice(3).map((cell) => Number(/^(\d+) \([\d.]+ s\)$/.exec(cell)?.[1]));
      expect([id, seeds.length]).toEqual([id, MEASURED.length]);
      expect([id, seeds.filter((seed) => !(seed <= MOST_SEEDS))]).toEqual([id, []]);
    }
    expect(page).toMatch(/\n0 false alarms in [\d,]+ runs of `small`/);
  });
});

describe.each(BUGS)('bug $id: $title', (entry) => {
  it('breaks its rule, and without it the same seeds pass', () => {
    const { rule, seed } = entry;
    const [wrong, right] = [true, false].map((isOn) => makeCell(scenarioOfBug(entry, isOn), 'none'));
    const machines = [new SeedMachine(), new SeedMachine()];
    let broken: readonly string[] = [];
    for (let at = seed; at < seed + FURTHER_SEEDS && !broken.includes(rule); at++) {
      broken = machines[0]!.run(wrong!, at).judgement.violations.map(({ id }) => id);
      expect([at, machines[1]!.run(right!, at).judgement.violations]).toEqual([at, []]);
    }
    expect(broken).toContain(rule);
  });
});
