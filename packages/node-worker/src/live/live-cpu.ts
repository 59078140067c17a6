import { Queue, Random, type Task, type TaskRun } from '@numalab/base';
import {
  CpuRegisters,
  EmulatedStore,
  ExclusiveMonitor,
  type LatencyProfile,
  LINE_BYTES,
  StoreAccess,
  Tlb,
} from '@numalab/machine';
import type { OpenStore } from './native-stores.ts';

/** Words of a line. */
export const LINE_WORDS: number = LINE_BYTES / 4;

/**
 * A core's L1 instruction cache with contents, tagged by PA, each line marked with the generation that its maintenance word
 * had before it was filled (see MaintenanceWords). Contents are cells.
 */
export class LiveInstructionCache {
  readonly cells: Float64Array;
  readonly generations: Int32Array;
  private readonly tags: Float64Array;
  private readonly ways: number;
  private readonly setMask: number;
  private readonly nextWay: Uint8Array;

  constructor(bytes: number, ways: number) {
    let sets = 1;
    while (sets * 2 * ways * LINE_BYTES <= bytes) sets *= 2;
    this.ways = ways;
    this.setMask = sets - 1;
    this.tags = new Float64Array(sets * ways).fill(-1);
    this.generations = new Int32Array(sets * ways);
    this.cells = new Float64Array(sets * ways * LINE_WORDS);
    this.nextWay = new Uint8Array(sets);
  }

  /** Index of the line of `pa`, or -1. */
  lookup(pa: number): number {
    const tag = Math.floor(pa / LINE_BYTES);
    const start = ((tag & this.setMask) >>> 0) * this.ways;
    for (let i = start; i < start + this.ways; i++) if (this.tags[i] === tag) return i;
    return -1;
  }

  /** Takes a line for `pa`, evicting another. The caller fills it and its generation. */
  allocate(pa: number): number {
    const tag = Math.floor(pa / LINE_BYTES);
    const set = (tag & this.setMask) >>> 0;
    const way = this.nextWay[set]!;
    this.nextWay[set] = way + 1 === this.ways ? 0 : way + 1;
    this.tags[set * this.ways + way] = tag;
    return set * this.ways + way;
  }
}

/** One core of a node in a live run. Only its node's thread touches it. */
export class LiveCpu {
  /** Number in the machine, and in the node. */
  readonly cpu: number;
  readonly core: number;
  readonly registers: CpuRegisters = new CpuRegisters();
  /** What an instruction leaves if it is executed natively; no store changes the vector registers. */
  readonly expected: CpuRegisters = new CpuRegisters(this.registers.vectors);
  readonly monitor: ExclusiveMonitor = new ExclusiveMonitor();
  readonly access: StoreAccess = new StoreAccess();
  readonly store: EmulatedStore = new EmulatedStore();
  readonly l1i: LiveInstructionCache;
  readonly tlb: Tlb;
  /** What is cached of each stage alone: AT, and a store that a cached leaf forbids, need no walk. */
  readonly stage1Leaves: Tlb;
  readonly stage2Leaves: Tlb;
  readonly random: Random;

  /** Broadcast TLBIs that this core has taken: all, by kind, and by VA. */
  tlbi = 0;
  tlbiAll = 0;
  tlbiStage2 = 0;
  tlbiVa = 0;
  /** Offsets [microFrom, microEnd) from `_text` lie at PA microTo. */
  microFrom = 0;
  microEnd = -1;
  microTo = 0;
  translatedPa = 0;
  translatedShift = 12;
  faultStage2 = false;
  faultS1ptw = false;
  faultIpa = 0;

  /** The walk: PC and return addresses as offsets from `_text`. */
  pc = 0;
  readonly callStack: Int32Array;
  callDepth = 0;
  patience = 0;

  task: TaskRun | null = null;
  readonly taskQueue: Queue<() => Task> = new Queue();
  /** Its task can go on. */
  ready = false;
  /** Its task waits for something in shared memory, and looks at it every turn. */
  polls = false;
  /** Interrupts wait. */
  masked = false;
  /** Its task sleeps in a mutex: it counts as stopped. */
  preemptible = false;
  /** The kick that it took last. */
  kicked = 0;

  /** The trap under way: the tick at which it began, -1 if there is none; the first byte stored; what the order answered. */
  trappedTick = -1;
  trappedMs = 0;
  /** When its write was over, if its task has gone on since without waiting; else 0. */
  overMs = 0;
  trappedOffset = -1;
  replyNumber = -1;
  /** Where nothing traps: its stores whose maintenance is not over. */
  readonly openStores: OpenStore[] = [];
  /** Page of the replicated range that it waits for; -1: none. */
  waitsForPage = -1;

  constructor(cpu: number, core: number, seed: number, profile: LatencyProfile, callDepth: number) {
    const { caches } = profile;
    this.cpu = cpu;
    this.core = core;
    this.callStack = new Int32Array(callDepth);
    this.random = new Random(seed, 'walk', cpu);
    this.l1i = new LiveInstructionCache(caches.l1i.bytes, caches.l1i.ways);
    this.tlb = new Tlb(caches.tlbEntries[0]);
    this.stage1Leaves = new Tlb(caches.tlbEntries[0]);
    this.stage2Leaves = new Tlb(caches.walkCacheEntries[0]);
  }
}
