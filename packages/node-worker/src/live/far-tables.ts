import { type NodeMemory, type Stage1Config, type Stage1Walk, WALK_CONTINUE } from '@numalab/machine';
import type { FarTables } from './live-mmu.ts';
import { REMOTE_WALK, type RemotePort } from './remote-port.ts';

/** Of each descriptor: its PA and its two words. */
const WORDS = 3;
const MAX_LEVELS = 5;

/** The kernel's tables in memory of another process: what a walk passes is one frame there and one back. */
export class RemoteTables implements FarTables {
  lo = 0;
  hi = 0;
  private readonly port: RemotePort;
  private readonly member: number;
  private readonly passed = new Float64Array(WORDS * MAX_LEVELS);
  private count = 0;

  constructor(port: RemotePort, member: number) {
    this.port = port;
    this.member = member;
  }

  fetch(va: number): void {
    const { port, passed } = this;
    this.count = port.call(REMOTE_WALK, this.member, va);
    for (let i = 0; i < this.count * WORDS; i++) passed[i] = port.answer[1 + i]!;
  }

  holds(pa: number): boolean {
    const { passed } = this;
    for (let at = 0; at < this.count * WORDS; at += WORDS) {
      if (passed[at] !== pa) continue;
      this.lo = passed[at + 1]!;
      this.hi = passed[at + 2]!;
      return true;
    }
    return false;
  }
}

/**
 * What {@link RemoteTables.fetch} asks for, done where the tables are: how many descriptors, then each. The kernel's tables are
 * where stage 2 maps IPA to the same PA; whoever asks translates by its own stage 2, and uses those whose PA that gives.
 */
export const walkHere = (walk: Stage1Walk, config: Stage1Config, memory: NodeMemory, va: number): number[] => {
  const passed = [0];
  let status = walk.begin(config, va);
  while (status === WALK_CONTINUE && memory.contains(walk.descriptorIpa)) {
    const pa = walk.descriptorIpa;
    const lo = memory.load32(pa);
    const hi = memory.load32(pa + 4);
    passed.push(pa, lo, hi);
    passed[0]!++;
    status = walk.feed(lo, hi);
  }
  return passed;
};
