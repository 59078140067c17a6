import { wrap } from '../commands/text.ts';
import { formatCount, formatTime } from '../result/format.ts';
import { faultText } from '../result/report-text.ts';
import type { Percentiles } from '../result/run-result.ts';
import type { LiveRate, LiveResult } from './live-result.ts';

const LABEL_WIDTH = 11;
const VIOLATIONS_SHOWN = 5;

const field = (label: string, text: string, columns: number): string[] =>
  wrap(text, columns - LABEL_WIDTH).map((line, index) => `${(index === 0 ? label : '').padEnd(LABEL_WIDTH)}${line}`);

const spans = ({ p50, p99, max }: Percentiles): string =>
  p50 === null
    ? 'no latency'
    : `latency ${formatTime(p50)} median, ${formatTime(p99!)} p99, ${formatTime(max!)} at most`;

const rateText = ({ inFlight, writesPerSecond, latencyPs }: LiveRate): string =>
  `${formatCount(writesPerSecond)} writes retired a second with ${inFlight} in flight; ${spans(latencyPs)}`;

const measuredText = ({ wallMs, bootMs, warmUpMs }: LiveResult): string => {
  const warmUp = warmUpMs === 0 ? '' : ` and ${Math.round(warmUpMs)} ms in which engines compiled what is hot`;
  return `${Math.round(wallMs)} ms after a boot of ${Math.round(bootMs)} ms${warmUp}`;
};

const bullets = (items: readonly string[], columns: number): string[] =>
  items.flatMap((item) => wrap(item, columns - 4).map((line, index) => `${index === 0 ? '  - ' : '    '}${line}`));

/** What there are threads for, by where writes are ordered. */
const THREADS: Readonly<Record<LiveResult['order'], string>> = {
  hypervisor: 'a node each, and the hypervisor',
  nodes: 'a node each, which orders what traps on it, under one lock',
  memory: 'a node each',
};

/** The verdict and its cause, in one line. */
export const liveVerdictLine = ({ verdict, scenario, reason }: LiveResult): string =>
  `${verdict.toUpperCase()} ${scenario}, live: ${reason}`;

const updatesText = ({ strategy, protocol, guarantee }: LiveResult): string =>
  strategy === 'none'
    ? 'no replication: one copy in the memory of node 0, and no store traps'
    : `per-node stage 2, protocol ${protocol} (declares ${guarantee.declared})`;

/** A live run's report for people. */
export const liveReportLines = (result: LiveResult, columns: number): string[] => {
  const { guarantee, history, rules, violations, writes, fetches } = result;
  const [first = '', ...rest] = wrap(liveVerdictLine(result), columns, '  ');
  const shown = violations.slice(0, VIOLATIONS_SHOWN);
  const more = result.violationCount - shown.length;
  const held = rules
    .filter((rule) => rule.held && rule.evidence > 0)
    .map(({ id, evidence }) => `${id} ${formatCount(evidence)}`);
  const proof =
    guarantee.held === null
      ? 'no level'
      : `${guarantee.held}, which ${formatCount(guarantee.evidence[guarantee.held])} observations could have refuted`;
  return [
    first,
    ...rest,
    ...shown.flatMap(({ id, message }) => wrap(`  broken: ${id}: ${message}`, columns, '    ')),
    ...(more > 0 ? [`  and ${formatCount(more)} more`] : []),
    ...result.warnings.flatMap((warning) => wrap(`warning: ${warning}`, columns, '  ')),
    '',
    ...field(
      'threads',
      `${result.threads} (${THREADS[result.order]})${result.processes > 1 ? ` in ${result.processes} processes (transport: process)` : ''} on ${result.cores} cores, latencies ${result.latencyScale === 0 ? 'off' : `× ${result.latencyScale} in real time`}`,
      columns,
    ),
    ...field('updates', updatesText(result), columns),
    ...field('measured', measuredText(result), columns),
    ...field('rate', rateText(result.rate), columns),
    ...(result.rateAlone === null ? [] : field('', rateText(result.rateAlone), columns)),
    ...field(
      'writes',
      `${formatCount(writes.trapped)} trapped, ${formatCount(writes.retired)} retired in the measured phase, ${formatCount(writes.refused)} refused`,
      columns,
    ),
    ...field(
      'fetches',
      `${formatCount(fetches.total)} words, ${formatCount(fetches.local)} lines from local memory${fetches.remote > 0 ? `, ${formatCount(fetches.remote)} from node 0's` : ''}; all vCPUs of a node together executed for ${(100 * result.dutyOfRealTime).toFixed(1)} % of real time`,
      columns,
    ),
    ...field('held', proof, columns),
    ...guarantee.refuted.flatMap(({ level, message }) => field('refuted', `${level}: ${message}`, columns)),
    ...field(
      'history',
      `${formatCount(history.recorded)} fetches of words being written on record, ${formatCount(history.dropped)} checked as they happened and dropped`,
      columns,
    ),
    ...field('rules', `held, with the number of tests: ${held.join(', ')}`, columns),
    ...field('cells', `${formatCount(result.cells.read)} read while being written, ${result.cells.torn} torn`, columns),
    ...(result.faults.length === 0 ? [] : ['', 'Faults', ...bullets(result.faults.map(faultText), columns)]),
    '',
    'Assumed',
    ...bullets(result.assumptions, columns),
  ];
};
