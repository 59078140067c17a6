import { type Command, Option } from 'commander';
import { SCHEDULERS } from '../scenario/draw-schedule.ts';
import {
  type CampaignCommandOptions,
  commaList,
  type Runner,
  seedRange,
  type WorkerCommandOptions,
  wholeNumber,
} from './options.ts';

const LAST_PORT = 65_535;
const MOST_JOBS = 1024;

const addMetrics = (command: Command): Command =>
  command
    .option('--metrics-port <n>', 'serve metrics for Prometheus at /metrics of this port', wholeNumber(0, LAST_PORT))
    .option('--metrics-host <address>', 'address that metrics are served on', '127.0.0.1');

/** `campaign` and `worker`. */
export const addCampaign = (program: Command, run: Runner): void => {
  const collect = (value: string, previous: readonly string[]): readonly string[] => [...previous, value];
  const campaign = program
    .command('campaign')
    .description('a matrix of scenarios with a range of seeds, on all cores or on workers; resumable')
    .argument('[scenario...]', 'files, or ids of built-in scenarios (default: small)')
    .addOption(new Option('--seeds <range>', 'A..B, both ends included').argParser(seedRange).makeOptionMandatory())
    .option('--protocol <list>', 'each of these update protocols (a,b), instead of the scenario’s', commaList, [])
    .option('--topology <list>', 'each of these distances (a,b), instead of the scenario’s', commaList, [])
    .addOption(new Option('--faults <which>', 'faults drawn from the seed').choices(['none', 'swarm']).default('none'))
    .addOption(
      new Option('--scheduler <which>', 'whose turn it is: random (jitter alone), pct, starvation, or one by seed')
        .choices(SCHEDULERS)
        .default('random'),
    )
    .option('--bug <id>', 'switch on a known bug (repeatable)', collect, [])
    .option('--set <path=value>', 'change the scenarios, such as machine.nodes=8 (repeatable)', collect, [])
    .option('--duration <time>', 'how long to run, such as 2ms, instead of the scenario’s')
    .option('--out <dir>', 'journal, from which the campaign resumes, and result')
    .option('--junit <file>', 'write JUnit XML there')
    .option('--summary <file>', 'write a summary in Markdown there')
    .option('--redis <url>', 'have workers run it through this Redis')
    .option('--queue <name>', 'name of the queue in Redis', 'numalab')
    .option('--jobs <n>', 'threads (default: cores)', wholeNumber(1, MOST_JOBS))
    .option('--lease <n>', 'seeds in a lease (default: some 2 s of work)', wholeNumber(1, 1e9));
  addMetrics(campaign)
    .option('--json', 'print one JSON document', false)
    .option('--quiet', 'print less', false)
    .action((references: readonly string[], options: CampaignCommandOptions) =>
      run(async (context) => {
        const { campaignCommand } = await import('./campaign.ts');
        return campaignCommand(references, options, context);
      }),
    );
  const worker = program
    .command('worker')
    .description('runs leases of campaigns from a queue in Redis until it is stopped')
    .requiredOption('--redis <url>', 'redis://[user:password@]host[:port][/database], or rediss:// for TLS')
    .option('--queue <name>', 'name of the queue in Redis', 'numalab')
    .option('--jobs <n>', 'threads (default: cores)', wholeNumber(1, MOST_JOBS))
    .option('--lock <time>', 'how long a worker that is silent keeps a lease', '10s');
  addMetrics(worker)
    .option('--quiet', 'log less', false)
    .action((options: WorkerCommandOptions) =>
      run(async (context) => {
        const { workerCommand } = await import('./worker.ts');
        return workerCommand(options, context);
      }),
    );
};
