import { assert } from '@numalab/base';
import { type ByClass, Latencies, type LatencyProfile, latencyProfile } from '@numalab/machine';
import type { Scenario } from './scenario.ts';

const uniformBandwidth = (bytesPerNs: number): ByClass => ({
  local: [0, 'inside a node only the caches bound it'],
  sameSocket: [[1000, bytesPerNs, 'interconnect.bandwidth']],
  otherSocket: [[1000, bytesPerNs, 'interconnect.bandwidth']],
});

/**
 * The latencies of a scenario's machine: core times and caches of `machine.profile`, links of `interconnect.profile`,
 * bandwidth as `interconnect.bandwidth` says.
 */
export const scenarioLatencies = ({ machine, interconnect }: Pick<Scenario, 'machine' | 'interconnect'>): Latencies => {
  const core = latencyProfile(machine.profile);
  const links = latencyProfile(interconnect.profile);
  assert(core !== undefined && links !== undefined, 'a loaded scenario names profiles that exist');
  const { bandwidth } = interconnect;
  const combined: LatencyProfile = {
    ...core,
    name: links.name,
    dram: links.dram,
    line: links.line,
    bandwidth: bandwidth === 'profile' ? links.bandwidth : uniformBandwidth(bandwidth === 'none' ? 0 : bandwidth),
  };
  return new Latencies(machine.topology, combined);
};
