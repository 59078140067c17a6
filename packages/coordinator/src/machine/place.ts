import { displayPath } from '../scenario/files.ts';
import type { Scenario } from '../scenario/scenario.ts';

/** How a message about a field of a loaded scenario begins: file, then field. */
export const fieldOf = (scenario: Pick<Scenario, 'file' | 'name'>, field: string): string =>
  `${scenario.file === null ? scenario.name : displayPath(scenario.file)}: ${field}`;
