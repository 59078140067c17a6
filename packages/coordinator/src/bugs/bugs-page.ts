import { formatCount } from '../result/format.ts';
import { ABSENT } from './absent.ts';
import { BUGS } from './catalogue.ts';
import type { CleanRuns, Measurement } from './measure.ts';
import { MEASURED } from './measure.ts';
import { type Caught, MOST_SEEDS } from './measure-bug.ts';

/** A Markdown table, its columns as wide as their widest cell, as the formatter wants it: three at least. */
const table = (head: readonly string[], rows: readonly (readonly string[])[]): string[] => {
  const widths = head.map((_, i) => Math.max(3, ...[head, ...rows].map((cells) => cells[i]!.length)));
  const row = (cells: readonly string[]): string =>
    `| ${cells.map((cell, i) => cell.padEnd(widths[i]!)).join(' | ')} |`;
  return [row(head), row(widths.map((width) => '-'.repeat(width))), ...rows.map(row)];
};

const secondsOf = (seconds: number): string => (seconds < 10 ? seconds.toFixed(2) : seconds.toFixed(0));

const cellOf = (caught: Caught | undefined): string => {
  if (caught === undefined) return 'not measured';
  return caught.seed === null ? 'not caught' : `${caught.seed} (${secondsOf(caught.seconds)} s)`;
};

const cleanText = ({ from, to, runs, alarms, seconds, causes }: CleanRuns): string[] => {
  if (runs === 0) return ['Not measured.'];
  const text = `${formatCount(alarms)} false alarms in ${formatCount(runs)} runs of \`small\` (seeds ${from} to ${to}), with swarm faults and a scheduler by seed, in ${formatCount(Math.round(seconds))} s.`;
  return [text, ...causes.map(({ cause, seed }) => `- seed ${seed}: ${cause}`)];
};

/** What the columns of a switch are before its figures. */
export const namesOf = ({ id, title, origin, rule }: (typeof BUGS)[number]): readonly string[] => [
  id,
  title,
  origin,
  rule,
];

/** The page `docs/BUGS.md`: Markdown. */
export const bugsPage = ({ caught, clean }: Measurement): string =>
  [
    '# Known bugs as switches',
    '',
    '<!-- Written by `pnpm run bugs`: edit packages/coordinator/src/bugs instead. -->',
    '',
    'Each is the mechanism of a bug that others have had, or that this design invites, next to the right code: off unless',
    '`--bug ID` switches it on. `numalab hunt --bug ID` hunts it in the scenario that its entry names, with the faults that it',
    'needs. In live mode those of the kernel’s code, of protocols and of the table editor show. Origin: a commit, an advisory or an issue; _derived_: none is known. Rule: the one that must catch it.',
    '',
    `Then, for each scheduler of \`hunt\`: the first seed from 1 on that breaks the rule, of ${MOST_SEEDS} at most, and the seconds`,
    'of one thread until then.',
    '',
    ...table(
      ['ID', 'Bug', 'Origin', 'Rule', ...MEASURED.map((scheduler) => `${scheduler}: seed`)],
      BUGS.map((bug) => [...namesOf(bug), ...MEASURED.map((scheduler) => cellOf(caught[bug.id]?.[scheduler]))]),
    ),
    '',
    '## False alarms',
    '',
    ...cleanText(clean),
    '',
    '## Entries without a switch',
    '',
    ...table(
      ['ID', 'Bug', 'Why'],
      ABSENT.map(({ id, title, why }) => [id, title, why]),
    ),
    '',
  ].join('\n');
