import { InputError } from '@numalab/base';
import type { Verdict } from '@numalab/checkers';
import { BUGS } from '../bugs/catalogue.ts';
import { type HuntResult, hunt } from '../hunt/hunt.ts';
import { formatCount } from '../result/format.ts';
import { loadScenario } from '../scenario/load.ts';
import { campaignProgressLine } from './campaign-progress.ts';
import { type CommandContext, EXIT_BUG, EXIT_FAIL, EXIT_INTERRUPTED, EXIT_PASS, EXIT_UNKNOWN } from './context.ts';
import { type HuntCommandOptions, settingsOf } from './options.ts';
import { OutputFolder } from './output-folder.ts';

const EXIT_OF: Readonly<Record<Verdict, number>> = { pass: EXIT_PASS, fail: EXIT_FAIL, unknown: EXIT_UNKNOWN };

const FLAGS = { crashes: '--crashes', earlyTimers: '--early-timers', maxStates: '--max-states' } as const;

const codeOf = ({ runs, verdict, interrupted }: HuntResult): number => {
  if (runs.error > 0) return EXIT_BUG;
  return interrupted && verdict === 'pass' ? EXIT_UNKNOWN : EXIT_OF[verdict];
};

const linesOf = (result: HuntResult, quiet: boolean): string[] => {
  const { verdict, reason, runs, failures, faultsFired, marks, interrupted } = result;
  const cut = interrupted ? ' (interrupted)' : '';
  const head = `${verdict.toUpperCase()} ${formatCount(runs.total)} runs${cut}, ${formatCount(Math.round(runs.perSecond))}/s: ${reason}`;
  if (quiet) return [head];
  const found = failures.flatMap(({ cause, count, message, replay, folder }) => [
    '',
    `${formatCount(count)} × ${cause}`,
    `    ${message}`,
    `    ${folder === null ? replay : `numalab replay ${folder}`}`,
  ]);
  const fired = Object.entries(faultsFired).map(([kind, count]) => `${kind} ${formatCount(count)}`);
  const missed = Object.keys(marks).filter((name) => marks[name] === 0);
  return [
    head,
    ...found,
    ...(fired.length > 0 ? ['', `faults fired   ${fired.join(', ')}`] : []),
    ...(missed.length > 0 ? [`never reached  ${missed.join(', ')}`] : []),
  ];
};

/** `hunt [SCENARIO] --seeds A..B`. Returns the exit code; throws InputError. */
export const huntCommand = async (
  reference: string | undefined,
  options: HuntCommandOptions,
  context: CommandContext,
): Promise<number> => {
  // From here on a signal cuts the hunt off and what there is gets printed.
  const { signal } = context;
  const { seeds, faults, unrestricted, scheduler, jobs, out, quiet, json, bug, protocol, duration } = options;
  if (unrestricted && faults === 'none') throw new InputError('--unrestricted', 'excludes --faults none');
  if (seeds === undefined) throw new InputError('--seeds', 'is needed, unless --exhaustive goes without');
  const only = (['crashes', 'earlyTimers', 'maxStates'] as const).find((name) => options[name] !== undefined);
  if (only !== undefined) throw new InputError(FLAGS[only], 'is for --exhaustive');
  const settings = settingsOf(options);
  // A known bug shows in the scenario that its entry names.
  const entry = reference === undefined ? BUGS.find(({ id }) => id === bug[0]) : undefined;
  const set = [...(entry?.set ?? []), ...settings];
  const scenario = loadScenario(reference ?? entry?.scenario ?? 'small', { set, protocol, duration });
  if (out !== undefined) new OutputFolder('--out', out);
  const line = campaignProgressLine(context, quiet);
  try {
    const result = await hunt(scenario, {
      seeds,
      // What a bug does is to be seen, not what faults do.
      faults: unrestricted ? 'unrestricted' : (faults ?? (bug.length > 0 ? 'none' : 'swarm')),
      scheduler,
      ...(jobs === undefined ? {} : { jobs }),
      ...(out === undefined ? {} : { out }),
      settings: [
        ...(duration === undefined ? [] : ['--duration', duration]),
        ...bug.flatMap((id) => ['--bug', id]),
        ...[...(entry?.set ?? []), ...options.set].flatMap((word) => ['--set', word]),
      ],
      signal,
      progress: (progress) => line.update(progress),
    });
    line.end();
    const code = context.interrupted ? EXIT_INTERRUPTED : codeOf(result);
    context.setExitCode(code);
    if (json) context.printJson(result);
    else context.print(...linesOf(result, quiet));
    return code;
  } finally {
    line.end();
  }
};
