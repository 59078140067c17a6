import { assert, Random } from '@numalab/base';
import { type FaultPlan, type FaultSpec, POINT_FAULTS } from '@numalab/interconnect';
import { faultShape, faultSpec } from '../scenario/resolve-faults.ts';
import type { Fault, Scenario } from '../scenario/scenario.ts';

/** Nothing breaks later than this after the duration, unless a fault says so: the rest of the run is for converging. */
const HEAL_AFTER_PS = 2e9;

/** What ends later is there for good. */
const NEVER_ENDS_PS = 1e15;

/** A fault that happens at one moment: where and when, from its own stream, if it does not say. Null: by chance, never. */
const settle = (fault: FaultSpec, nodes: number, durationPs: number, seed: number): FaultSpec | null => {
  if (!POINT_FAULTS.has(fault.kind)) return fault;
  const random = new Random(seed, `fault ${fault.name}: place`);
  const [isHit, drawnNode, moment] = [random.next() < fault.chance, random.below(nodes), random.next()];
  // Node 0 holds what the kernel itself cannot do without.
  const node = fault.losesMemory && drawnNode === 0 ? 1 : drawnNode;
  const placed = { ...fault, node: fault.node < 0 ? node : fault.node };
  if (fault.atPs >= 0 || fault.nth > 0) return placed;
  const to = Math.min(fault.toPs, Math.max(durationPs, fault.fromPs + 1));
  const atPs = Math.floor(fault.fromPs + (moment / 2 ** 32) * (to - fault.fromPs));
  if (fault.chance < 0) return { ...placed, atPs };
  return isHit ? { ...placed, atPs, chance: -1 } : null;
};

const endOf = ({ atPs, spanPs, toPs }: FaultSpec): number =>
  Math.max(atPs + spanPs, toPs === Number.MAX_SAFE_INTEGER ? 0 : toPs);

/**
 * What `faults` come to in a run of `scenario` with `seed`; null if there are none. Every choice comes from the fault's own
 * stream: with one fault left out the others stay as they are.
 */
export const faultPlan = (scenario: Scenario, faults: readonly Fault[], seed: number): FaultPlan | null => {
  if (faults.length === 0) return null;
  const shape = faultShape(scenario);
  const { durationPs } = scenario.workload;
  const seen = new Map<string, number>();
  const planned: FaultSpec[] = [];
  for (const fault of faults) {
    const spec = faultSpec(fault, shape, (key, message) => assert(false, `${key}: ${message}`) as never);
    // Two faults that say the same are still two.
    const count = (seen.get(spec.name) ?? 0) + 1;
    seen.set(spec.name, count);
    const settled = settle(
      count === 1 ? spec : { ...spec, name: `${spec.name} (${count})` },
      shape.nodes,
      durationPs,
      seed,
    );
    // What chance spares stays in the plan, so that a report can say that it did not happen.
    planned.push(settled ?? { ...spec, atPs: Number.MAX_SAFE_INTEGER, chance: -1 });
  }
  let healPs = durationPs + HEAL_AFTER_PS;
  for (const fault of planned) {
    const end = endOf(fault);
    if (end < NEVER_ENDS_PS) healPs = Math.max(healPs, end);
  }
  return { faults: planned, healPs };
};
