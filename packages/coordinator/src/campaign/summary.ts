import { formatCount, formatTime } from '../result/format.ts';
import type { CampaignResult, CellResult } from './campaign-result.ts';

const MOST_FAILURES = 50;

const row = (cells: readonly (string | number)[]): string =>
  `| ${cells.map((cell) => String(cell).replaceAll('|', '\\|').replaceAll('\n', ' ')).join(' | ')} |`;

const table = (head: readonly string[], rows: readonly (readonly (string | number)[])[]): string[] => [
  row(head),
  row(head.map(() => '---')),
  ...rows.map(row),
];

const code = (text: string): string => (text.includes('`') ? `\`\` ${text} \`\`` : `\`${text}\``);

const cellRow = (cell: CellResult): (string | number)[] => {
  const latency = cell.histograms.writeLatencyPs;
  return [
    cell.name,
    cell.verdict.toUpperCase(),
    formatCount(cell.runs.total),
    formatCount(cell.runs.fail + cell.runs.error),
    formatCount(cell.runs.unknown),
    latency === null ? '–' : `${formatTime(latency.p50)} / ${formatTime(latency.p99)}`,
  ];
};

const counts = (title: string, of: Readonly<Record<string, number>>): string[] => {
  const parts = Object.entries(of).map(([name, count]) => `${name} ${formatCount(count)}`);
  return parts.length === 0 ? [] : ['', `**${title}:** ${parts.join(', ')}.`];
};

/** A campaign as Markdown, for the page that a CI system shows beside a change. */
export const markdownSummary = (result: CampaignResult): string => {
  const { runs, failures, marks } = result;
  const missed = Object.keys(marks).filter((name) => marks[name] === 0);
  const lines = [
    `# ${result.verdict.toUpperCase()}: ${formatCount(runs.total)} of ${formatCount(runs.requested)} runs`,
    '',
    `${result.reason}. Seeds ${result.seeds.from}..${result.seeds.to}, numalab ${result.version}, ` +
      `${(result.wallMs / 1000).toFixed(1)} s (${(result.cpuMs / 1000).toFixed(1)} s of processor time), ` +
      `${runs.perSecond.toFixed(1)} runs/s.`,
    '',
    ...table(['cell', 'verdict', 'runs', 'failed', 'unknown', 'write latency p50 / p99'], result.cells.map(cellRow)),
  ];
  if (failures.length > 0) {
    lines.push('', '## Failures', '');
    const rows = failures
      .slice(0, MOST_FAILURES)
      .map((failure) => [failure.cause, failure.count, failure.seed, code(failure.replay)]);
    lines.push(...table(['cause', 'runs', 'shortest seed', 'again'], rows));
    if (failures.length > MOST_FAILURES) lines.push('', `… and ${failures.length - MOST_FAILURES} more causes.`);
  }
  lines.push(...counts('Faults fired', result.faultsFired), ...counts('Rules put to the test', result.rules));
  if (missed.length > 0) lines.push('', `**Never reached:** ${missed.join(', ')}.`);
  return `${lines.join('\n')}\n`;
};
