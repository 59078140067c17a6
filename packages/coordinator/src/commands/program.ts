import { InputError, LostError } from '@numalab/base';
import { Command, CommanderError, Option } from 'commander';
import { VERSION } from '../version.ts';
import { type CommandContext, EXIT_BUG, EXIT_INPUT, EXIT_INTERRUPTED, EXIT_PASS } from './context.ts';
import {
  addMachineOptions,
  checkMachineOptions,
  type ExportOptions,
  loadOptionsOf,
  type MachineOptions,
  type Runner,
  type RunOptions,
  type TranslateOptions,
  wholeNumber,
} from './options.ts';
import { addCampaign } from './program-campaign.ts';
import { addHunt } from './program-hunt.ts';
import { addShrink } from './program-shrink.ts';
import { addTrace } from './program-trace.ts';

const LAST_NODE = 127;

/** Checks options and loads the scenario, for a command that boots a machine. */
const prepare = async (
  reference: string,
  options: MachineOptions,
  modes?: readonly string[],
): Promise<import('../scenario/scenario.ts').Scenario> => {
  checkMachineOptions(options, modes);
  const { loadScenario } = await import('../scenario/load.ts');
  return loadScenario(reference, loadOptionsOf(options));
};

const checkNode = (node: number, nodes: number): void => {
  if (node >= nodes) throw new InputError('--node', `${node} is beyond the last of ${nodes} nodes, ${nodes - 1}`);
};

const addRun = (program: Command, run: Runner): void => {
  addMachineOptions(program.command('run'))
    .description('one run of a scenario, and its report')
    .argument('[scenario]', 'file, or id of a built-in scenario', 'default')
    .option('--out <dir>', 'write the trace and files there')
    .option('--dump-text <dir>', 'write node-N.bin, the kernel text as each node sees it at the end')
    .option('--casemate <dir>', 'write each node’s table operations as a casemate trace')
    .action((reference: string, options: RunOptions) =>
      run(async (context) => {
        const scenario = await prepare(reference, options, ['sim', 'live']);
        if (options.mode === 'live') {
          const { runLiveCommand } = await import('./run-live.ts');
          return runLiveCommand(scenario, options, context);
        }
        const { runCommand } = await import('./run.ts');
        return runCommand(scenario, options, context);
      }),
    );
};

const addReplay = (program: Command, run: Runner): void => {
  program
    .command('replay')
    .description(
      'runs the run of a folder again and compares digests; of a live run, its recorded order in virtual time',
    )
    .argument('<dir>', 'folder of run --out, or of a failure of hunt')
    .option('--from-live', 'of a live run: feed its order to the simulator and compare what both left', false)
    .option('--seed <n>', 'with --from-live: seed of every random choice', wholeNumber(0, Number.MAX_SAFE_INTEGER), 1)
    .option('--json', 'print one JSON document', false)
    .action((directory: string, options) =>
      run(async (context) => {
        if (!options.fromLive) return (await import('./replay.ts')).replayCommand(directory, options, context);
        const { replayFromLiveCommand } = await import('./replay-from-live.ts');
        return replayFromLiveCommand(directory, options, context);
      }),
    );
};

const nodeOption = (): Option =>
  new Option('--node <n>', 'whose tables').argParser(wholeNumber(0, LAST_NODE)).makeOptionMandatory();
const atOption = (): Option =>
  new Option('--at <when>', 'tables of which moment').choices(['boot', 'end']).default('boot');

const addTables = (program: Command, run: Runner): void => {
  addMachineOptions(program.command('export-tables'))
    .description('a node’s stage-2 tables as raw memory')
    .argument('<scenario>', 'file, or id of a built-in scenario')
    .addOption(nodeOption())
    .requiredOption('--out <dir>', 'folder for stage2.json and the segments; it is made')
    .addOption(atOption())
    .action((reference: string, options: ExportOptions) =>
      run(async (context) => {
        const scenario = await prepare(reference, options);
        checkNode(options.node, scenario.machine.nodes);
        const { exportTablesCommand } = await import('./export-tables.ts');
        return exportTablesCommand(scenario, options, context);
      }),
    );
  addMachineOptions(program.command('translate'))
    .description('translates IPAs (hex, one a line on standard input) by a node’s stage-2 tables')
    .argument('<scenario>', 'file, or id of a built-in scenario')
    .addOption(nodeOption())
    .addOption(new Option('--access <kind>', 'kind of access').choices(['read', 'write']).default('read'))
    .addOption(atOption())
    .action((reference: string, options: TranslateOptions) =>
      run(async (context) => {
        const scenario = await prepare(reference, options);
        checkNode(options.node, scenario.machine.nodes);
        const { translateCommand } = await import('./translate.ts');
        return translateCommand(scenario, options, context);
      }),
    );
};

const addInspection = (program: Command, run: Runner): void => {
  program
    .command('kernel')
    .description('what is in an arm64 kernel Image: regions, symbols, patch sites')
    .argument('<image>', 'Image (raw, gzip, zboot) or vmlinux')
    .option('--map <file>', 'System.map of the same build')
    .option('--json', 'print one JSON document', false)
    .action((image: string, options) =>
      run(async (context) => (await import('./kernel.ts')).kernelCommand(image, options, context)),
    );
  program
    .command('topology')
    .description('the distances of a machine and the nanoseconds they come to; without SOURCE: what is built in')
    .argument('[source]', 'built-in machine, or file (numactl --hardware, ACPI SLIT, matrix)')
    .option('--nodes <n>', 'with this many nodes', wholeNumber(1, LAST_NODE + 1))
    .option('--profile <name>', 'latency profile')
    .option('--json', 'print one JSON document', false)
    .action((source: string | undefined, options) =>
      run(async (context) => (await import('./topology.ts')).topologyCommand(source, options, context)),
    );
};

const addCatalogues = (program: Command, run: Runner): void => {
  const collect = (value: string, previous: readonly string[]): readonly string[] => [...previous, value];
  const scenarios = program
    .command('scenarios')
    .description('the built-in scenarios')
    .option('--json', 'print one JSON document', false)
    .action((options) => run(async (context) => (await import('./scenarios.ts')).scenariosCommand(options, context)));
  scenarios
    .command('show')
    .description('a scenario with all its defaults')
    .argument('<scenario>', 'file, or id of a built-in scenario')
    .option('--set <path=value>', 'change it, such as machine.nodes=8 (repeatable)', collect, [])
    .option('--protocol <name|file>', 'update protocol, instead of the scenario’s')
    .option('--json', 'print one JSON document', false)
    .action((reference: string, options) =>
      run(async (context) => (await import('./scenarios.ts')).showScenarioCommand(reference, options, context)),
    );
  program
    .command('protocols')
    .description('the built-in update protocols')
    .option('--json', 'print one JSON document', false)
    .action((options) => run(async (context) => (await import('./protocols.ts')).protocolsCommand(options, context)));
  program
    .command('bugs')
    .description('the known bugs that --bug switches on')
    .option('--measure', 'hunt each with each scheduler, and count false alarms in seeds without a bug', false)
    .option('--clean <n>', 'with --measure: seeds without a bug (default: 100,000)', wholeNumber(0, 1_000_000_000))
    .option('--first <seed>', 'with --measure: the first of them (default: 1)', wholeNumber(1, 1e15))
    .option('--jobs <n>', 'with --measure: threads (default: cores)', wholeNumber(1, 1024))
    .option('--out <file>', 'with --measure: file for the table, as Markdown')
    .option('--json', 'print one JSON document', false)
    .action((options) => run(async (context) => (await import('./bugs.ts')).bugsCommand(options, context)));
};

/** Settings that subcommands copy from their parent when they are made, so they come first. */
const newProgram = (): Command =>
  new Command('numalab')
    .description('A laboratory for per-node kernel text replication under stage-2 translation on arm64')
    .version(VERSION)
    .exitOverride()
    .enablePositionalOptions()
    .showSuggestionAfterError()
    .configureOutput({ writeErr: () => undefined });

const oneLine = (message: string): string => message.replace(/\s*\n\s*/g, ' ').trim();

/** Says what went wrong, and returns the exit code for it. */
const report = (error: unknown, context: CommandContext): number => {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return EXIT_PASS;
    // `help X` for an X that there is not ends in this code without a message of its own.
    const message = error.code === 'commander.help' ? 'unknown command; see numalab --help' : error.message;
    context.note(oneLine(message.replace(/^error: /, '')));
    return EXIT_INPUT;
  }
  if (error instanceof InputError) {
    context.note(oneLine(error.message));
    return EXIT_INPUT;
  }
  if (error instanceof LostError) {
    context.note(oneLine(error.message));
    return EXIT_BUG;
  }
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  context.note(`this is a bug in numalab:\n${text}`);
  return EXIT_BUG;
};

/** Runs the command line `args` (without node and script). Returns the exit code; never throws. */
export const main = async (args: readonly string[], context: CommandContext): Promise<number> => {
  let code = EXIT_PASS;
  const program = newProgram();
  const run: Runner = async (verb) => {
    code = await verb(context);
  };
  addRun(program, run);
  addReplay(program, run);
  addHunt(program, run);
  addTrace(program, run);
  addShrink(program, run);
  addCampaign(program, run);
  addTables(program, run);
  addInspection(program, run);
  addCatalogues(program, run);
  try {
    if (args.length === 0) program.outputHelp();
    else await program.parseAsync([...args], { from: 'user' });
  } catch (error) {
    code = report(error, context);
  }
  return context.interrupted ? EXIT_INTERRUPTED : code;
};
