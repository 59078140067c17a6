/**
 * Builds the memory of every node of a scenario: its copy of the text and its stage-2 tables. Prints what that took as JSON.
 * A process of its own, so that nothing else counts as resident: `node build-large-memory.ts large-memory`.
 */
import { bootNodeTables, buildSpec, loadScenario, tablePages } from '@numalab/coordinator';
import { GRANULES, NodeMemory, Stage2Walker } from '@numalab/machine';
import { imageWords, layOut } from '@numalab/node-worker';

/** What {@link file} prints. */
export interface Measured {
  readonly buildMs: number;
  readonly maxRssBytes: number;
  readonly replicaBytes: number;
  /** Reachable table pages of each node. */
  readonly tablePages: readonly number[];
  readonly reservedPages: number;
  /** What EL2 takes of each node for them. */
  readonly poolBytes: number;
  /** Bytes of all leaves of the first and the last node by size of leaf, contiguous groups being one. */
  readonly leaves: readonly Readonly<Record<string, number>>[];
}

const measure = (reference: string): Measured => {
  const { spec } = buildSpec(loadScenario(reference), 1);
  const layout = layOut(spec);
  const started = performance.now();
  const words = imageWords(spec, layout);
  const nodes = Array.from({ length: spec.nodes }, (_, node) => {
    const built = bootNodeTables(spec, node);
    if (built.memory instanceof NodeMemory) built.memory.addText(layout.copyPa[node]!, words);
    return built;
  });
  const buildMs = performance.now() - started;
  const leavesOf = ({ memory, tables }: (typeof nodes)[number]): Record<string, number> => {
    const walker = new Stage2Walker(memory, tables.config);
    const page = GRANULES[spec.granule].bytes;
    const bytes: Record<string, number> = {};
    for (let ipa = 0; ipa < spec.base + spec.nodes * spec.memoryPerNode; ) {
      const mapped = walker.walk(ipa, 0) === 0;
      // Where nothing is mapped, go on at the end of the entry that says so.
      const size = mapped ? walker.leafBytes : page * GRANULES[spec.granule].entries ** (3 - walker.level);
      const step = size - (ipa % size);
      const key = mapped ? String(size) : 'unmapped';
      bytes[key] = (bytes[key] ?? 0) + step;
      ipa += step;
    }
    return bytes;
  };
  return {
    buildMs,
    maxRssBytes: process.resourceUsage().maxRSS * 1024,
    replicaBytes: (spec.nodes - 1) * words.byteLength,
    tablePages: nodes.map((node) => tablePages(node).length),
    reservedPages: layout.poolPages,
    poolBytes: layout.poolBytes,
    leaves: [nodes[0]!, nodes.at(-1)!].map(leavesOf),
  };
};

process.stdout.write(`${JSON.stringify(measure(process.argv[2] ?? 'large-memory'))}\n`);
