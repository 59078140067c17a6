import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { InputError } from '@numalab/base';
import { OutputFolder } from '../commands/output-folder.ts';
import { MEMORY_FILE } from '../live/live-order-file.ts';
import type { RunResult } from '../result/run-result.ts';
import { runScenario } from '../result/run-scenario.ts';
import { scenarioYaml } from '../scenario/describe.ts';
import { loadScenario } from '../scenario/load.ts';
import type { Scenario } from '../scenario/scenario.ts';
import { makeTraceFolder } from '../trace/trace-folder.ts';
import { buildVersion } from '../version.ts';

/** Layout of a run's folder. Another one is refused. */
const FORMAT = 1;
/** Where in it the trace is. */
export const TRACE = 'trace';

/** What `run.json` holds: enough to know whether a run again was the same. */
export interface RunRecord {
  readonly format: number;
  /** The sources that ran it. */
  readonly version: string;
  readonly seed: number;
  readonly digest: string;
  readonly verdict: string;
}

/** What makes a folder one that `replay` takes: the record beside the scenario. */
export const writeRecord = (folder: OutputFolder, scenario: Scenario, result: RunResult): void => {
  const { seed, digest, verdict } = result;
  const record: RunRecord = { format: FORMAT, version: buildVersion(), seed, digest, verdict };
  folder.write('scenario.yaml', scenarioYaml(scenario));
  folder.write('result.json', `${JSON.stringify(result, null, 2)}\n`);
  // Last, so that a folder with a record is complete.
  folder.write('run.json', `${JSON.stringify(record, null, 2)}\n`);
};

/** Makes the folder that the trace of a run goes to, inside the run's, and takes away what an earlier run left there. */
export const traceFolderOf = (option: string, path: string): string => {
  const trace = resolve(path, TRACE);
  try {
    // A record from an earlier run would vouch for what is to come.
    rmSync(join(path, 'run.json'), { force: true });
    makeTraceFolder(trace);
  } catch (error) {
    throw new InputError(option, `${trace} cannot be written to (${(error as NodeJS.ErrnoException).code})`);
  }
  return trace;
};

/** A live run leaves no trace and no record, because it cannot be run again as it was. */
const refuseLive = (path: string): void => {
  if (existsSync(join(path, 'run.json')) || !existsSync(join(path, MEMORY_FILE))) return;
  throw new InputError(path, 'is the folder of a live run, which has its order alone: replay it with --from-live');
};

/** The trace in the folder of a run. Throws InputError if there is no such folder. */
export const traceOf = (path: string): string => {
  if (!existsSync(path)) throw new InputError(path, 'there is no such folder');
  refuseLive(path);
  if (!existsSync(join(path, TRACE)))
    throw new InputError(path, 'holds no trace: it is no folder of run --out or of a failure of hunt');
  return join(path, TRACE);
};

/**
 * Runs a scenario, and makes the folder of the run: its trace, the scenario with all that the run depends on, its result and
 * its record. Throws InputError.
 */
export const runIntoFolder = async (
  option: string,
  path: string,
  scenario: Scenario,
  seed: number,
): Promise<RunResult> => {
  const folder = new OutputFolder(option, path);
  const result = await runScenario(scenario, { seed, trace: traceFolderOf(option, path) });
  writeRecord(folder, scenario, result);
  return result;
};

const isRecord = (value: unknown): value is RunRecord => {
  const { version, seed, digest } = (value ?? {}) as Partial<RunRecord>;
  return typeof version === 'string' && Number.isSafeInteger(seed) && typeof digest === 'string';
};

/** Reads the record of a run's folder and its scenario. Throws InputError for what is no such folder, or is damaged. */
export const readRunFolder = (path: string): { readonly record: RunRecord; readonly scenario: Scenario } => {
  refuseLive(path);
  const file = join(path, 'run.json');
  let record: unknown;
  try {
    record = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new InputError(file, code === undefined ? 'is damaged: it is no JSON' : `cannot be read (${code})`);
  }
  const format = (record as { format?: unknown } | null)?.format;
  if (typeof format === 'number' && format !== FORMAT) {
    throw new InputError(file, `has format ${format}; this numalab reads ${FORMAT}`);
  }
  if (format !== FORMAT || !isRecord(record)) throw new InputError(file, 'is damaged: it is no record of a run');
  return { record, scenario: loadScenario(join(path, 'scenario.yaml')) };
};
