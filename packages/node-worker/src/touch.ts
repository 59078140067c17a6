import type { Task } from '@numalab/base';
import { ACCESS_READ } from '@numalab/machine';
import { nodeBase } from './layout.ts';
import type { NodeProcess } from './node.ts';
import type { Vcpu } from './vcpu.ts';

/** A load from a device (assumed: no figure is public). */
const MMIO_LOAD_PS = 500_000;
const PAGE_BYTES = 4096;

/** Draws the IPA of a page outside the image, in some node's memory or in what lies below all memory; -1: there is none. */
export const drawPage = ({ spec, layout }: NodeProcess, { random }: Vcpu, isMmio: boolean): number => {
  const below = random.below(Math.max(1, spec.base / PAGE_BYTES)) * PAGE_BYTES;
  if (isMmio) return spec.base === 0 ? -1 : below;
  const home = random.below(spec.nodes);
  const start = home === 0 ? layout.stage1Pa[0]! + layout.stage1Bytes : nodeBase(spec, home);
  return start + random.below(Math.floor((layout.ramEnd[home]! - start) / PAGE_BYTES)) * PAGE_BYTES;
};

/** Touches memory outside the image, through stage 2 alone: what the kernel does with its data and devices. */
export function* touch(node: NodeProcess, cpu: Vcpu, ipa: number, isMmio: boolean): Task {
  if (!(yield* node.reach(cpu, ipa, ACCESS_READ))) return;
  cpu.loads++;
  if (isMmio) yield MMIO_LOAD_PS;
  else {
    if (!node.coherence.isPresent(ipa)) cpu.loadsRemote++;
    yield* node.coherence.load32(cpu, ipa);
  }
}
