import { Digest, Queue, Random, type Resumable, type Task } from '@numalab/base';
import { type CpuRegisters, ExclusiveMonitor, type InstructionCache, type TagCache, type Tlb } from '@numalab/machine';
import type { CoreHardware } from './hardware.ts';

/** What a core is doing. */
export const MODE_WALK = 0;
/** It runs kernel or EL2 code: a task. */
export const MODE_TASK = 1;
/** It is parked by stop_machine. */
export const MODE_PARKED = 2;

/** Where a core stands with EL2: not in it, in it, or waiting in it for its store or for a page. */
export const EL2_NONE = 0;
export const EL2_BUSY = 1;
export const EL2_WAITING = 2;

/** Words of one fetch: an aligned 16-byte group. */
export const GROUP_WORDS = 4;

/** One fetched group: four words, then their numbers, then which of them are watched. */
export class FetchGroup {
  /** Offset from `_text` of its first word; -1: empty. */
  offset = -1;
  readonly words: Uint32Array = new Uint32Array(GROUP_WORDS);
  readonly numbers: Uint32Array = new Uint32Array(GROUP_WORDS);
  /** Bit i: word i is watched. */
  watched = 0;
}

/** Where fetches of the replicated range were served; indices of {@link Vcpu.served}. */
export const SERVED_L1I = 0;
export const SERVED_L2 = 1;
export const SERVED_LLC = 2;
export const SERVED_LOCAL = 3;
export const SERVED_REMOTE = 4;
export const SERVED_SHARED = 5;

/** One core of a node: its registers, caches, TLB, fetch-ahead buffer and clock. */
export class Vcpu {
  /** Number in the machine, and in the node. */
  readonly cpu: number;
  readonly core: number;
  /** When it acts next; Infinity while it waits for a message. */
  time = 0;
  mode: number = MODE_WALK;
  /** A walk that sleeps until `time`, and wakes for an interrupt. */
  asleep = true;
  /** It waits for a message; `time` is Infinity. */
  blocked = false;
  /** PSTATE.I: interrupts wait. */
  masked = false;
  /** Its task's next wait is a sleep in a mutex: the core does something else meanwhile. */
  preemptible = false;
  /** The task that sleeps. */
  suspended: Resumable | null = null;
  task: Resumable | null = null;
  /** Tasks that begin when the current one ends. */
  readonly taskQueue: Queue<() => Task> = new Queue();

  readonly registers: CpuRegisters;
  readonly monitor: ExclusiveMonitor = new ExclusiveMonitor();
  readonly l1i: InstructionCache;
  readonly l2: TagCache;
  readonly tlb: Tlb;
  /** Walk cache: stage-2 leaves (IPA to PA), and where the stage-1 table of a level is, by VA, at level + 1. */
  readonly stage2Leaves: Tlb;
  readonly stage1Tables: readonly Tlb[];
  /** Where the stage-2 table of a level is, by IPA, at level + 1. */
  readonly stage2Tables: readonly Tlb[];

  /** The walk: PC and return addresses as offsets from `_text`, and groups until it gives a function up. */
  pc = 0;
  readonly callStack: Int32Array;
  callDepth = 0;
  patience = 0;
  /** The running walk's current span ends here. */
  activeUntil = 0;
  current: FetchGroup;
  ahead: FetchGroup;
  /** Translation of the group fetched last: offsets [microFrom, microEnd) from `_text` lie at PA microTo. */
  microFrom = 0;
  microEnd = -1;
  microTo = 0;
  /** Result of the last translation: PA, log2 of the size, permissions. */
  translatedPa = 0;
  translatedShift = 12;
  translatedPermissions = 0;
  /** The last fault: status code, whether stage 2 raised it, and on the walk of stage 1; the IPA of the access or descriptor. */
  faultStatus = 0;
  faultStage2 = false;
  faultS1ptw = false;
  faultIpa = 0;
  readonly random: Random;
  coins = 0;
  coinsLeft = 0;

  /** TLB invalidations that reached this core. */
  invalidations = 0;
  /** Where a walk that was interrupted by a task goes on sleeping until; and when an interrupt handler is done. */
  sleepUntil = 0;
  notBefore = 0;
  el2: number = EL2_NONE;
  /** Stopped by EL2, and when it would have acted next; its node knows that it has stopped. */
  halted = false;
  private haltTime = Infinity;
  haltCounted = false;
  /** When a parked core would have acted next. */
  resumeTime = 0;
  /** When it was parked; -1: it is not. */
  parkedAt = -1;
  /** Who parked it, by number in the machine; -1: nobody. */
  parkedBy = -1;
  /** Outstanding maintenance and stores, which a DSB waits for. */
  pendingMaintenance = 0;
  pendingStores = 0;
  /** Nodes whose cores have not all taken this core's interrupt. */
  pendingInterruptAcks = 0;
  /** A lock was granted. */
  granted = false;
  /** The kernel's lock that it has asked for and not got; -1: none. */
  wanted = -1;
  /** Remote reads under way that were translated already, and who waits for them to be sampled (T4). */
  readsInFlight = 0;
  /** When the oldest of them was issued. */
  readSince = 0;
  /** Per waiting maintenance operation: sending process, its core, and when it arrived. */
  readonly waitingForReads: number[] = [];
  /** When the store that it executes trapped first, -1 if it has not, and the word it is for, once EL2 knows. */
  trappedAt = -1;
  trappedWord = -1;
  /** Its store was never over: it does not try again. */
  givenUp = false;
  /** Trapped writes that it handed to the order. */
  submissions = 0;
  /** What a reply brought. */
  replyNumber = 0;
  replyBytes: readonly number[] | null = null;

  readonly hash: Digest = new Digest();
  fetchedWords = 0;
  readonly served: Float64Array = new Float64Array(6);
  fetchTicks = 0;
  loads = 0;
  loadsRemote = 0;
  activeTicks = 0;
  walks = 0;
  walkReads = 0;
  walkReadsLocal = 0;
  walkReadsRemote = 0;
  stage1Remote = 0;
  faults = 0;

  constructor(cpu: number, core: number, seed: number, hardware: CoreHardware, callDepth: number) {
    this.cpu = cpu;
    this.core = core;
    this.callStack = hardware.callStack(callDepth);
    [this.current, this.ahead] = hardware.fetchBuffer;
    this.synchroniseContext();
    this.random = new Random(seed, 'walk', cpu);
    this.registers = hardware.registers;
    this.l1i = hardware.l1i;
    this.l2 = hardware.l2;
    this.tlb = hardware.tlb;
    this.stage2Leaves = hardware.stage2Leaves;
    this.stage1Tables = hardware.stage1Tables;
    this.stage2Tables = hardware.stage2Tables;
  }

  /** A context synchronisation event: what was fetched ahead is thrown away. */
  synchroniseContext(): void {
    this.ahead.offset = -1;
    this.current.offset = -1;
  }

  /** Its caches and translation buffers lose what they hold. */
  loseCaches(): void {
    this.l1i.invalidateAll();
    this.l2.reset();
    for (const tlb of [this.tlb, this.stage2Leaves, ...this.stage1Tables, ...this.stage2Tables]) tlb.invalidateAll();
    this.microEnd = -1;
    this.synchroniseContext();
  }

  /** The core forgets what it was running: EL2's agent alone. */
  abandonTask(): void {
    this.task = null;
    this.taskQueue.clear();
    this.mode = MODE_WALK;
    this.time = Infinity;
    this.blocked = false;
  }

  /** Sets when the core acts next: once it is released, if it is halted. */
  schedule(time: number): void {
    if (this.halted) this.haltTime = time;
    else this.time = time;
  }

  /** EL2 stops the core. */
  halt(): void {
    this.halted = true;
    this.haltTime = this.time;
    this.time = Infinity;
  }

  /** EL2 lets the core go on, no sooner than `at`. */
  release(at: number): void {
    this.halted = false;
    this.time = this.haltTime === Infinity ? Infinity : Math.max(this.haltTime, at);
  }

  /** A fair coin. */
  coin(): boolean {
    if (this.coinsLeft === 0) {
      this.coins = this.random.next();
      this.coinsLeft = 32;
    }
    const head = (this.coins & 1) !== 0;
    this.coins >>>= 1;
    this.coinsLeft--;
    return head;
  }
}
