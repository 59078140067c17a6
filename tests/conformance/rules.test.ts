import { readFileSync } from 'node:fs';
import { RULES } from '@numalab/checkers';
import { describe, expect, it } from 'vitest';
import { checkersPage } from './checkers-page.ts';
import { brokenRules, evidenceOf, messagesOf, run } from './machine.ts';
import { TWINS } from './twins.ts';

describe.each(TWINS)('$rule', ({ rule, what, good, bad, says }) => {
  it('holds, and was put to the test', async () => {
    const judged = await run(good);
    expect(brokenRules(judged)).toEqual([]);
    expect(evidenceOf(judged, rule)).toBeGreaterThan(0);
  });

  it(`is broken if ${what}`, async () => {
    const judged = await run(bad);
    expect(brokenRules(judged)).toContain(rule);
    expect(messagesOf(judged, rule)[0]).toMatch(says);
    expect(judged.judgement.verdict).toBe('fail');
  });
});

describe('docs/CHECKERS.md', () => {
  /** Without what the formatter does to tables. */
  const plain = (page: string): string => page.replace(/ +/g, ' ').replace(/\| [-| ]+\|/g, '|-|');

  it('has every rule, each with a step that breaks it, and is what the code says', () => {
    expect([...new Set(TWINS.map(({ rule }) => rule))].sort()).toEqual(RULES.map(({ id }) => id).sort());
    const page = readFileSync(new URL('../../docs/CHECKERS.md', import.meta.url), 'utf8');
    expect(plain(page)).toBe(plain(checkersPage()));
  });
});
