import { availableParallelism } from 'node:os';
import { hunt, loadScenario } from '@numalab/coordinator';
import type { Figure } from './figure.ts';

const SEEDS = 100_000;

/** Whole runs of the small scenario, one seed each, on all cores with swarm faults and all checks on. Throws if one fails. */
export const huntSpeed = async (): Promise<Figure> => {
  const { verdict, reason, runs } = await hunt(loadScenario('small'), {
    seeds: { from: 1, to: SEEDS },
  });
  if (verdict === 'fail') throw new Error(`hunt: ${reason}`);
  return {
    name: 'hunt',
    value: `${Math.round(runs.perSecond).toLocaleString('en')} runs/s`,
    target: '2,000',
    note: `${SEEDS.toLocaleString('en')} seeds of small with swarm faults, ${availableParallelism()} threads, their start included`,
  };
};
