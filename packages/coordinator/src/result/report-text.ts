import { type FaultResult, findingText, ruleOf } from '@numalab/checkers';
import type { KernelImage } from '@numalab/kernel';
import type { CommandContext } from '../commands/context.ts';
import { wrap } from '../commands/text.ts';
import type { Scenario } from '../scenario/scenario.ts';
import { formatDuration, formatSize } from '../scenario/units.ts';
import { formatCount, formatTime } from './format.ts';
import { type FigureRow, figureRows } from './report-figures.ts';
import type { MeasuredRun, RunResult } from './run-result.ts';

/** What the text needs beside the result. */
export interface ReportContext {
  readonly scenario: Scenario;
  readonly image: KernelImage;
  /** The command that runs this again. */
  readonly replay: string;
  readonly colors: CommandContext['colors'];
  readonly columns: number;
}

const VIOLATIONS_SHOWN = 5;
const LABEL_WIDTH = 11;

/** `LABEL text`, broken into lines, the text in a column of its own. */
const field = (label: string, text: string, columns: number): string[] =>
  wrap(text, columns - LABEL_WIDTH).map((line, index) => `${(index === 0 ? label : '').padEnd(LABEL_WIDTH)}${line}`);

const bullets = (items: readonly string[], columns: number): string[] =>
  items.flatMap((item) => wrap(item, columns - 4).map((line, index) => `${index === 0 ? '  - ' : '    '}${line}`));

/** Names what lies at each `offset 0x…` of a message. */
const withSymbols = (message: string, { symbols }: KernelImage): string =>
  message.replace(/offset (0x[0-9a-f]+)/g, (text, offset: string) => `${text}, ${symbols.describe(Number(offset))}`);

const paint = (verdict: RunResult['verdict'], colors: ReportContext['colors']): ((text: string) => string) =>
  ({ pass: colors.green, fail: colors.red, unknown: colors.yellow })[verdict];

/** The verdict and its cause, in one line. */
export const verdictLine = (result: RunResult, { image, colors }: Pick<ReportContext, 'image' | 'colors'>): string =>
  `${paint(result.verdict, colors)(colors.bold(result.verdict.toUpperCase()))} ${result.scenario}, seed ${result.seed}: ${withSymbols(result.reason, image)}`;

/** The verdict with its cause, then the other findings. */
const verdictLines = (result: RunResult, context: ReportContext): string[] => {
  const { colors, columns, image } = context;
  const { verdict, violations } = result;
  const plain = `${verdict.toUpperCase()} ${result.scenario}, seed ${result.seed}: ${withSymbols(result.reason, image)}`;
  const [first = '', ...rest] = wrap(plain, columns, '  ');
  const lines = [paint(verdict, colors)(colors.bold(first)), ...rest];
  const shown = violations.slice(0, VIOLATIONS_SHOWN);
  for (const { id, message, timePs } of shown) {
    const when = timePs > 0 ? `, at ${formatTime(timePs)}` : '';
    // The cause stands in the first line already.
    const what = result.reason === findingText({ id, message, timePs }) ? '' : `: ${withSymbols(message, image)}`;
    lines.push(...wrap(`  broken${when}: ${id}, ${ruleOf(id).says}${what}`, columns, '    '));
  }
  const more = result.violationCount - shown.length;
  if (more > 0) lines.push(`  and ${formatCount(more)} more`);
  return lines;
};

const writerText = ({ kernel }: Scenario): string =>
  kernel.writers.length === 0 ? 'no writers' : kernel.writers.map(({ kind }) => kind).join(', ');

/** How text is updated where EL2 has no part in it, by strategy. */
const WITHOUT_PROTOCOL: Readonly<Record<MeasuredRun['strategy'], string>> = {
  none: 'none: every node fetches the one copy on node 0',
  stage1: 'per-node stage 1: the kernel patches its copies itself, where its writers are hooked',
  stage2: 'per-node stage 2',
};

/** The same, as a column's head. */
const COLUMN: Readonly<Record<MeasuredRun['strategy'], string>> = {
  none: 'one copy',
  stage1: 'stage1',
  stage2: 'stage2',
};

const setupLines = (result: RunResult, context: ReportContext): string[] => {
  const { machine, workload, hypervisor, replication } = context.scenario;
  const { columns, image } = context;
  const { declared } = result.guarantee;
  const name = image.format === 'builtin' ? 'builtin' : image.name;
  const version = image.version === null ? '' : ` ${image.version}`;
  const { kaslrOffset } = context.scenario.kernel;
  const moved = kaslrOffset === 0 ? '' : `, moved up by ${formatSize(kaslrOffset)}`;
  const update =
    result.protocol === null
      ? WITHOUT_PROTOCOL[result.strategy]
      : `per-node stage 2, protocol ${result.protocol} (declares ${declared}), order ${hypervisor.serialisation} on node ${hypervisor.node}`;
  const size = `${formatSize(machine.memoryPerNode)} each, granule ${machine.stage2.granule}, ${machine.stage2.population} population`;
  return [
    ...field(
      'machine',
      `${machine.nodes} nodes × ${machine.coresPerNode} vCPUs, ${machine.topology.name}, ${size}`,
      columns,
    ),
    ...field('kernel', `${name}${version}, ${replication.range}${moved}`, columns),
    ...field('updates', update, columns),
    ...field(
      'workload',
      `${formatDuration(workload.durationPs)} of virtual time (ran ${formatTime(result.virtualTimePs)}), vCPUs execute ${Number((result.duty * 100).toPrecision(6))} % of it, writers: ${writerText(context.scenario)}`,
      columns,
    ),
  ];
};

const guaranteeLines = (result: RunResult, context: ReportContext): string[] => {
  const { held, evidence, refuted } = result.guarantee;
  const { columns, image } = context;
  const proof =
    held === null ? 'no level' : `${held}, which ${formatCount(evidence[held])} observations could have refuted`;
  const lines = field('held', proof, columns);
  for (const { level, message } of refuted) {
    lines.push(...field('refuted', `${level}: ${withSymbols(message, image)}`, columns));
  }
  return lines;
};

const tableLines = (result: RunResult, context: ReportContext): string[] => {
  const { bold, dim } = context.colors;
  const rows = figureRows(result);
  const both = result.comparison !== null;
  const width = 22;
  const cells = ({ name, run, baseline }: FigureRow): string =>
    `${name.padEnd(34)}${run.padStart(width)}${both ? baseline.padStart(width) : ''}`.trimEnd();
  const heads = {
    name: '',
    run: result.protocol === null ? COLUMN[result.strategy] : `stage2, ${result.protocol}`,
    baseline: 'one copy',
  };
  return [
    bold(cells(heads)),
    ...rows.map((row) => (row.run === '' ? bold(row.name) : row.minor ? dim(cells(row)) : cells(row))),
  ];
};

const ruleLines = (result: RunResult, { columns, image }: ReportContext): string[] => {
  const { rules } = result;
  const text = (held: boolean): string =>
    rules
      .filter((rule) => rule.held === held && (held ? rule.evidence > 0 : rule.demanded))
      .map(({ id, evidence }) => (held ? `${id} ${formatCount(evidence)}` : id))
      .join(', ');
  const unasked = rules.filter((rule) => !rule.held && !rule.demanded);
  const idle = rules.filter((rule) => rule.held && rule.evidence === 0).map(({ id }) => id);
  const lines = field('rules', `held, with the number of tests: ${text(true)}`, columns);
  const broken = text(false);
  if (broken !== '') lines.push(...field('', `broken: ${broken}`, columns));
  for (const { id, example } of unasked) {
    const finding = example === null ? '' : `, but does not hold: ${withSymbols(example.message, image)}`;
    lines.push(...field('', `${id} is not asked for at this level${finding}`, columns));
  }
  const limits = rules.filter((rule) => rule.evidence > 0 && rule.demanded && !rule.complete).map(({ id }) => id);
  if (limits.length > 0) lines.push(...field('', `judged in part, the budget ran out: ${limits.join(', ')}`, columns));
  if (idle.length > 0) lines.push(...field('', `never put to the test: ${idle.join(', ')}`, columns));
  return lines;
};

const recordedLines = ({ recorded }: RunResult, { columns }: ReportContext): string[] =>
  recorded === null
    ? []
    : field(
        'recorded',
        `${formatCount(recorded.trapped)} of ${formatCount(recorded.rows)} recorded stores performed at run time, ${formatCount(recorded.atBoot)} at boot (${formatCount(recorded.inHoles)} into EL2’s own pages)`,
        columns,
      );

const scrubLines = ({ scrub }: RunResult, { columns }: ReportContext): string[] =>
  scrub === null
    ? []
    : field(
        'scrubbed',
        `${formatCount(scrub.pages)} pages; not as they should be: ${formatCount(scrub.suspects)}; words repaired: ${formatCount(scrub.words)}`,
        columns,
      );

/** One planned fault and what became of it. */
export const faultText = ({ name, outcome, fired, timePs, survivable, broke }: FaultResult): string => {
  const when = timePs === null ? '' : `, ${formatCount(fired)} times from ${formatTime(timePs)} on`;
  const what = broke.length === 0 ? '' : `; it broke ${broke.join(', ')}`;
  const isUndone = survivable || outcome === 'repaired' || outcome === 'not fired';
  return `${outcome}: ${name}${when}${what}${isUndone ? '' : ' (nothing is built to survive it)'}`;
};

/** A run's report for people: at most `columns` wide, colours as `colors` has them. */
export const reportLines = (result: RunResult, context: ReportContext): string[] => {
  const { colors, columns } = context;
  const { comparison } = result;
  const section = (title: string, items: readonly string[]): string[] =>
    items.length === 0 ? [] : ['', colors.bold(title), ...bullets(items, columns)];
  const seconds = ((result.wallMs + (comparison?.wallMs ?? 0)) / 1000).toFixed(2);
  return [
    ...verdictLines(result, context),
    ...result.warnings.flatMap((warning) => wrap(`warning: ${warning}`, columns, '  ').map(colors.yellow)),
    '',
    ...setupLines(result, context),
    ...recordedLines(result, context),
    ...scrubLines(result, context),
    ...guaranteeLines(result, context),
    '',
    ...tableLines(result, context),
    ...section('Gained', comparison?.gains ?? []),
    ...section('Paid', comparison?.costs ?? []),
    ...section('Faults', result.faults.map(faultText)),
    ...section('Assumed', result.assumptions),
    '',
    ...ruleLines(result, context),
    ...field(
      'digest',
      `${result.digest} (${formatCount(result.events)} events, ${seconds} s, ${result.placement})`,
      columns,
    ),
    // To be copied: a line that is broken would be several commands.
    `${'replay'.padEnd(LABEL_WIDTH)}${context.replay}`,
  ];
};
