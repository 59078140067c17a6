import { builtinTopology, Latencies, latencyProfile } from '@numalab/machine';
import type { MachineSpec } from '@numalab/node-worker';
import { describe, expect, it } from 'vitest';
import { dealProcesses, reachPs } from './deal.ts';

const spec = (nodes: number, more: Partial<MachineSpec> = {}): MachineSpec =>
  ({ nodes, serialisation: 'central', hypervisorNode: 0, ...more }) as MachineSpec;
const latencies = new Latencies(builtinTopology('kunpeng920', 4)!, latencyProfile('kunpeng')!);

describe('processes dealt over threads', () => {
  it('leave no thread without a node, and no two threads more than one node apart', () => {
    for (let nodes = 1; nodes <= 40; nodes++) {
      for (let threads = 1; threads <= nodes; threads++) {
        const owners = dealProcesses(spec(nodes), threads);
        const counts = Array.from({ length: threads }, (_, thread) =>
          owners.subarray(0, nodes).reduce((sum, owner) => sum + (owner === thread ? 1 : 0), 0),
        );
        expect(Math.min(...counts)).toBeGreaterThan(0);
        expect(Math.max(...counts) - Math.min(...counts)).toBeLessThan(2);
        expect([...owners.subarray(0, nodes)]).toEqual([...owners.subarray(0, nodes)].sort((x, y) => x - y));
      }
    }
  });

  it('leave the hypervisor with its node, or with the fewest if it moves', () => {
    expect([...dealProcesses(spec(4, { hypervisorNode: 3 }), 2)]).toEqual([0, 0, 1, 1, 1]);
    expect([...dealProcesses(spec(4, { hypervisorNode: 0, serialisation: 'lock' }), 3)]).toEqual([0, 0, 1, 2, 1]);
  });

  it('reach each other no sooner than the shortest way of messages, and themselves there and back', () => {
    const owners = dealProcesses(spec(4), 2);
    const [back, there, home] = reachPs(spec(4), latencies, owners, 2);
    let least = Infinity;
    for (const i of [0, 1]) {
      for (const j of [2, 3]) {
        least = Math.min(least, latencies.linePs(i, j), latencies.requestPs(i, j), latencies.responsePs(i, j));
      }
    }
    expect([there, home, back]).toEqual([least, least, 2 * least]);
    expect(least).toBeGreaterThan(latencies.minLinkPs());
  });

  it('are as close as the inside of a node where the order moves between threads', () => {
    const lock = spec(4, { serialisation: 'lock' });
    const reach = reachPs(lock, latencies, dealProcesses(lock, 2), 2);
    expect(Math.min(...reach)).toBe(latencies.minLinkPs());
  });

  it('never reach anybody when they live on one thread', () => {
    expect([...reachPs(spec(4), latencies, dealProcesses(spec(4), 1), 1)]).toEqual([Infinity]);
  });
});
