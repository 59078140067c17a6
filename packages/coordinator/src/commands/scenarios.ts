import { readFileSync } from 'node:fs';
import { builtinScenarioFile, builtinScenarioIds } from '../scenario/catalogue.ts';
import { describeScenario, scenarioYaml } from '../scenario/describe.ts';
import { displayPath } from '../scenario/files.ts';
import { loadScenario } from '../scenario/load.ts';
import { type CommandContext, EXIT_PASS } from './context.ts';
import { wrap } from './text.ts';

/** The built-in `live` switches latencies off, which virtual time refuses. */
const modeOf = (id: string): 'sim' | 'live' => (id === 'live' ? 'live' : 'sim');

interface ScenarioEntry {
  readonly id: string;
  readonly file: string;
  readonly description: string;
  readonly nodes: number;
  readonly coresPerNode: number;
}

/** The comment at the head of a scenario file, without the line for editors, as one line. */
const headComment = (file: string): string => {
  const lines = readFileSync(file, 'utf8').split('\n').slice(1);
  const end = lines.findIndex((line) => !line.startsWith('#'));
  return lines
    .slice(0, end)
    .map((line) => line.replace(/^#\s?/, '').trim())
    .join(' ');
};

const entryOf = (id: string): ScenarioEntry => {
  const file = builtinScenarioFile(id) ?? id;
  const { machine } = loadScenario(id, { mode: modeOf(id), checkFiles: false });
  return {
    id,
    file: displayPath(file),
    description: headComment(file),
    nodes: machine.nodes,
    coresPerNode: machine.coresPerNode,
  };
};

/** `scenarios`: what is built in. Returns the exit code. */
export const scenariosCommand = (options: { readonly json: boolean }, context: CommandContext): number => {
  const entries = builtinScenarioIds().map(entryOf);
  if (options.json) {
    context.printJson(entries);
    return EXIT_PASS;
  }
  const { bold, dim } = context.colors;
  for (const { id, description, nodes, coresPerNode } of entries) {
    context.print(`${bold(id.padEnd(18))}${dim(`${nodes} nodes × ${coresPerNode} cores`)}`);
    context.print(...wrap(description, context.columns - 4).map((line) => `    ${line}`));
  }
  return EXIT_PASS;
};

/** `scenarios show SCENARIO`: the scenario with all defaults. Returns the exit code; throws InputError. */
export const showScenarioCommand = (
  reference: string,
  options: { readonly json: boolean; readonly set: readonly string[]; readonly protocol?: string },
  context: CommandContext,
): number => {
  const scenario = loadScenario(reference, {
    mode: modeOf(reference),
    set: options.set,
    protocol: options.protocol,
    checkFiles: false,
  });
  if (options.json) context.printJson(describeScenario(scenario));
  else context.print(scenarioYaml(scenario).trimEnd());
  return EXIT_PASS;
};
