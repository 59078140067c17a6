import { InputError } from '@numalab/base';
import type { Verdict } from '@numalab/checkers';
import { campaign } from '../campaign/campaign.ts';
import type { CampaignResult } from '../campaign/campaign-result.ts';
import { campaignLines } from '../campaign/campaign-text.ts';
import { junitXml } from '../campaign/junit.ts';
import { matrix } from '../campaign/matrix.ts';
import { CampaignMetrics, serveMetrics } from '../campaign/metrics.ts';
import { markdownSummary } from '../campaign/summary.ts';
import { campaignProgressLine } from './campaign-progress.ts';
import { type CommandContext, EXIT_BUG, EXIT_FAIL, EXIT_INTERRUPTED, EXIT_PASS, EXIT_UNKNOWN } from './context.ts';
import { commandLog } from './log.ts';
import { type CampaignCommandOptions, settingsOf } from './options.ts';
import { OutputFolder, writeOutputFile } from './output-folder.ts';

const EXIT_OF: Readonly<Record<Verdict, number>> = { pass: EXIT_PASS, fail: EXIT_FAIL, unknown: EXIT_UNKNOWN };

const exitCode = ({ runs, verdict, interrupted }: CampaignResult): number => {
  if (runs.error > 0) return EXIT_BUG;
  // What was cut off without a signal, because a worker gave up, say, is not known.
  return interrupted && verdict === 'pass' ? EXIT_UNKNOWN : EXIT_OF[verdict];
};

const checkOptions = ({ redis, jobs }: CampaignCommandOptions): void => {
  if (redis !== undefined && jobs !== undefined) {
    throw new InputError('--jobs', 'is for campaigns without --redis; numalab worker has a --jobs of its own');
  }
};

const writeFiles = (result: CampaignResult, options: CampaignCommandOptions, folder: OutputFolder | null): void => {
  if (options.junit !== undefined) writeOutputFile('--junit', options.junit, junitXml(result));
  if (options.summary !== undefined) writeOutputFile('--summary', options.summary, markdownSummary(result));
  folder?.write('summary.md', markdownSummary(result));
  folder?.write('result.json', `${JSON.stringify(result, null, 2)}\n`);
};

/** `campaign [SCENARIO…] --seeds A..B`. Returns the exit code; throws InputError. */
export const campaignCommand = async (
  references: readonly string[],
  options: CampaignCommandOptions,
  context: CommandContext,
): Promise<number> => {
  // From here on a signal cuts the campaign off and what there is gets printed.
  const { signal } = context;
  checkOptions(options);
  const { seeds, faults, scheduler, out, redis, queue, jobs, lease, quiet } = options;
  const scenarios = matrix(references.length === 0 ? ['small'] : references, {
    protocols: options.protocol,
    topologies: options.topology,
    set: settingsOf(options),
    duration: options.duration,
  });
  const folder = out === undefined ? null : new OutputFolder('--out', out);
  const metrics = new CampaignMetrics();
  const log = commandLog(quiet ? 'error' : 'info');
  const server = await serveMetrics(metrics.registry, options.metricsHost, options.metricsPort, log);
  const line = campaignProgressLine(context, quiet);
  try {
    const result = await campaign(scenarios, {
      seeds,
      faults,
      scheduler,
      ...(out === undefined ? {} : { out }),
      ...(redis === undefined ? {} : { redis }),
      ...(jobs === undefined ? {} : { jobs }),
      ...(lease === undefined ? {} : { seedsPerLease: lease }),
      settings: [
        ...(options.duration === undefined ? [] : ['--duration', options.duration]),
        ...options.bug.flatMap((bug) => ['--bug', bug]),
        ...options.set.flatMap((set) => ['--set', set]),
      ],
      queue,
      signal,
      log,
      progress: (progress) => {
        line.update(progress);
        metrics.progress(progress);
      },
      counted: (_lease, outcome) => metrics.count(outcome),
    });
    line.end();
    const code = context.interrupted ? EXIT_INTERRUPTED : exitCode(result);
    context.setExitCode(code);
    writeFiles(result, options, folder);
    if (options.json) context.printJson(result);
    else context.print(...campaignLines(result, context.colors, quiet));
    return code;
  } finally {
    line.end();
    server?.close();
  }
};
