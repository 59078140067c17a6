import { InputError } from '@numalab/base';
import type { Verdict } from '@numalab/checkers';
import { MEMORY_FILE, ORDER_FILE, orderCsv, orderMemory } from '../live/live-order-file.ts';
import { liveReportLines, liveVerdictLine } from '../live/live-report-text.ts';
import { runLiveScenario } from '../live/live-result.ts';
import { scenarioYaml } from '../scenario/describe.ts';
import type { Scenario } from '../scenario/scenario.ts';
import { type CommandContext, EXIT_FAIL, EXIT_INTERRUPTED, EXIT_PASS, EXIT_UNKNOWN } from './context.ts';
import { checkProcesses, type RunOptions } from './options.ts';
import { OutputFolder } from './output-folder.ts';
import { Progress } from './progress.ts';

const EXIT_OF: Readonly<Record<Verdict, number>> = { pass: EXIT_PASS, fail: EXIT_FAIL, unknown: EXIT_UNKNOWN };
const REPORT_COLUMNS = 80;
const PS_PER_MS = 1e9;

const refuse = (options: RunOptions): void => {
  const has = (option: string, value: unknown): void => {
    if (value !== undefined) throw new InputError(option, 'is not for live');
  };
  has('--dump-text', options.dumpText);
  has('--casemate', options.casemate);
  has('--threads', options.threads);
};

/** `run [SCENARIO] --mode live`. Returns the exit code; throws InputError. */
export const runLiveCommand = async (
  scenario: Scenario,
  options: RunOptions,
  context: CommandContext,
): Promise<number> => {
  refuse(options);
  checkProcesses(options, scenario.machine.nodes);
  const { signal, columns } = context;
  const folder = options.out === undefined ? null : new OutputFolder('--out', options.out);
  folder?.probe('report.txt');
  const progress = new Progress(context, options.quiet);
  progress.begin(scenario.name);
  const { result, prepared, run } = await runLiveScenario(scenario, {
    seed: options.seed,
    ...(options.placement === 'cluster'
      ? { cluster: { processes: options.processes ?? null, ownHypervisor: options.hypervisor === 'own' } }
      : {}),
    signal,
    progress: (ms) => progress.update(ms * PS_PER_MS, scenario.workload.durationPs),
  });
  progress.end();
  const code = context.interrupted ? EXIT_INTERRUPTED : EXIT_OF[result.verdict];
  context.setExitCode(code);
  folder?.write('report.txt', `${liveReportLines(result, REPORT_COLUMNS).join('\n')}\n`);
  folder?.write('scenario.yaml', scenarioYaml(scenario));
  const order = folder === null || !run.rested ? null : orderCsv(prepared.spec, run);
  if (order !== null) {
    folder?.write(ORDER_FILE, order);
    folder?.write(MEMORY_FILE, JSON.stringify(orderMemory(run, result.verdict)));
  }
  folder?.write('result.json', `${JSON.stringify(result, null, 2)}\n`);
  if (options.json) context.printJson(result);
  else context.print(...(options.quiet ? [liveVerdictLine(result)] : liveReportLines(result, columns)));
  return code;
};
