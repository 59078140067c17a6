import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { InputError } from '@numalab/base';
import { OutputFolder } from '../commands/output-folder.ts';
import type { RunResult } from '../result/run-result.ts';
import { scenarioYaml } from '../scenario/describe.ts';
import { loadScenario } from '../scenario/load.ts';
import type { Scenario } from '../scenario/scenario.ts';
import { buildVersion } from '../version.ts';

/** Layout of a run's folder. Another one is refused. */
const FORMAT = 1;

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

/** Makes the folder of a run: its scenario with all that it depends on, its result and its record. Throws InputError. */
export const writeRunFolder = (option: string, path: string, scenario: Scenario, result: RunResult): void =>
  writeRecord(new OutputFolder(option, path), scenario, result);

const isRecord = (value: unknown): value is RunRecord => {
  const { version, seed, digest } = (value ?? {}) as Partial<RunRecord>;
  return typeof version === 'string' && Number.isSafeInteger(seed) && typeof digest === 'string';
};

/** Reads the record of a run's folder and its scenario. Throws InputError for what is no such folder, or is damaged. */
export const readRunFolder = (path: string): { readonly record: RunRecord; readonly scenario: Scenario } => {
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
