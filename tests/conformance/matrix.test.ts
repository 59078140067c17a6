/** The committed table against the code: every writer on small machines, protocols in turn, and some on large ones. */
import { readFileSync } from 'node:fs';
import { PROTOCOLS } from '@numalab/protocols';
import { afterAll, describe, expect, it } from 'vitest';
import { cellText, headingOf, Matrix, PATTERNS, SIZES } from './matrix.ts';

const NAMES = Object.keys(PROTOCOLS);
const page = readFileSync(new URL('../../docs/CONFORMANCE.md', import.meta.url), 'utf8');
const matrix = new Matrix();
afterAll(() => matrix.close());

/** The cell that the page has. */
const written = (protocol: string, id: string, nodes: number): string => {
  const section = page.split(`${headingOf(protocol)}\n`)[1]?.split('\n## ')[0] ?? '';
  const rows = section.split('\n').map((line) => line.split('|').map((cell) => cell.trim()));
  return rows.find((cells) => cells[1] === id)?.[2 + SIZES.indexOf(nodes)] ?? '';
};

/** A spread of the cells: which protocols for a pattern on so many nodes. */
const chosen = (place: number, nodes: number): readonly string[] => {
  if (nodes > 4) return place % 6 === nodes % 5 ? [NAMES[(place + nodes) % NAMES.length]!] : [];
  return [NAMES[(place + nodes / 2) % NAMES.length]!];
};

describe('the conformance matrix', () => {
  it('has every protocol, writer and size, and no broken rule', () => {
    for (const protocol of NAMES) {
      for (const pattern of PATTERNS) {
        for (const nodes of SIZES) expect(written(protocol, pattern.id, nodes)).toMatch(/ \d+\)?$/);
      }
    }
    expect(page).not.toContain('**broken');
  });

  const cases = SIZES.flatMap((nodes) =>
    PATTERNS.flatMap((pattern, place) =>
      chosen(place, nodes).map((protocol) => ({ nodes, id: pattern.id, pattern, protocol })),
    ),
  );

  it.each(cases)('is what the code gives: $protocol, $id, $nodes nodes', ({ nodes, pattern, protocol }) => {
    const cell = matrix.run(pattern, nodes, [protocol])[protocol]!;
    expect(cellText(cell)).toBe(written(protocol, pattern.id, nodes));
  });
});
