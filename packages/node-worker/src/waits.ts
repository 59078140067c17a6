import * as link from '@numalab/interconnect';
import type { NodeProcess } from './node.ts';
import { MODE_PARKED, type Vcpu } from './vcpu.ts';

/** A core that waits, for what, and for whom as far as its node knows. */
export interface Wait {
  /** Number in the machine; -1 for the node's own EL2 context. */
  readonly cpu: number;
  readonly node: number;
  /** What it waits for: `the write to word 7 to be retired`. */
  readonly what: string;
  /** Since when, in picoseconds; -1: not known. */
  readonly since: number;
  /** Word of the write that it waits for, -1 if it waits for none. */
  readonly word: number;
  /** Only EL2, here or at the hypervisor, can let it go on. */
  readonly isInEl2: boolean;
  /** The kernel's lock that it waits for, -1 if it waits for none. */
  readonly lock: number;
  /** Cores whose interrupt it has not taken: they wait for it. */
  readonly interrupters: readonly number[];
}

const LOCK_NAMES: Readonly<Record<number, string>> = {
  [link.LOCK_PATCH]: 'patch_lock',
  [link.LOCK_TEXT]: 'text_mutex',
  [link.LOCK_STOP]: 'stop_machine',
};

/** What a core that is not done waits for, the most telling first. */
const whatOf = (node: NodeProcess, cpu: Vcpu): string => {
  if (cpu.trappedAt >= 0 && cpu.trappedWord >= 0) return `the write to word ${cpu.trappedWord} to be retired`;
  const page = node.textPages.waitedFor(cpu);
  if (page >= 0) return `page ${page}, which EL2 has unmapped, to be mapped`;
  if (node.el2.waiting.includes(cpu)) return 'the lock of the stage-2 tables';
  if (node.isStopped(cpu)) return 'EL2 to let it go on: every core of the node is stopped';
  if (cpu.mode === MODE_PARKED) return 'its release from stop_machine';
  if (cpu.wanted >= 0) return `the lock ${LOCK_NAMES[cpu.wanted]}`;
  if (cpu.pendingInterruptAcks > 0) return `${cpu.pendingInterruptAcks} nodes to take its interrupt`;
  if (cpu.pendingMaintenance > 0) return `${cpu.pendingMaintenance} answers to its TLB or cache maintenance`;
  if (cpu.pendingStores > 0) return `${cpu.pendingStores} of its stores to be performed`;
  if (cpu.readsInFlight > 0) return 'a line of another node';
  if (cpu.trappedAt >= 0) return 'EL2, which lets its store trap again and again';
  return cpu.task === null && cpu.suspended === null ? 'a core to begin its task' : 'something that never comes';
};

const isInEl2 = (node: NodeProcess, cpu: Vcpu): boolean =>
  cpu.trappedAt >= 0 || node.isStopped(cpu) || node.textPages.waitedFor(cpu) >= 0;

/** All cores of a node that are not done. Asked for when nothing is left to happen, all of them wait for ever. */
export const waitsOf = (node: NodeProcess): Wait[] =>
  node.cpus
    .filter(
      (cpu) => cpu.task !== null || cpu.suspended !== null || cpu.taskQueue.length > 0 || cpu.mode === MODE_PARKED,
    )
    .map((cpu) => ({
      cpu: cpu === node.agentCpu ? -1 : cpu.cpu,
      node: node.id,
      what: whatOf(node, cpu),
      since: cpu.trappedAt >= 0 ? cpu.trappedAt : cpu.parkedAt,
      word: cpu.trappedAt >= 0 ? cpu.trappedWord : -1,
      isInEl2: isInEl2(node, cpu),
      lock: cpu.wanted,
      interrupters: node.interrupts.notTaken(cpu).map(({ from, core }) => from * node.spec.coresPerNode + core),
    }));
