/** What `numalab protocols` says of the longest stall, against what is measured: every core touches the page all the time. */
import type { Step } from '@numalab/base';
import type { SyntheticWriter } from '@numalab/kernel';
import { ACCESS_EXECUTE } from '@numalab/machine';
import { PROTOCOLS } from '@numalab/protocols';
import { describe, expect, it } from 'vitest';
import { brokenRules, run, writers } from './machine.ts';

/** Between two touches of a core, and how long they go on: the last write is over, and its page copied, by then. */
const STEP_PS = 10_000;
const END_PS = 350e6;
const WRITES = 3;

/** The longest time between two touches by any core but the one that writes, beyond the step, in nanoseconds. */
const longestStall = async (protocol: string): Promise<number> => {
  let longest = 0;
  const judged = await run({
    protocol,
    set: [
      'machine.nodes=4',
      'machine.coresPerNode=4',
      'machine.memoryPerNode=2GiB',
      'workload.duty=0',
      'workload.probe=false',
      'workload.duration=20us',
      'interconnect.jitter=0',
      // So far apart that each finds the page mapped everywhere, and replicated again.
      writers(`{kind: synthetic, forms: [str_w], sites: 1, at: 20us, writes: ${WRITES}, rate: 10k/s, cpus: [0]}`),
    ],
    checks: { minEvidence: 0 },
    meddle: (machine) => {
      for (const node of machine.nodes) {
        const [place] = (node.spec.writers[0] as SyntheticWriter).places;
        const va = node.spec.kernel.linkVa + place!;
        for (const cpu of node.cpus.slice(node.id === 0 ? 1 : 0, 4)) {
          const touch = function* (): Step<void> {
            yield* node.mmu.access(cpu, va, ACCESS_EXECUTE);
            for (let last = cpu.time; cpu.time < END_PS; last = cpu.time) {
              yield STEP_PS;
              yield* node.mmu.access(cpu, va, ACCESS_EXECUTE);
              longest = Math.max(longest, cpu.time - last - STEP_PS);
            }
          };
          machine.startTask(node.id, cpu.core, touch, 0);
        }
      }
    },
  });
  expect(brokenRules(judged)).toEqual([]);
  expect(judged.raw.hypervisor.journal).toHaveLength(WRITES);
  return longest / 1000;
};

describe('the longest that a write keeps a core from executing', () => {
  it.each(Object.keys(PROTOCOLS))('under %s is what it says', async (protocol) => {
    const { stallNs } = PROTOCOLS[protocol]!.cost!;
    const measured = await longestStall(protocol);
    expect(measured).toBeLessThanOrEqual(stallNs!);
    expect(measured).toBeGreaterThanOrEqual(0.95 * stallNs!);
  });
});
