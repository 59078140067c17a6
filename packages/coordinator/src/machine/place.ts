import { displayPath } from '../scenario/files.ts';
import type { Scenario } from '../scenario/scenario.ts';

/**
 * How a message about a field of a loaded scenario begins: with the option that set it, else with the file; then the field.
 * Something about it may follow after a colon.
 */
export const fieldOf = (scenario: Pick<Scenario, 'file' | 'name' | 'options'>, field: string): string => {
  const end = field.indexOf(':');
  const path = end < 0 ? field : field.slice(0, end);
  const option = scenario.options.findLast((set) => set.field === path || path.startsWith(`${set.field}.`));
  if (option !== undefined)
    return option.field === path ? `${option.label}${field.slice(path.length)}` : `${option.label}: ${field}`;
  return `${scenario.file === null ? scenario.name : displayPath(scenario.file)}: ${field}`;
};
