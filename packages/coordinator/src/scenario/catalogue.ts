import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folder of the scenarios that come with numalab. */
export const SCENARIO_FOLDER: string = fileURLToPath(new URL('../../../../scenarios', import.meta.url));

/** Ids of the built-in scenarios, sorted: the YAML files in their folder. */
export const builtinScenarioIds = (): string[] =>
  readdirSync(SCENARIO_FOLDER)
    .filter((name) => name.endsWith('.yaml'))
    .map((name) => name.slice(0, -'.yaml'.length))
    .sort();

/** The file of a built-in scenario, or undefined if there is none of that id. */
export const builtinScenarioFile = (id: string): string | undefined =>
  builtinScenarioIds().includes(id) ? join(SCENARIO_FOLDER, `${id}.yaml`) : undefined;
