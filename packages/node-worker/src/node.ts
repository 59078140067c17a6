import {
  alignDown,
  collect,
  Digest,
  type Instant,
  NEVER,
  type Pause,
  Random,
  type Resumable,
  type Step,
  type Task,
  TaskRun,
  WAIT,
} from '@numalab/base';
import * as link from '@numalab/interconnect';
import {
  type EmulatedStore,
  type HostStage2,
  type Latencies,
  LINE_BYTES,
  type NodeMemory,
  resolveOperation,
} from '@numalab/machine';
import type { NodeHalf } from '@numalab/protocols';
import { Agent } from './agent.ts';
import { ApplyLog } from './apply-log.ts';
import { type BootedTables, kernelWords } from './boot.ts';
import { Coherence } from './coherence.ts';
import { El2, type Retired, type Submission } from './el2.ts';
import type { NodeHardware, TableWatcher } from './hardware.ts';
import { Interrupts } from './interrupts.ts';
import { FIXMAP_TEXT_POKE, homeOf, linearVa, type MachineLayout } from './layout.ts';
import { Locks } from './locks.ts';
import { Maintenance } from './maintenance.ts';
import { FAULTS_BOUND, Mmu } from './mmu.ts';
import { NodeFaults } from './node-faults.ts';
import { NodeLife } from './node-life.ts';
import { Observations } from './observations.ts';
import { Scrubber } from './scrubber.ts';
import type { KernelText, MachineSpec } from './spec.ts';
import type { Stage1Map } from './stage1-map.ts';
import { TextPages } from './text-pages.ts';
import { EL2_BUSY, EL2_NONE, EL2_WAITING, MODE_TASK, MODE_WALK, Vcpu } from './vcpu.ts';
import { Walk } from './walk.ts';
import { FunctionPicker } from './walk-model.ts';
import type { Wire } from './wire.ts';
import { WriterDriver } from './writer-driver.ts';

/** When a writer's synchronisation returned for a word. */
export interface Synchronisation {
  readonly word: number;
  readonly time: number;
  readonly cpu: number;
  /** The writer relies on all other cores standing still from its first store on. */
  readonly isStopped: boolean;
}

/** A writer loaded the old word to compare it before it patches. Times in picoseconds. */
export interface Comparison {
  readonly word: number;
  readonly cpu: number;
  readonly issue: number;
  readonly end: number;
  readonly value: number;
  readonly number: number;
  /** What the writer expected, if it was something else; -1 if it found that. */
  expected: number;
}

/** A store to text that did not trap; `end` is when its writer's maintenance was over. */
export interface DirectStore {
  /** Offset from `_text`, in words. */
  readonly word: number;
  readonly number: number;
  readonly begin: number;
  end: number;
  readonly core: number;
}

/** The words of the kernel that writers may change: bit i of group g is word 4g + i. */
export type WatchMap = Uint8Array;

/** A probe of a write in flight, and of one just over, fetches its word this often, this far apart at most. */
const PROBES_IN_FLIGHT = 5;
const PROBES_AFTER = 2;
const PROBE_GAP_PS = 120_000;
/** A store that trapped is over within this time (L1), or never. */
const TRAP_BOUND_PS = 100_000_000_000;

/** Places of instructions that were looked for, by kernel: searching its text takes longer than a short run. */
const gadgets = new WeakMap<KernelText, Map<number, number>>();

/** Timers that a node's half of the protocol gets when the work is done. */
const TIMERS_AFTER_WORK = 10_000;

/**
 * One NUMA node: its memory, its stage-2 tables, its cores with their caches, and EL2 on them. Everything that another node
 * or the hypervisor wants of it comes as a message.
 */
export class NodeProcess extends link.Process {
  readonly spec: MachineSpec;
  readonly hardware: NodeHardware;
  readonly layout: MachineLayout;
  readonly latencies: Latencies;
  readonly memory: NodeMemory;
  readonly stage1: Stage1Map;
  readonly tables: BootedTables | null;
  readonly cpus: Vcpu[] = [];
  readonly agentCpu: Vcpu;
  readonly coherence: Coherence;
  readonly maintenance: Maintenance;
  readonly mmu: Mmu;
  readonly el2: El2;
  readonly walk: Walk;
  readonly locks: Locks;
  readonly interrupts: Interrupts;
  readonly observations: Observations;
  readonly picker: FunctionPicker;
  readonly agent: Agent;
  readonly textPages: TextPages;
  readonly applyLog: ApplyLog = new ApplyLog();
  /** What became of planned faults here. */
  readonly tally: link.TallyKeeper = new link.TallyKeeper();
  /** By process: what this node's EL2 says to the hypervisor, and to nodes that it passes messages on to. */
  readonly sessions: link.Sessions;
  /** By core: the trapped write that the order has not answered. */
  readonly submitted: Map<number, Submission> = new Map();
  readonly writers: WriterDriver;
  /** Pauses, crashes and restarts, and the faults that cause them; null where none is planned. */
  readonly life: NodeLife | null;
  readonly faults: NodeFaults | null;
  readonly scrubber: Scrubber | null;
  readonly watch: WatchMap;
  readonly tableOps: TableWatcher | null;
  readonly scratchLine: Uint32Array;
  readonly synchronisations: Synchronisation[] = [];
  readonly comparisons: Comparison[] = [];
  readonly directStores: DirectStore[] = [];
  /** Stores to text in memory order, where nothing traps: word, value; number = index + 1. */
  readonly storeOrder: { word: number; words: readonly number[] }[] = [];
  private readonly links: link.Links;
  private readonly probes: Random;
  /** Every core is to stop, or has; see {@link halt}. */
  private halting = false;
  private haltsMissing = 0;
  private readonly haltedInEl2: Vcpu[] = [];
  /** By core: when it may not act; null: no schedule holds any of them up. */
  private readonly pauses: readonly (link.Pauses | null)[] | null;
  private now = 0;
  /** Until when {@link step} may act. */
  private limit = 0;
  stopped = false;
  /** See `NodeReport.unheard`. */
  unheard: ReturnType<link.Sessions['waits']> = [];
  private timersLeft = TIMERS_AFTER_WORK;
  private watchdogSet = false;
  /** Bug 41; and whether what comes in now finds the agent's queue full. */
  private readonly dropsOverflow: boolean;
  private overflows = false;

  /** `hardware` is as boot leaves it, and of a machine that differs from `spec` in nothing but what a seed decides. */
  constructor(hardware: NodeHardware, spec: MachineSpec, makeHalf: () => NodeHalf, watch: WatchMap) {
    super(hardware.id);
    const { id } = hardware;
    this.spec = spec;
    this.dropsOverflow = spec.bugs.includes('41');
    this.hardware = hardware;
    this.watch = watch;
    this.layout = hardware.layout;
    this.latencies = hardware.latencies;
    this.links = new link.Links(this.latencies, id, spec.nodes + 1, spec.seed, spec.jitter, spec.schedule);
    this.memory = hardware.memory;
    this.scratchLine = hardware.scratchLine;
    this.stage1 = hardware.stage1;
    this.tables = hardware.tables;
    this.tableOps = hardware.watcher;
    const first = id * spec.coresPerNode;
    const { callDepth } = spec.workload;
    for (let core = 0; core <= spec.coresPerNode; core++) {
      this.cpus.push(new Vcpu(first + core, core, spec.seed, hardware.cores[core]!, callDepth));
    }
    this.agentCpu = this.cpus[spec.coresPerNode]!;
    this.pauses = this.pausesOf(spec.schedule);
    this.observations = new Observations(first, spec.coresPerNode);
    this.coherence = new Coherence(this);
    this.maintenance = new Maintenance(this);
    this.mmu = new Mmu(this, this.tables?.walker ?? null);
    this.el2 = new El2(this);
    this.picker = new FunctionPicker(spec);
    this.walk = new Walk(this);
    this.locks = new Locks(this);
    this.interrupts = new Interrupts(this);
    this.agent = new Agent(this, makeHalf);
    this.textPages = new TextPages(this);
    this.sessions = new link.Sessions(
      this.sessionHost(),
      link.linkFaultsOf(spec.faults, spec.seed, id, this.tally),
      this.tally,
      spec.bugs,
    );
    this.probes = new Random(spec.seed, 'probe', id);
    this.writers = new WriterDriver(this);
    this.life = spec.faults === null ? null : new NodeLife(this);
    this.faults = spec.faults === null ? null : new NodeFaults(this, spec.faults);
    this.scrubber = spec.scrubPs > 0 ? new Scrubber(this) : null;
    this.tableOps?.attach?.({
      cpus: this.cpus,
      nested: spec.nestedTlb,
      ipaOfVa: (va) => this.ipaOfVa(va),
      ipaOfText: (offset) => this.layout.imageIpa + offset,
    });
    this.begin();
  }

  /** From here on events go to `sink`. */
  traceTo(sink: link.TraceSink): void {
    const { id } = this;
    this.trace = sink;
    this.tally.listener = (what, name, at) => sink.add(at ?? this.now, link.TRACE_FAULT, id, what, 0, 0, name);
    this.applyLog.listener = (kind, subject, number, at) =>
      sink.add(at, link.TRACE_APPLIED, id, kind, subject, number, null);
    this.observations.listener = ({ id: rule, message, timePs }) =>
      sink.add(timePs, link.TRACE_FINDING, id, 0, 0, 0, [rule, message]);
  }

  private pausesOf(schedule: readonly link.Stall[] | null): readonly (link.Pauses | null)[] | null {
    const pauses = collect(this.cpus, ({ core }) =>
      core === this.spec.coresPerNode
        ? link.pausesOfEl2(schedule, this.id)
        : link.pausesOfCore(schedule, this.id, core),
    );
    return pauses.some((of) => of !== null) ? pauses : null;
  }

  /** The first moment from `at` on at which the schedule lets core `core` act. */
  mayActAt(core: number, at: number): number {
    return this.pauses?.[core]?.resumeAt(at) ?? at;
  }

  /** IPA of a VA of the image or of the linear map, as the kernel maps them; -1 for others. */
  private ipaOfVa(va: number): number {
    const { kernel, base } = this.spec;
    if (va >= kernel.linkVa && va < kernel.linkVa + kernel.imageBytes) return this.layout.imageIpa + va - kernel.linkVa;
    const linear = linearVa(this.spec, base);
    return va >= linear && va < FIXMAP_TEXT_POKE ? base + va - linear : -1;
  }

  private begin(): void {
    for (const cpu of this.cpus) {
      if (cpu === this.agentCpu) cpu.time = Infinity;
      else this.walk.begin(cpu);
      cpu.sleepUntil = cpu.time;
    }
    this.writers.begin();
    this.faults?.begin();
    this.scrubber?.begin(0);
  }

  private sessionHost(): link.SessionHost {
    return {
      put: (to, kind, frame, at, delayPs, overtakes) => {
        const base = this.latencies.linePs(this.id, this.placeOf(to));
        const leaves = overtakes ? at : ((at + delayPs) as Instant);
        const time = this.links.arrival(to, leaves, base, this.id, this.placeOf(to), 64);
        const arrival = overtakes ? ((time + delayPs) as Instant) : time;
        this.post(arrival, link.CLASS_PROTOCOL, to, kind, frame.a, frame.b, 0, frame);
      },
      take: (_from, kind, a, b, body, at) => this.takeFrom(kind, a, b, body, at),
      timerAt: (at, peer) => this.post(at, link.CLASS_LOCAL, this.id, link.SESSION_TIMER, peer, 0, 0, null),
      restarted: (_peer, _epoch, at) => this.life?.follow(at),
    };
  }

  /** What another EL2 said. False: the agent has no room. */
  private takeFrom(kind: number, a: number, b: number, body: unknown, at: number): boolean {
    if (kind === link.RETIRE) {
      this.onRetired(a, b, body as Retired, at);
      return true;
    }
    // Bug 41: nobody hears that there was no room for it.
    if (this.overflows) return true;
    if (!this.agent.hasRoom) return false;
    this.faults?.countMessage(at);
    this.agent.deliver(body as Wire, at);
    return true;
  }

  /** Sends to another EL2, once and in order. */
  transmit(to: number, wire: Wire, at: number): void {
    this.sessions.send(to, link.FRAME, 0, 0, wire, at as Instant);
  }

  // ---- where things are -------------------------------------------------------------------------------------------------

  homeOf(pa: number): number {
    return homeOf(this.spec, pa);
  }

  get host(): HostStage2 | null {
    return this.tables?.host ?? null;
  }

  private kindAt(offset: number): string | null {
    for (const range of this.spec.kernel.ranges) if (offset >= range.start && offset < range.end) return range.kind;
    return null;
  }

  /** Where nothing traps: offset from `_text` in words of what lies at `pa` if that is in a copy of the text, else -1. */
  directTextWord(pa: number): number {
    const { copyPa, spanStart, spanEnd } = this.layout;
    const { strategy } = this.spec;
    const home = this.homeOf(pa);
    if (strategy === 'stage2' || home < 0 || (strategy === 'none' && home > 0)) return -1;
    const offset = pa - copyPa[home]! + spanStart;
    return offset >= spanStart && offset < spanEnd ? offset >> 2 : -1;
  }

  /** Whether a store to `offset` is the order's business. */
  isReplicated(offset: number): boolean {
    const kind = this.spec.strategy === 'stage2' ? this.kindAt(offset) : null;
    return kind === 'replica' || kind === 'shared';
  }

  isShared(offset: number): boolean {
    return this.spec.strategy === 'stage2' && this.kindAt(offset) === 'shared';
  }

  isHole(offset: number): boolean {
    const kind = this.kindAt(offset);
    return kind === 'hole' || kind === null;
  }

  /** PA of this node's copy of `offset`. */
  copyOf(offset: number): number {
    return this.layout.copyPa[this.id]! + offset - this.layout.spanStart;
  }

  /** PA of the primary's `offset`. */
  primaryOf(offset: number): number {
    return this.layout.copyPa[0]! + offset - this.layout.spanStart;
  }

  /** Whether `pa` lies in a copy of the text on this node. */
  isText(pa: number): boolean {
    return this.memory.textAt(pa) !== null;
  }

  imageWordAt(va: number): number {
    return kernelWords(this.spec)[(va - this.spec.kernel.linkVa) >> 2]!;
  }

  /** Offset of the first instruction `word` in the text; the text's start if there is none, as if it stood there. */
  gadget(word: number): number {
    const known = gadgets.get(this.spec.kernel) ?? new Map<number, number>();
    gadgets.set(this.spec.kernel, known);
    const at = known.get(word) ?? this.findGadget(word);
    known.set(word, at);
    return at;
  }

  private findGadget(word: number): number {
    const { text, words } = this.spec.kernel;
    for (let i = text.start >> 2; i < text.end >> 2; i++)
      if (words[i] === word && this.isReplicatedText(i * 4)) return i * 4;
    return text.start;
  }

  private isReplicatedText(offset: number): boolean {
    return this.kindAt(offset) === 'replica';
  }

  // ---- messages ---------------------------------------------------------------------------------------------------------

  /** Node on which a process is. */
  private placeOf(process: number): number {
    return process === this.spec.nodes ? this.spec.hypervisorNode : process;
  }

  private send(
    to: number,
    cls: number,
    kind: number,
    a: number,
    b: number,
    c: number,
    body: unknown,
    at: number,
    base: number,
    bytes: number,
  ): void {
    const time = this.links.arrival(to, at as Instant, base, this.id, this.placeOf(to), bytes);
    this.post(time, cls, to, kind, a, b, c, body);
  }

  /** Sends what concerns memory, locks and work to a node. */
  sendMemory(to: number, kind: number, a: number, b: number, c: number, body: unknown, at: number): void {
    const { latencies, id } = this;
    let base = latencies.linePs(id, this.placeOf(to));
    if (to !== id && kind === link.READ_LINE) base = latencies.requestPs(id, to);
    if (to !== id && kind === link.LINE) base = latencies.responsePs(id, to);
    this.send(to, link.CLASS_MEMORY, kind, a, b, c, body, at, base, 64);
  }

  /** Sends maintenance or its answer. */
  sendMaintenance(to: number, kind: number, a: number, b: number, c: number, at: number): void {
    this.send(to, link.CLASS_MAINTENANCE, kind, a, b, c, null, at, this.latencies.dvmPs(this.id, this.placeOf(to)), 16);
  }

  /** Sends an interrupt, its answer, or a resume, to all cores of a node. */
  sendInterrupt(to: number, kind: number, a: number, b: number, at: number): void {
    this.send(to, link.CLASS_INTERRUPT, kind, a, b, 0, null, at, this.latencies.ipiPs(this.id, to), 16);
  }

  /** Hands a trapped write of a core to the order, or hands it in again. */
  submit(core: number, submission: Submission, at: number): void {
    this.submitted.set(core, submission);
    this.sessions.send(this.spec.nodes, link.SUBMIT, submission.serial, core, submission, at as Instant);
  }

  private onRetired(number: number, core: number, { serial, old }: Retired, at: number): void {
    const cpu = this.cpus[core]!;
    // The answer to a submission that was handed in twice may come twice.
    if (this.submitted.get(core)?.serial !== serial) return;
    this.submitted.delete(core);
    cpu.replyNumber = number;
    cpu.replyBytes = old;
    this.wake(core, at);
  }

  /** Schedules something on this node at `at`. */
  postLocal(at: number, kind: number, a: number, b: number): void {
    this.post(at as Instant, link.CLASS_LOCAL, this.id, kind, a, b, 0, null);
  }

  /** The moment of what happens now. */
  get time(): number {
    return this.now;
  }

  /** Lets one core of every other node fetch `word`, which is being written. */
  sendProbes(word: number, isOver: boolean, at: number): void {
    if (!this.spec.workload.probe) return;
    for (let to = 0; to < this.spec.nodes; to++)
      if (to !== this.id) this.sendMemory(to, link.PROBE, word, isOver ? PROBES_AFTER : PROBES_IN_FLIGHT, 0, null, at);
  }

  // ---- the loop ---------------------------------------------------------------------------------------------------------

  override nextTime(): Instant {
    let next: number = this.queue.nextTime();
    for (const cpu of this.cpus) if (cpu.time < next) next = cpu.time;
    return next as Instant;
  }

  override isQuiet(): boolean {
    return super.isQuiet() && this.nextTime() === NEVER;
  }

  override step(limit: Instant): Instant {
    const localPs = this.latencies.linePs(this.id, this.id);
    const { cpus, queue } = this;
    this.limit = limit;
    for (;;) {
      const event: number = queue.nextTime();
      let first = Infinity;
      let second = Infinity;
      let cpu: Vcpu | null = null;
      for (let i = 0; i < cpus.length; i++) {
        const { time } = cpus[i]!;
        if (time < first) {
          second = first;
          first = time;
          cpu = cpus[i]!;
        } else if (time < second) second = time;
      }
      if (event >= limit && first >= limit) return Math.min(event, first) as Instant;
      if (event <= first) {
        this.handle(queue.pop());
        continue;
      }
      const pauses = this.pauses === null ? null : this.pauses[cpu!.core]!;
      const resume = pauses === null ? first : pauses.resumeAt(first);
      if (resume > first) {
        cpu!.time = resume;
        continue;
      }
      this.now = first;
      // What one core does reaches another after `localPs` at the soonest: so far a walk may run ahead of the others.
      if (cpu!.mode === MODE_WALK) {
        const pause = pauses === null ? Infinity : pauses.nextPause(first);
        this.walk.run(cpu!, Math.min(event, limit, second + localPs, pause));
      } else this.advance(cpu!);
    }
  }

  /**
   * Lets time pass for a core in the middle of what it does if nothing else happens on this node until then: coming back here
   * by way of a `yield` costs more than most of what lies between two of them. False: it has to yield.
   */
  passes(cpu: Vcpu, pause: Pause): boolean {
    if (typeof pause !== 'number') return false;
    const time = cpu.time + pause;
    if (time >= this.limit || time >= this.queue.nextTime()) return false;
    const { cpus, pauses } = this;
    for (let i = 0; i < cpus.length; i++) if (cpus[i]!.time <= time && cpus[i] !== cpu) return false;
    if (pauses !== null && pauses[cpu.core] !== null && pauses[cpu.core]!.resumeAt(time) > time) return false;
    cpu.time = time;
    this.now = time;
    return true;
  }

  /** Lets a core's task go on. */
  private advance(cpu: Vcpu): void {
    const ticks = cpu.task!.resume();
    if (ticks === null) this.endTask(cpu);
    else if (ticks === WAIT) {
      if (cpu.preemptible) this.suspend(cpu);
      else {
        cpu.blocked = true;
        cpu.time = Infinity;
      }
    } else cpu.time += ticks;
  }

  /** A task sleeps in a mutex: the core goes on with something else until the task is woken. */
  private suspend(cpu: Vcpu): void {
    cpu.suspended = cpu.task;
    cpu.preemptible = false;
    this.walkOn(cpu);
  }

  private endTask(cpu: Vcpu): void {
    cpu.masked = false;
    const next = this.nextTask(cpu);
    if (next === null) this.walkOn(cpu);
    else {
      cpu.task = next;
      this.interrupts.deliverPending(cpu, cpu.time);
    }
  }

  /** The task that a core should run now: one that was woken, or the next in its queue unless one still sleeps. */
  private nextTask(cpu: Vcpu): Resumable | null {
    if (cpu.suspended === null) {
      const begin = cpu.taskQueue.shift();
      return begin === undefined ? null : new TaskRun(begin());
    }
    if (!cpu.granted) return null;
    const task = cpu.suspended;
    cpu.suspended = null;
    return task;
  }

  /** The core walks, or sleeps until its next span. */
  private walkOn(cpu: Vcpu): void {
    cpu.task = null;
    cpu.mode = MODE_WALK;
    if (cpu === this.agentCpu || this.stopped) cpu.time = Infinity;
    else if (cpu.asleep) cpu.time = Math.max(cpu.time, cpu.sleepUntil);
    this.interrupts.deliverPending(cpu, this.now);
  }

  /** A core that walks begins what it has to do; others do when what they run is over. */
  private beginNext(cpu: Vcpu, at: number): void {
    const task = cpu.mode === MODE_WALK && !cpu.halted ? this.nextTask(cpu) : null;
    if (task !== null) this.switchTo(cpu, task, at);
  }

  /** Runs a task on a core, now or after those that it has to run before. */
  startTask(cpu: Vcpu, task: () => Task, at: number): void {
    cpu.taskQueue.push(task);
    this.beginNext(cpu, at);
  }

  private switchTo(cpu: Vcpu, task: Resumable, at: number): void {
    if (cpu.asleep || cpu.time === Infinity) {
      cpu.sleepUntil = cpu.time;
      cpu.asleep = true;
      cpu.time = Math.max(at, cpu.notBefore);
    }
    cpu.mode = MODE_TASK;
    cpu.task = task;
  }

  /** A core has left stop_machine: what was put off begins. */
  afterResume(cpu: Vcpu, at: number): void {
    this.beginNext(cpu, at);
  }

  /** A message for core `core` is here: its task goes on. */
  wake(core: number, at: number): void {
    const cpu = this.cpus[core]!;
    if (!cpu.blocked) return;
    cpu.blocked = false;
    cpu.schedule(Math.max(at, cpu.notBefore));
  }

  // ---- stopping all cores ---------------------------------------------------------------------------------------------------

  /** EL2 interrupts every core. Those that are in EL2 stop before they leave it. The agent is woken when all have stopped. */
  halt(at: number): void {
    this.halting = true;
    this.haltsMissing = this.spec.coresPerNode;
    this.postLocal(at + this.latencies.ipiPs(this.id, this.id), link.HALT, 0, 0);
  }

  get isHalted(): boolean {
    return this.haltsMissing === 0;
  }

  private onHalt(at: number): void {
    for (const cpu of this.cpus) {
      if (cpu === this.agentCpu || (cpu.el2 === EL2_BUSY && this.life?.isCatchingUp !== true)) continue;
      if (cpu.el2 === EL2_NONE) cpu.halt();
      this.coreHalted(cpu, at);
    }
  }

  /** A core begins to wait in EL2 for its store or for a page: it counts as stopped, for what it waits for may need that. */
  waitsInEl2(cpu: Vcpu): void {
    cpu.el2 = EL2_WAITING;
    if (this.halting) this.coreHalted(cpu, cpu.time);
  }

  /** Counts a core as stopped, once. */
  private coreHalted(cpu: Vcpu, at: number): void {
    if (cpu.haltCounted) return;
    cpu.haltCounted = true;
    if (--this.haltsMissing === 0) this.wakeLater(this.agentCpu, at);
  }

  /** A core is about to leave EL2: it stays while the node is halted. */
  beforeEret(cpu: Vcpu): Pause {
    return this.halting ? this.stayHalted(cpu) : 0;
  }

  private *stayHalted(cpu: Vcpu): Step<void> {
    while (this.halting) {
      this.coreHalted(cpu, cpu.time);
      this.haltedInEl2.push(cpu);
      yield WAIT;
    }
  }

  /** Whether EL2 has stopped a core, and not let it go on. */
  isStopped(cpu: Vcpu): boolean {
    return cpu.halted || this.haltedInEl2.includes(cpu);
  }

  /** All cores stand still: those that are still to stop have stopped. */
  countStanding(at: number): void {
    if (!this.halting) return;
    for (const cpu of this.cpus) if (cpu !== this.agentCpu) this.coreHalted(cpu, at);
  }

  /** A new agent lets go what an earlier one had stopped. */
  unhalt(at: number): void {
    if (this.halting) this.release(at);
  }

  /** Tells the hypervisor through the platform's controller. */
  tellPlatform(kind: number, a: number, at: number): void {
    const time = (at + this.latencies.linePs(this.id, this.spec.hypervisorNode)) as Instant;
    this.post(time, link.CLASS_PROTOCOL, this.spec.nodes, kind, a, 0, 0, null);
  }

  /** Lets all cores go on. */
  release(at: number): void {
    this.postLocal(at + this.latencies.linePs(this.id, this.id), link.RELEASE, 0, 0);
  }

  private onRelease(at: number): void {
    this.halting = false;
    for (const cpu of this.cpus) {
      cpu.haltCounted = false;
      if (!cpu.halted) continue;
      cpu.synchroniseContext();
      cpu.release(at + this.latencies.trapPs);
      this.interrupts.deliverPending(cpu, at);
      this.beginNext(cpu, at);
    }
    for (const cpu of this.haltedInEl2.splice(0)) this.wake(cpu.core, at);
  }

  /** The protocol's half wants to be told `tag` at `at`. */
  setTimer(at: number, generation: number, tag: number): void {
    this.postLocal(at, link.TIMER, generation, tag);
  }

  /** Wakes a core of this node for what another of its cores did at `at`: the news takes a line transfer. */
  wakeLater(cpu: Vcpu, at: number): void {
    const time = (at + this.latencies.linePs(this.id, this.id)) as Instant;
    this.post(time, link.CLASS_LOCAL, this.id, link.WAKE, 0, cpu.core, 0, null);
  }

  /** Interrupts are taken again, as they were before `masked` was set. */
  unmask(cpu: Vcpu, masked: boolean): void {
    cpu.masked = masked;
    if (!masked) this.interrupts.deliverPending(cpu, cpu.time);
  }

  maintained(core: number, at: number): void {
    const cpu = this.cpus[core]!;
    // Waking a task costs more than this test, and it would only wait on.
    if (--cpu.pendingMaintenance === 0) this.wake(core, at);
  }

  /** With DIC a store drops the line from instruction caches by itself. */
  dropInstructionLine(cpu: Vcpu, pa: number): void {
    cpu.l1i.invalidate(pa);
  }

  /** The next number of memory order, where stores do not trap. */
  nextStoreNumber(pa: number, words: readonly number[]): number {
    const offset = pa - this.layout.copyPa[this.id]! + this.layout.spanStart;
    this.storeOrder.push({ word: offset >> 2, words });
    return this.storeOrder.length;
  }

  /** The maintenance of what this core has stored to text is over. */
  endStores(cpu: Vcpu): void {
    for (let i = this.directStores.length - 1; i >= 0; i--) {
      const store = this.directStores[i]!;
      if (store.core !== cpu.core) continue;
      if (store.end >= 0) break;
      store.end = cpu.time;
      this.sendProbes(store.word, true, cpu.time);
    }
    const { times } = this.el2;
    for (let i = times.length - 1; i >= 0; i--) {
      const write = times[i]!;
      if (write.core !== cpu.core) continue;
      if (write.maintained >= 0) break;
      write.maintained = cpu.time;
    }
  }

  /** Old bytes that the order sent complete an atomic. */
  resolve(store: EmulatedStore, old: readonly number[]): void {
    resolveOperation(store, Uint8Array.from(old));
  }

  /** Makes stage 2 map `ipa` for a core that reaches it by a VA that is not modelled. False: an abort was injected. */
  *reach(cpu: Vcpu, ipa: number, access: number): Step<boolean> {
    for (let faults = 0; ; faults++) {
      const fault = this.mmu.stage2(cpu, ipa, access);
      const cost = this.mmu.takeCost();
      if (cost > 0 && !this.passes(cpu, cost)) yield cost;
      if (fault === 0) return true;
      cpu.faultIpa = ipa;
      cpu.faultS1ptw = false;
      cpu.faults++;
      if (faults >= FAULTS_BOUND) return this.giveUpAccess(cpu, ipa);
      if (!(yield* this.el2.abort(cpu, 0, access, fault))) return false;
    }
  }

  /** EL2 tells a core again and again to try again, and it never gets there: a livelock, which ends the run. False. */
  giveUpAccess(cpu: Vcpu, ipa: number): false {
    const text = `CPU ${cpu.cpu} has faulted ${FAULTS_BOUND} times in a row on IPA 0x${ipa.toString(16)}, and EL2 lets it fault again`;
    this.observations.report('L1', text, cpu.time);
    for (let to = 0; to <= this.spec.nodes; to++) this.sendMemory(to, link.STOP, 1, 0, 0, null, cpu.time);
    return false;
  }

  private *probe(cpu: Vcpu, word: number, fetches: number): Task {
    for (let i = 0; i < fetches; i++) {
      const gap = this.probes.below(PROBE_GAP_PS) + 1;
      if (!this.passes(cpu, gap)) yield gap;
      yield* this.walk.fetchWord(cpu, word * 4);
    }
  }

  private onProbe(word: number, fetches: number, at: number): void {
    const cpu = this.cpus[this.probes.below(this.spec.coresPerNode)]!;
    if (cpu.mode === MODE_WALK && !cpu.halted) this.switchTo(cpu, new TaskRun(this.probe(cpu, word, fetches)), at);
  }

  private handle(message: link.Message): void {
    if (message.kind === link.WATCHDOG) {
      this.onWatchdog(message.time);
      return;
    }
    if (this.life?.takes(message) !== true) this.dispatch(message);
  }

  /** Does what a message asks for. */
  dispatch(message: link.Message): void {
    this.account(message);
    this.now = message.time;
    const { a, b, c, from, time, body } = message;
    switch (message.kind) {
      case link.READ_LINE:
        this.coherence.onReadLine(from, a, b, time);
        break;
      case link.LINE:
        this.coherence.onLine(a, body as Uint32Array);
        this.maintenance.readSampled(this.cpus[b]!, time);
        this.wake(b, time);
        break;
      case link.STORE:
        this.coherence.onStore(from, a, b, c, body as readonly number[], time);
        break;
      case link.MEND:
        this.coherence.onMend(from, a, b, c, body as readonly number[], time);
        break;
      case link.STORED:
        this.cpus[b]!.replyNumber = c;
        if (--this.cpus[b]!.pendingStores === 0) this.wake(b, time);
        break;
      case link.DROP_LINE:
        this.coherence.onDropLine(a);
        this.sendMemory(from, link.DROPPED, a, b, 0, null, time);
        break;
      case link.DROPPED:
        this.coherence.onDropped(a, b, time);
        break;
      case link.CLEAN_LINE:
        if (this.faults?.takesMaintenance(message) === true) break;
        this.coherence.onClean(alignDown(a, LINE_BYTES));
        this.sendMaintenance(from, link.MAINTAINED, 0, b, 0, time);
        break;
      case link.MAINTAIN:
        if (this.faults?.takesMaintenance(message) === true) break;
        this.maintenance.onMaintain(from, a, b, c, time);
        break;
      case link.MAINTAINED:
        this.maintained(b, time);
        break;
      default:
        this.handleOther(message);
    }
  }

  private handleOther(message: link.Message): void {
    const { a, b, from, time, body } = message;
    switch (message.kind) {
      case link.INTERRUPT:
        this.interrupts.onInterrupt(from, a, b, time);
        break;
      case link.INTERRUPTED:
        if (--this.cpus[b]!.pendingInterruptAcks === 0) this.wake(b, time);
        break;
      case link.RESUME:
        this.interrupts.onResume(from, b, time);
        break;
      case link.LOCK:
        this.locks.onLock(from, a, b, time);
        break;
      case link.UNLOCK:
        this.locks.onUnlock(a, time);
        break;
      case link.GRANTED:
        this.cpus[b]!.granted = true;
        this.wake(b, time);
        this.beginNext(this.cpus[b]!, time);
        break;
      case link.PROBE:
        this.onProbe(a, b, time);
        break;
      case link.FRAME:
      case link.RETIRE:
      case link.RESYNC:
        this.onFrame(from, body as link.Frame, time);
        break;
      case link.SESSION_TIMER:
        this.sessions.timeout(a, time);
        break;
      case link.TIMER:
        // The work is done: a protocol that sets one timer after the other must come to an end.
        if (!this.stopped || this.timersLeft-- > 0) this.agent.timer(a, b, time);
        break;
      case link.FAULT:
        this.faults?.onMessage(a, b, time);
        break;
      case link.HALT:
        this.onHalt(time);
        break;
      case link.RELEASE:
        this.onRelease(time);
        break;
      case link.STOP:
        this.stop(time);
        if (a === 1) this.giveUpSessions();
        break;
      case link.WAKE:
        this.wake(b, time);
        break;
      case link.SCRUB:
        this.scrubber?.onTimer(a, time);
        break;
      case link.RESUME_CORE:
        this.interrupts.deliverPending(this.cpus[b]!, time);
        break;
      default:
        this.writers.onMessage(message);
    }
  }

  private onFrame(from: number, frame: link.Frame, at: Instant): void {
    const isRefused = this.faults?.refuses(at) === true;
    if (isRefused && !this.dropsOverflow) return;
    this.overflows = isRefused;
    this.sessions.receive(from, frame, at);
    this.overflows = false;
  }

  /** A store trapped at `at`: if it is never over, a watchdog ends the run. */
  watchTraps(at: number): void {
    if (this.watchdogSet) return;
    this.watchdogSet = true;
    this.postLocal(at + TRAP_BOUND_PS, link.WATCHDOG, 0, 0);
  }

  /** Is no part of what happens: neither time nor digest know of it unless it bites. */
  private onWatchdog(at: number): void {
    this.watchdogSet = false;
    let oldest = Infinity;
    for (const cpu of this.cpus) {
      if (cpu.trappedAt < 0 || cpu.givenUp) continue;
      if (at - cpu.trappedAt >= TRAP_BOUND_PS) this.giveUp(cpu, at);
      else oldest = Math.min(oldest, cpu.trappedAt);
    }
    if (oldest < Infinity) this.watchTraps(oldest);
  }

  /** Nothing will release a core from its trap: the run ends with what has become of it. */
  private giveUp(cpu: Vcpu, at: number): void {
    cpu.givenUp = true;
    this.now = at;
    const what = cpu.trappedWord < 0 ? 'EL2 lets it trap again and again' : `the write to word ${cpu.trappedWord}`;
    const text = `CPU ${cpu.cpu} trapped with a store at ${cpu.trappedAt / 1000} ns and waits for ever: ${what}`;
    this.observations.report('L1', text, at);
    for (let to = 0; to <= this.spec.nodes; to++) this.sendMemory(to, link.STOP, 1, 0, 0, null, at);
  }

  private stop(at: number): void {
    if (!this.stopped) this.scrubber?.finish(at);
    this.stopped = true;
    for (const cpu of this.cpus) if (cpu.mode === MODE_WALK) cpu.schedule(Infinity);
  }

  /** The run gives up: nothing is sent again any more. */
  private giveUpSessions(): void {
    if (this.unheard.length === 0) this.unheard = this.sessions.waits();
    this.sessions.close();
  }

  /** Hash of all that happened on this node: messages, and what its cores fetched. */
  runDigest(): Digest {
    const digest = new Digest();
    digest.digest(this.digest);
    for (const cpu of this.cpus) digest.digest(cpu.hash);
    return digest;
  }
}
