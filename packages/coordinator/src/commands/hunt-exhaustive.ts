import { InputError } from '@numalab/base';
import type { Verdict } from '@numalab/checkers';
import { PROTOCOLS } from '@numalab/protocols';
import { BUGS } from '../bugs/catalogue.ts';
import { loadProtocol } from '../engine/protocol-ref.ts';
import {
  checkScope,
  type Explored,
  type ExploredFailure,
  exploreProtocol,
  originsOf,
  type Scope,
  specOf,
} from '../explore/explore.ts';
import { exploreSessions } from '../explore/session-scope.ts';
import { buildSpec } from '../machine/build-spec.ts';
import { formatCount } from '../result/format.ts';
import { loadScenario } from '../scenario/load.ts';
import type { Scenario } from '../scenario/scenario.ts';
import { type CommandContext, EXIT_FAIL, EXIT_INTERRUPTED, EXIT_PASS, EXIT_UNKNOWN } from './context.ts';
import { type HuntCommandOptions, settingsOf } from './options.ts';

const EXIT_OF: Readonly<Record<Verdict, number>> = { pass: EXIT_PASS, fail: EXIT_FAIL, unknown: EXIT_UNKNOWN };

/** What `hunt --exhaustive --json` prints: `runs.total` counts orders in which everything can happen. */
export interface ExhaustiveResult {
  readonly scenario: string;
  readonly verdict: Verdict;
  readonly reason: string;
  readonly interrupted: boolean;
  readonly runs: { readonly total: number; readonly perSecond: number };
  /** As those of a hunt over seeds, but for the seed, which there is none of. */
  readonly failures: readonly (ExploredFailure & {
    readonly subject: string;
    readonly seed: null;
    readonly replay: string;
    readonly folder: null;
  })[];
  /** States that a crash leads to, by kind. */
  readonly faultsFired: Readonly<Record<string, number>>;
  readonly exhaustive: { readonly scope: Scope; readonly complete: boolean; readonly searches: readonly Explored[] };
  readonly wallMs: number;
}

/** Refuses what has no meaning without seeds. */
const refuseOthers = (options: HuntCommandOptions): void => {
  const given: readonly (readonly [string, boolean])[] = [
    ['--seeds', options.seeds !== undefined],
    ['--jobs', options.jobs !== undefined],
    ['--out', options.out !== undefined],
    ['--unrestricted', options.unrestricted],
    ['--duration', options.duration !== undefined],
    ['--faults', options.faults === 'swarm'],
    ['--scheduler', options.scheduler !== 'mixed'],
  ];
  for (const [flag, isGiven] of given) if (isGiven) throw new InputError(flag, 'has no meaning with --exhaustive');
};

const scopeOf = ({ crashes, faults, earlyTimers = 0, maxStates = 4_000_000 }: HuntCommandOptions): Scope => {
  if (faults === 'none' && (crashes ?? 0) > 0) throw new InputError('--crashes', 'excludes --faults none');
  return { crashes: crashes ?? (faults === 'none' ? 0 : 1), timers: 8, earlyTimers, maxStates };
};

/** The scenarios to search: one, or one for each protocol that is built in. */
const scenariosOf = (reference: string | undefined, options: HuntCommandOptions): readonly Scenario[] => {
  const { bug, protocol } = options;
  const entry = reference === undefined ? BUGS.find(({ id }) => id === bug[0]) : undefined;
  const set = [...(entry?.set ?? []), ...settingsOf(options)];
  const load = (name: string | undefined): Scenario =>
    loadScenario(reference ?? entry?.scenario ?? 'small', { set, protocol: name });
  const isOne = reference !== undefined || entry !== undefined || protocol !== undefined;
  const chosen = options.set.some((word) => word.startsWith('replication.protocol='));
  if (isOne || chosen) return [load(protocol)];
  return Object.keys(PROTOCOLS).map(load);
};

const percentless = (count: number): string =>
  count < 1e9 ? formatCount(Math.round(count)) : count.toExponential(2).replace('e+', 'e');

const coverage = ({ states, executions, complete, cut }: Explored): string =>
  `${formatCount(states)} states, ${percentless(executions)} orders, ${complete ? 'all covered' : `not all covered: ${cut}`}`;

const linesOf = (searched: Explored): string[] => {
  const { subject, declared, held, verdict, wallMs, transitions, localStates, eventsRun, depth, failures } = searched;
  const levels = declared === null ? '' : `, declares ${declared}, ${held ?? 'no level'} held`;
  const weaker = searched.refuted.find(() => failures.length === 0);
  return [
    `${verdict.toUpperCase()} ${subject}${levels}: ${coverage(searched)}`,
    `    ${formatCount(transitions)} transitions, the longest run ${depth} of them; ${formatCount(localStates)} states of single processes, for which real code ran ${formatCount(eventsRun)} times; ${(wallMs / 1000).toFixed(1)} s`,
    ...(weaker === undefined ? [] : [`    not ${weaker.level}: ${weaker.message}`]),
    ...failures.flatMap(({ cause, message, count, story }) => [
      '',
      `    ${message}`,
      `    (${cause.split(' ')[0]}, in ${formatCount(count)} states; the shortest way there:)`,
      ...story.map((line, i) => `    ${String(i + 1).padStart(3)}  ${line}`),
    ]),
    ...(failures.length > 0 ? [''] : []),
  ];
};

const reasonOf = (searches: readonly Explored[], interrupted: boolean): string => {
  const failed = searches.filter(({ verdict }) => verdict === 'fail').map(({ subject }) => subject);
  if (failed.length > 0) return `broken: ${failed.join(', ')}`;
  if (interrupted) return 'it was interrupted';
  const unknown = searches.filter(({ complete }) => !complete);
  if (unknown.length > 0) return unknown.map(({ subject, cut }) => `${subject}: ${cut}`).join('; ');
  return 'everything within the bounds was covered, and nothing is broken';
};

const resultOf = (
  scenarios: readonly Scenario[],
  scope: Scope,
  searches: readonly Explored[],
  wallMs: number,
  options: HuntCommandOptions,
  interrupted: boolean,
): ExhaustiveResult => {
  const total = searches.reduce((sum, { executions }) => sum + executions, 0);
  const isBroken = searches.some(({ verdict }) => verdict === 'fail');
  const complete = !interrupted && searches.every((searched) => searched.complete);
  const faultsFired: Record<string, number> = {};
  for (const { faults } of searches) {
    for (const [kind, count] of Object.entries(faults)) faultsFired[kind] = (faultsFired[kind] ?? 0) + count;
  }
  const settings = [...options.bug.map((id) => `--bug ${id}`), ...options.set.map((word) => `--set ${word}`)];
  // The session layer is searched with all that are built in.
  const ofProtocol = (subject: string): readonly string[] =>
    subject.startsWith('session') ? [] : [`--protocol ${options.protocol ?? subject}`];
  return {
    scenario: scenarios[0]!.name,
    verdict: isBroken ? 'fail' : complete ? 'pass' : 'unknown',
    reason: reasonOf(searches, interrupted),
    interrupted,
    runs: { total, perSecond: total / (wallMs / 1000) },
    failures: searches.flatMap(({ subject, failures }) =>
      failures.map((failure) => ({
        subject,
        ...failure,
        seed: null,
        replay: ['numalab hunt --exhaustive', ...ofProtocol(subject), ...settings].join(' '),
        folder: null,
      })),
    ),
    faultsFired,
    exhaustive: { scope, complete, searches },
    wallMs,
  };
};

/** `hunt --exhaustive [SCENARIO]`. Returns the exit code; throws InputError. */
export const exhaustive = async (
  reference: string | undefined,
  options: HuntCommandOptions,
  context: CommandContext,
): Promise<number> => {
  refuseOthers(options);
  const { signal } = context;
  const scope = scopeOf(options);
  const scenarios = scenariosOf(reference, options);
  for (const scenario of scenarios) checkScope(scenario);
  const started = performance.now();
  const base = buildSpec(scenarios[0]!, 1).spec;
  const searches: Explored[] = [];
  const add = (searched: Explored): void => {
    if (!options.json) {
      const bounds = searched.bounds.join('; ');
      if (!options.quiet && searches.at(-1)?.bounds.join('; ') !== bounds) context.print(`within: ${bounds}`, '');
      context.print(...(options.quiet ? linesOf(searched).slice(0, 1) : linesOf(searched)));
    }
    searches.push(searched);
  };
  for (const scenario of scenarios) {
    if (signal.aborted) break;
    const protocol = loadProtocol(scenario.replication.protocol);
    const spec = specOf(scenario, protocol, base);
    let last = performance.now();
    const searched = await exploreProtocol(spec, protocol, originsOf(scenario), scope, signal, (states) => {
      if (options.quiet || performance.now() - last < 2000) return;
      last = performance.now();
      context.note(`${protocol.name}: ${formatCount(states)} states`);
    });
    add(searched);
  }
  // A protocol of one's own, or a scenario, does not change what lies below.
  if (scenarios.length > 1 || options.bug.length > 0) {
    for (const searched of await exploreSessions(base.bugs, scope, signal)) add(searched);
  }
  const result = resultOf(scenarios, scope, searches, performance.now() - started, options, context.interrupted);
  const code = context.interrupted ? EXIT_INTERRUPTED : EXIT_OF[result.verdict];
  context.setExitCode(code);
  if (options.json) context.printJson(result);
  else context.print(...(options.quiet ? [] : ['']), `${result.verdict.toUpperCase()} ${result.reason}`);
  return code;
};
