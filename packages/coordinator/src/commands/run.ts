import type { Verdict } from '@numalab/checkers';
import picocolors from 'picocolors';
import { traceFolderOf, writeRecord } from '../hunt/run-folder.ts';
import { CasemateLogs } from '../result/casemate-logs.ts';
import { textAsSeen } from '../result/dump-text.ts';
import { type ReportContext, reportLines, verdictLine } from '../result/report-text.ts';
import type { RunResult } from '../result/run-result.ts';
import { checkCasemate, runWithMachine, type ScenarioRun } from '../result/run-scenario.ts';
import type { Scenario } from '../scenario/scenario.ts';
import { type CommandContext, EXIT_FAIL, EXIT_INTERRUPTED, EXIT_PASS, EXIT_UNKNOWN } from './context.ts';
import { checkProcesses, type RunOptions } from './options.ts';
import { OutputFolder } from './output-folder.ts';
import { Progress } from './progress.ts';
import { replayLine } from './replay-line.ts';

const EXIT_OF: Readonly<Record<Verdict, number>> = { pass: EXIT_PASS, fail: EXIT_FAIL, unknown: EXIT_UNKNOWN };
const REPORT_COLUMNS = 80;

/** The folders that options ask for, made before the run begins. */
interface Folders {
  readonly out: OutputFolder | null;
  readonly text: OutputFolder | null;
  readonly casemate: OutputFolder | null;
}

const makeFolders = ({ out, dumpText, casemate }: RunOptions): Folders => {
  const make = (option: string, path: string | undefined, first: string): OutputFolder | null => {
    if (path === undefined) return null;
    const folder = new OutputFolder(option, path);
    folder.probe(first);
    return folder;
  };
  return {
    out: make('--out', out, 'report.txt'),
    text: make('--dump-text', dumpText, 'node-0.bin'),
    casemate: make('--casemate', casemate, 'node-0.log'),
  };
};

const writeFiles = (
  folders: Folders,
  { result, prepared, judged }: ScenarioRun,
  context: ReportContext,
  logs: CasemateLogs | null,
): void => {
  const { nodes } = judged.raw;
  for (const { id } of nodes) folders.text?.write(`node-${id}.bin`, textAsSeen(prepared, nodes, id));
  for (const [node, text] of logs?.texts() ?? []) folders.casemate?.write(`node-${node}.log`, text);
  const { out } = folders;
  if (out === null) return;
  const plain = { ...context, colors: picocolors.createColors(false), columns: REPORT_COLUMNS };
  out.write('report.txt', `${reportLines(result, plain).join('\n')}\n`);
  writeRecord(out, context.scenario, result);
};

const print = (result: RunResult, report: ReportContext, options: RunOptions, context: CommandContext): void => {
  if (options.json) context.printJson(result);
  else if (options.quiet) context.print(verdictLine(result, report));
  else context.print(...reportLines(result, report));
};

/** `run [SCENARIO]`: one run and its report. Returns the exit code; throws InputError. */
export const runCommand = async (scenario: Scenario, options: RunOptions, context: CommandContext): Promise<number> => {
  const { seed, placement } = options;
  checkProcesses(options, scenario.machine.nodes);
  // From here on a signal cuts the run off and what there is gets printed.
  const { signal } = context;
  if (options.casemate !== undefined) checkCasemate(scenario, placement);
  const folders = makeFolders(options);
  const logs = folders.casemate === null ? null : new CasemateLogs();
  const progress = new Progress(context, options.quiet);
  const run = await runWithMachine(scenario, {
    seed,
    placement,
    threads: options.threads ?? null,
    processes: options.processes ?? null,
    ownHypervisor: options.hypervisor === 'own',
    signal,
    begins: (part) => progress.begin(part === 'scenario' ? scenario.name : `${scenario.name}, without replication`),
    progress: (virtualPs) => progress.update(virtualPs, scenario.workload.durationPs),
    ...(options.out === undefined ? {} : { trace: traceFolderOf('--out', options.out) }),
    ...(logs === null ? {} : { watcherOf: logs.watcherOf }),
  });
  progress.end();
  const { colors, columns } = context;
  const report = { scenario, image: run.prepared.image, replay: replayLine(scenario, options), colors, columns };
  const code = context.interrupted ? EXIT_INTERRUPTED : EXIT_OF[run.result.verdict];
  context.setExitCode(code);
  writeFiles(folders, run, report, logs);
  print(run.result, report, options, context);
  return code;
};
