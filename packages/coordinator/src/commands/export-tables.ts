import { join } from 'node:path';
import { hex } from '@numalab/base';
import { buildSpecWithTables, nodeTablesAt, segmentBytes, tablePages, tableSegments } from '../machine/node-tables.ts';
import { displayPath } from '../scenario/files.ts';
import type { Scenario } from '../scenario/scenario.ts';
import { type CommandContext, EXIT_INTERRUPTED, EXIT_PASS } from './context.ts';
import type { ExportOptions } from './options.ts';
import { OutputFolder } from './output-folder.ts';

/** `export-tables SCENARIO`: a node's stage-2 tables as raw memory. Returns the exit code; throws InputError. */
export const exportTablesCommand = async (
  scenario: Scenario,
  options: ExportOptions,
  context: CommandContext,
): Promise<number> => {
  const { node, out, at, seed } = options;
  const prepared = buildSpecWithTables(scenario, seed);
  // Before a run that may take long, and after all that bad input can be refused for.
  const folder = new OutputFolder('--out', out);
  const found = await nodeTablesAt(prepared, node, at, () => context.signal);
  if (found === null) return EXIT_INTERRUPTED;
  const { config } = found.tables;
  const pages = tablePages(found);
  const segments = tableSegments(pages, config.granule.bytes);
  const described = {
    vtcr_el2: hex(config.vtcr),
    vttbr_el2: hex(config.vttbr),
    granule: config.granule.name,
    ipaBits: config.ipaBits,
    lpa2: scenario.machine.stage2.lpa2,
    segments: segments.map(({ pa, bytes }, index) => ({ pa: hex(pa), file: `seg-${index}.bin`, bytes })),
  };
  for (const [index, segment] of segments.entries()) {
    folder.write(`seg-${index}.bin`, segmentBytes(found.memory, segment));
  }
  // Last, so that a folder with a stage2.json is complete.
  folder.write('stage2.json', `${JSON.stringify(described, null, 2)}\n`);
  if (options.json) context.printJson(described);
  else if (!options.quiet) {
    const count = `${pages.length} table pages of ${config.granule.name} in ${segments.length} segments`;
    context.print(`${displayPath(join(out, 'stage2.json'))}: node ${node}, ${count}, VTTBR_EL2 ${described.vttbr_el2}`);
  }
  return EXIT_PASS;
};
