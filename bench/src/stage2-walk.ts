import { bootNodeTables, buildSpec, loadScenario } from '@numalab/coordinator';
import { ACCESS_READ } from '@numalab/machine';
import { layOut } from '@numalab/node-worker';
import type { Figure } from './figure.ts';
import { BATCH, measureOperation } from './operation.ts';

/**
 * A walk of a node's stage-2 tables from the root, without any cache: four levels down to 4 KiB pages. The same with 64-bit
 * descriptors as BigInt took 480 to 690 ns, with a `{lo, hi}` object per descriptor 118 to 378 ns.
 */
export const stage2Walk = (): Promise<Figure> => {
  const set = ['machine.stage2.ipaBits=44', 'machine.stage2.population=eager'];
  const { spec } = buildSpec(loadScenario('default', { set }), 1);
  const { walker } = bootNodeTables(spec, 1).tables;
  const layout = layOut(spec);
  const first = layout.imageIpa + layout.spanStart;
  const span = layout.spanEnd - layout.spanStart;
  let levels = 0;
  const batch = (): number => {
    let sum = 0;
    for (let i = 0; i < BATCH; i++) {
      if (walker.walk(first + ((i * 69_632) % span), ACCESS_READ) === 0) sum += walker.reads;
    }
    levels = sum / BATCH;
    return sum;
  };
  batch();
  const note = `over the replicated text, ${levels.toFixed(2)} descriptors on average`;
  return measureOperation('stage-2 walk', note, batch);
};
