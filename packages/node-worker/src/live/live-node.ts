import { assert, Random, type Task, TaskRun } from '@numalab/base';
import type { LiveRingReader, LiveRingWriter } from '@numalab/interconnect';
import { contestedWords } from '@numalab/kernel';
import {
  type HostStage2,
  Latencies,
  NO_OBSERVER,
  NodeMemory,
  type SharedNodeMemory,
  type TableOp,
} from '@numalab/machine';
import type { NodeHalf } from '@numalab/protocols';
import { type BootedTables, buildTables } from '../boot.ts';
import type { TableWatcher, TableWatcherFactory } from '../hardware.ts';
import type { Synchronisation, WatchMap } from '../node.ts';
import type { MachineSpec } from '../spec.ts';
import { buildStage1 } from '../stage1-map.ts';
import { type LiveCopy, liveCopyOf } from './cells.ts';
import { ControlWords } from './control-words.ts';
import { FarOrder } from './far-order.ts';
import { RemoteTables } from './far-tables.ts';
import { LatencyHistogram } from './latency-histogram.ts';
import { LineHolders } from './line-holders.ts';
import { LiveAgent } from './live-agent.ts';
import { LiveChecks, type WatchedWords } from './live-checks.ts';
import { LiveCpu } from './live-cpu.ts';
import { ABORTED, LiveEl2 } from './live-el2.ts';
import { LiveFetch } from './live-fetch.ts';
import { stoppingCpu } from './live-kernel.ts';
import { LiveMmu } from './live-mmu.ts';
import { LivePlaces } from './live-places.ts';
import { LiveWalk } from './live-walk.ts';
import { LiveWriters } from './live-writers.ts';
import { MaintenanceWords } from './maintenance-words.ts';
import { NativeStores } from './native-stores.ts';
import { RemoteChecks, RemoteControl, RemoteMaintenance, RemoteMemory } from './remote-parts.ts';
import type { RemotePort } from './remote-port.ts';
import {
  AGENTS,
  DONE,
  FAILED,
  FINITE,
  IDLE,
  isRunning,
  KICK,
  KICKED,
  NUMBERED,
  OFFLINE,
  OFFLINE_UP,
  PHASE,
  PHASE_END,
  PHASE_WARM,
  RECORD_LIMIT,
  SENT,
  STOPPED,
  STOPPER,
  TAKEN,
  TLBI,
  TURNS,
  threadWord,
  WAITERS,
  wakeAll,
  wakeHypervisor,
  wakeNode,
} from './shared-words.ts';
import { MemoryOrder, type StoreOrder } from './store-order.ts';
import { NodeWaiting } from './waiting.ts';
import { ASK_WRITE, RETIRE, takeMessage } from './wire.ts';

/** Groups that a core walks at a time, and how often the clock is read while it does. */
const WALK_GROUPS = 32;
/** Of the writes numbered last, this many are probed. */
const PROBED_WRITES = 16;
/** Between two probes of a node: where a write takes less than this, not each turn has one. */
const PROBE_MS = 0.01;
/** A thread without work looks around at least this often. */
const NAP_MS = 50;
/** With nothing but walking to do, it is done in portions of this. */
const WALK_NAP_MS = 1;
/** For how long a node runs while others want to. */
const SLICE_MS = 1;
/** A store that trapped is over within this time of real time (L1), or never. */
const TRAP_BOUND_MS = 10_000;

/** What a node of a live run is made of that other threads know too. Plain data. */
export interface LiveShared {
  readonly spec: MachineSpec;
  readonly watch: WatchMap;
  readonly memories: readonly SharedNodeMemory[];
  readonly words: Int32Array;
  readonly maintenance: SharedArrayBuffer;
  readonly watched: WatchedWords;
  /** The text after all writes of the order, as cells; index 0 is the first word of the replicated span. */
  readonly reference: Float64Array;
  /** The word, by number modulo its length, of the writes numbered last. */
  readonly recent: Int32Array;
  /** Factor on latencies, which are kept in real time; 0: off. */
  readonly scale: number;
  /** Cores of the machine that runs this, and nodes' threads that run at a time. */
  readonly cores: number;
  readonly permits: number;
  /** The order is made on the threads of nodes, by each what traps on it; else on one of its own. */
  readonly ordersOnNodes: boolean;
  /** What runs with planned faults have beside; null: there are none. */
  readonly faults: LiveFaultMemory | null;
}

/** What threads share about planned faults. */
export interface LiveFaultMemory {
  /** See LiveTally. */
  readonly tally: SharedArrayBuffer;
  /** One number: the moment on the common clock at which the measured phase began; Infinity before. */
  readonly beganMs: Float64Array;
  /** What writers have done, by node and place: it outlives a node's thread. */
  readonly progress: Int32Array;
}

/** The part of the order that is on a node's own thread, if the order is made there. */
export interface OrderPart {
  /** A core waits in EL2 with the store that it holds. */
  submit(cpu: LiveCpu): void;
  /** Orders what was submitted, and hears what nodes have answered. Returns whether there was anything. */
  turn(): boolean;
  /** Whether it has something to do. */
  hasMail(): boolean;
  /** When it has, if nothing is brought: milliseconds of the common clock. */
  nextMs(): number;
  readonly isIdle: boolean;
  /** Records sent to nodes, and taken from them. */
  readonly sent: number;
  readonly taken: number;
}

/** How a node takes part in an order that is made on the nodes' threads. */
export interface OrderPorts {
  /** To the parts of all nodes. */
  readonly toParts: readonly LiveRingWriter[];
  /** Makes this node's part, which calls `retired` when a core's write is: see LiveEl2.retired. */
  make(retired: (core: number, number: number, old: readonly number[] | null) => void): OrderPart;
}

/** What a node's thread gives it. */
export interface LiveNodePorts {
  /** Left out: a hypervisor's thread makes the order. */
  readonly order?: OrderPorts;
  /** Milliseconds of the clock that all threads have in common. */
  readonly now: () => number;
  readonly toHypervisor: LiveRingWriter;
  readonly fromHypervisor: LiveRingReader;
  readonly watcherOf: TableWatcherFactory | null;
  /** Nanoseconds of a clock that all threads have in common, if that is the record's time; left out: the order's ticks are. */
  readonly stamp?: () => number;
  /** What this node shares with others only by way of a service thread; left out: nothing. */
  readonly remote?: RemotePort;
  /** The node had a life before this one: its memory is as that left it. */
  readonly isReborn?: boolean;
  /** What the protocol's half declares durable, if it is to outlive the thread. */
  readonly durable?: Map<string, unknown>;
}

/** Places of {@link LiveFaultMemory.progress} for one node: of each agent, and of each other writer. */
export const progressPlaces = ({ writers }: MachineSpec): number =>
  writers.reduce((sum, writer) => sum + (writer.kind === 'synthetic' ? writer.agents.length : 1), 0);

const progressOf = (id: number, { spec, faults }: LiveShared): Int32Array | null => {
  const places = progressPlaces(spec);
  return faults?.progress.subarray(id * places, (id + 1) * places) ?? null;
};

/** One NUMA node in a live run: its cores take turns on one thread, and race with all other threads. */
export class LiveNode extends LivePlaces {
  readonly watch: WatchMap;
  readonly words: Int32Array;
  readonly now: () => number;
  readonly scale: number;
  readonly cpus: readonly LiveCpu[];
  readonly memory: NodeMemory;
  /** Null where EL2 has no part in anything. */
  private readonly booted: BootedTables | null;
  /** What core's stores to text do where nothing traps; null: they trap. */
  readonly native: NativeStores | null;
  readonly maintenance: MaintenanceWords;
  readonly control: ControlWords;
  readonly mmu: LiveMmu;
  readonly el2: LiveEl2;
  readonly fetch: LiveFetch;
  readonly walk: LiveWalk;
  readonly checks: LiveChecks;
  readonly agent: LiveAgent;
  readonly writers: LiveWriters;
  readonly toHypervisor: LiveRingWriter;
  readonly fromHypervisor: LiveRingReader;
  /** Null: it is made on a thread of its own. */
  readonly order: OrderPart | null;
  /** To the instances of the protocol's other half. */
  readonly toOrder: readonly LiveRingWriter[];
  readonly ownCopy: LiveCopy;
  readonly primary: LiveCopy;
  readonly latency: LatencyHistogram = new LatencyHistogram();
  readonly maintained: LatencyHistogram = new LatencyHistogram();
  /** Latencies of writes that were the only ones under way. */
  readonly latencyAlone: LatencyHistogram = new LatencyHistogram();
  readonly synchronisations: Synchronisation[] = [];
  /** Whether any writer synchronises. */
  readonly synchronises: boolean;
  /** Words that several vCPUs patch: comparing them proves nothing. */
  readonly contested: ReadonlySet<number>;
  tableOps: TableWatcher | null = null;
  /** Where nothing traps: what this thread has stored. */
  stored: MemoryOrder | null = null;
  /** EL2 has stopped all cores of this node. */
  parked = false;
  tlbis = 0;
  compared = 0;
  writesOver = 0;
  /** Writes up to this one came with a snapshot. */
  resyncedTo = 0;
  walkMs = 0;
  ranMs = 0;
  probes = 0;
  turns = 0;
  protected readonly shared: LiveShared;
  protected readonly own: number;
  protected readonly waiting: NodeWaiting;
  private readonly progress: Int32Array | null;
  private readonly random: Random;
  private readonly latencies: Latencies;
  private stopSeen = 0;
  protected kickSeen = 0;
  private startMs = 0;
  private nextWalker = 0;
  private probedMs = 0;
  /** The share of real time in which its cores walk: of that in which the thread can have a processor. */
  private readonly duty: number;
  private stuck = false;
  /** When it began to run. */
  private sliceMs = 0;

  constructor(id: number, shared: LiveShared, half: NodeHalf, ports: LiveNodePorts) {
    const { spec, words } = shared;
    const { remote } = ports;
    super(id, spec);
    this.shared = shared;
    this.watch = shared.watch;
    this.words = words;
    this.now = ports.now;
    this.scale = shared.scale;
    this.own = threadWord(id);
    this.waiting = new NodeWaiting(words, spec.nodes, id);
    this.latencies = new Latencies(spec.topology, spec.profile);
    const memories = shared.memories.map((memory, node) =>
      remote?.isElsewhere(node) === true ? new RemoteMemory(remote, node, memory) : NodeMemory.attach(memory),
    );
    this.memory = memories[id]!;
    const copyOf = (node: number): LiveCopy => liveCopyOf(memories[node]!.textAt(this.layout.copyPa[node]!)!);
    this.primary = copyOf(0);
    this.ownCopy = spec.strategy === 'none' || id === 0 ? this.primary : copyOf(id);
    const isReborn = ports.isReborn === true;
    if (isReborn) this.memory.takeOver(this.layout.poolPa[id]!, this.layout.poolPages * this.granuleBytes);
    const stage1 = buildStage1(spec, this.layout, id, id === 0 && !isReborn ? this.memory : null);
    this.booted = spec.strategy === 'none' ? null : this.buildTables(ports.watcherOf);
    this.maintenance =
      remote === undefined
        ? new MaintenanceWords(words, shared.maintenance)
        : new RemoteMaintenance(remote, new LineHolders(remote, spec, this.layout), words, shared.maintenance);
    const stamp = ports.stamp ?? null;
    this.control = remote === undefined ? new ControlWords(words, stamp) : new RemoteControl(remote, words);
    const first = id * spec.coresPerNode;
    this.cpus = Array.from(
      { length: spec.coresPerNode },
      (_, core) => new LiveCpu(first + core, core, spec.seed, spec.profile, spec.workload.callDepth),
    );
    const farTables = remote?.isElsewhere(0) === true ? new RemoteTables(remote, remote.memberOfNode(0)) : null;
    const walker = this.booted?.walker ?? null;
    this.mmu = new LiveMmu(id, spec, stage1, walker, memories, words, this.maintenance, farTables);
    const known = [
      words,
      shared.watched,
      shared.reference,
      this.layout.spanStart >> 2,
      first,
      spec.coresPerNode,
    ] as const;
    const order = spec.strategy === 'none' ? 0 : spec.nodes;
    this.checks =
      remote === undefined
        ? new LiveChecks(...known, stamp)
        : new RemoteChecks(remote, ...known, remote.memberOfThread(order));
    this.native = spec.strategy === 'none' ? new NativeStores(this, this.storeOrder(remote, stamp!)) : null;
    this.toHypervisor = ports.toHypervisor;
    this.fromHypervisor = ports.fromHypervisor;
    this.toOrder = ports.order?.toParts ?? [ports.toHypervisor];
    this.order = ports.order?.make((core, number, old) => this.el2.retired(this.cpus[core]!, number, old)) ?? null;
    this.el2 = new LiveEl2(this);
    this.fetch = new LiveFetch(this);
    this.walk = new LiveWalk(this);
    this.agent = new LiveAgent(this, half, ports.durable ?? new Map());
    this.random = new Random(spec.seed, 'probe', id);
    this.duty = spec.workload.duty * Math.min(1, shared.permits / spec.nodes);
    this.synchronises = spec.writers.some((writer) => writer.kind !== 'synthetic' || writer.sync !== 'none');
    this.contested = contestedWords(spec.writers);
    this.progress = progressOf(id, shared);
    this.writers = new LiveWriters(this, this.progress, isReborn);
    for (const cpu of this.cpus) this.walk.begin(cpu);
  }

  private buildTables(watcherOf: TableWatcherFactory | null): BootedTables {
    const tables = buildTables(this.id, this.spec, this.layout, this.memory, (config) => {
      this.tableOps = watcherOf?.(this.id, this.memory, config) ?? null;
      return this.tableOps?.observer ?? NO_OBSERVER;
    });
    this.tableOps?.unlocked?.(0);
    return tables;
  }

  private storeOrder(remote: RemotePort | undefined, stamp: () => number): StoreOrder {
    const firstWord = this.layout.spanStart >> 2;
    this.stored = new MemoryOrder(this.shared, this.primary, firstWord, stamp);
    return remote === undefined ? this.stored : new FarOrder(remote, this.stored, firstWord);
  }

  /** This node's stage-2 tables, where there are any. */
  get tables(): BootedTables {
    assert(this.booted !== null, 'tables are asked for where stage 2 is on');
    return this.booted;
  }

  get hasTables(): boolean {
    return this.booted !== null;
  }

  // ---- where things are -------------------------------------------------------------------------------------------------

  /** The copy of the text around `pa`: this node's, or the primary. */
  copyAt(pa: number): LiveCopy {
    const { ownCopy } = this;
    return pa >= ownCopy.base && pa < ownCopy.base + ownCopy.bytes ? ownCopy : this.primary;
  }

  /** The primary's cells, of which those of [first, end) are up to date. */
  primaryCells(_first: number, _end: number): Float64Array {
    return this.primary.cells;
  }

  /** PA onto which a page of the range is mapped; -1 if it is not. */
  mappedTo(page: number): number {
    const { walker } = this.tables;
    return walker.walk(this.layout.imageIpa + page * this.granuleBytes, 0) === 0 ? walker.pa : -1;
  }

  get host(): HostStage2 {
    return this.tables.host;
  }

  // ---- what cores share ---------------------------------------------------------------------------------------------------

  /** Performs what the table editor asks for between its stores. */
  performTableOp(op: TableOp): void {
    if (op.op === 'tlbi') {
      this.tlbis++;
      if (op.kind === 'ipas2e1is') this.maintenance.tlbiStage2();
      else if (op.kind === 'vmalle1is') this.maintenance.tlbiAll();
      else {
        this.maintenance.tlbiStage2();
        this.maintenance.tlbiAll();
      }
    }
    if (op.op === 'dsb') this.maintenance.complete();
    this.tableOps?.performed(op, 0);
  }

  /** Takes the TLBIs broadcast since the core took the last. */
  takeTlbis(cpu: LiveCpu): void {
    if (Atomics.load(this.words, TLBI) !== cpu.tlbi) this.mmu.synchronise(cpu);
  }

  /** A shared word has changed that others may wait for. */
  announce(): void {
    if (Atomics.load(this.words, WAITERS) > 0) wakeAll(this.words, this.spec.nodes);
  }

  /** Whether all cores of the machine have taken kick `kick`. */
  allTook(kick: number): boolean {
    for (let node = 0; node < this.spec.nodes; node++) {
      if (this.isUp(node) && Atomics.load(this.words, threadWord(node) + KICKED) - kick < 0) return false;
    }
    return true;
  }

  /** Whether all cores but one stand still for it. */
  allStopped(stopper: number): boolean {
    for (let node = 0; node < this.spec.nodes; node++) {
      if (this.isUp(node) && Atomics.load(this.words, threadWord(node) + STOPPED) !== stopper) return false;
    }
    return true;
  }

  /** Whether the cores of a node run at all: those of one that is down stand still, and come back with empty caches. */
  private isUp(node: number): boolean {
    return Atomics.load(this.words, threadWord(node) + OFFLINE) === OFFLINE_UP;
  }

  protected takeKicks(): void {
    const kick = Atomics.load(this.words, KICK);
    if (kick === this.kickSeen) return;
    let taken = true;
    for (const cpu of this.cpus) {
      if (cpu.masked) taken = taken && cpu.kicked === kick;
      else cpu.kicked = kick;
    }
    if (!taken) return;
    this.kickSeen = kick;
    this.control.publish(this.own + KICKED, kick);
    this.announce();
  }

  /** The core that may run alone, -2 if all may, -1 if none of this node. */
  protected onlyCpu(): number {
    if (this.parked) return -1;
    const stopper = Atomics.load(this.words, STOPPER);
    const cpu = stoppingCpu(stopper);
    if (cpu < 0) return -2;
    if (stopper !== this.stopSeen) {
      for (const other of this.cpus) {
        // Those in the middle of kernel code run on until it is over; none begins anything new.
        if (other.cpu !== cpu && other.task !== null && !other.preemptible) return -3;
      }
      this.stopSeen = stopper;
      this.control.publish(this.own + STOPPED, stopper);
      this.announce();
    }
    return cpu;
  }

  /** When something sent now may be taken at the hypervisor. */
  dueAtHypervisor(): number {
    if (this.scale === 0) return 0;
    return this.now() + (this.latencies.linePs(this.id, this.spec.hypervisorNode) * this.scale) / 1e9;
  }

  /** A writer of this node has done so much; see LiveFaultMemory. */
  noteProgress(place: number, done: number): void {
    if (this.progress !== null) this.progress[place] = done;
  }

  // ---- what writers do ------------------------------------------------------------------------------------------------------

  /** Runs a task on a core, after those that it has to run before. */
  startTask(cpu: LiveCpu, task: () => Task): void {
    cpu.taskQueue.push(task);
  }

  /** A store to text that no table forbade. */
  untrapped(cpu: LiveCpu): number {
    this.checks.report('T2', `CPU ${cpu.cpu} stored to 0x${cpu.access.va.toString(16)} and stage 2 let it`);
    return ABORTED;
  }

  /** Where the latency of a write that is over now belongs; null: nothing is measured yet. */
  get latencyNow(): LatencyHistogram | null {
    if (Atomics.load(this.words, PHASE) === PHASE_WARM) return null;
    const agents = Atomics.load(this.words, AGENTS);
    if (agents < 0) return null;
    return agents === 1 ? this.latencyAlone : this.latency;
  }

  /** The core's write has been retired, and it leaves EL2. */
  writeOver(cpu: LiveCpu): void {
    const { checks, words, el2 } = this;
    const number = cpu.replyNumber;
    const word = cpu.trappedOffset >> 2;
    const count = ((cpu.trappedOffset + cpu.store.size + 3) >> 2) - word;
    checks.ended(word, count, number);
    this.writesOver++;
    cpu.overMs = this.now();
    this.latencyNow?.add((cpu.overMs - cpu.trappedMs) * 1e6);
    if (number > words[RECORD_LIMIT]!) return;
    el2.times.add(number, cpu.trappedTick, this.control.tick(), cpu.core);
  }

  /** The maintenance of what this core has stored to text is over. */
  endStores(cpu: LiveCpu): void {
    this.native?.end(cpu);
    if (cpu.trappedMs === 0) return;
    // Maintenance that followed the store at once took less than the histogram resolves.
    const now = cpu.overMs > 0 ? cpu.overMs : this.now();
    if (this.latencyNow !== null) this.maintained.add((now - cpu.trappedMs) * 1e6);
    cpu.trappedMs = 0;
  }

  noteSynchronisation(word: number, cpu: number): void {
    const { words } = this;
    if (Atomics.load(words, NUMBERED) > words[RECORD_LIMIT]!) return;
    this.synchronisations.push({ word, time: this.control.tick(), cpu, isStopped: false });
  }

  // ---- the loop -------------------------------------------------------------------------------------------------------------

  private readonly hasWork = (): boolean =>
    this.isBrought() || Atomics.load(this.words, PHASE) >= PHASE_END || this.somebodyWaits();

  private somebodyWaits(): boolean {
    const { words } = this;
    return (
      Atomics.load(words, KICK) !== this.kickSeen ||
      (stoppingCpu(Atomics.load(words, STOPPER)) >= 0 && Atomics.load(words, STOPPER) !== this.stopSeen)
    );
  }

  /** Runs until the phase is over. */
  run(): void {
    const { words, waiting } = this;
    waiting.begin();
    this.startMs = this.now();
    while (Atomics.load(words, PHASE) < PHASE_END && Atomics.load(words, FAILED) === 0) {
      if (!this.turn()) this.rest();
      else if ((this.turns & 15) === 0 && this.now() - this.sliceMs > SLICE_MS && waiting.isWanted) {
        waiting.yieldTurn();
        this.sliceMs = this.now();
      }
    }
    waiting.end();
    this.ranMs = this.now() - this.startMs;
  }

  /** One turn of everything. Returns whether there is more to do at once. */
  protected turn(): boolean {
    this.turns++;
    // Before what was brought is taken: between its arrival and EL2's handling of it cores run.
    const now = this.now();
    if (this.spec.workload.probe && now - this.probedMs >= PROBE_MS) {
      this.probedMs = now;
      this.probe();
    }
    let busy = this.receive();
    this.agent.run();
    this.writers.poll(now);
    const only = this.onlyCpu();
    if (only !== -1) busy = this.advance(only) || busy;
    this.takeKicks();
    if (this.order !== null) {
      this.publish();
      busy = this.order.turn() || busy;
    }
    if (only === -2) busy = this.walkSome(now) || busy;
    this.flush();
    return busy;
  }

  protected flush(): void {
    const { words, own } = this;
    this.fromHypervisor.release();
    this.publish();
    words[own + DONE] = this.writesOver;
    words[own + TURNS] = this.turns;
  }

  /** Lets the hypervisor see what was put: it goes on with a write while the next core's store is being decoded. */
  publish(): void {
    if (this.order !== null) this.publishToParts();
    else if (this.toHypervisor.publish()) wakeHypervisor(this.words, this.spec.nodes);
  }

  private publishToParts(): void {
    const { toOrder, words, spec } = this;
    for (let node = 0; node < toOrder.length; node++) {
      if (toOrder[node]!.publish() && node !== this.id) wakeNode(words, spec.nodes, node);
    }
  }

  protected receive(): boolean {
    const ring = this.fromHypervisor;
    const now = this.scale === 0 ? 0 : this.now();
    let any = false;
    while (this.hasRoom() && ring.next(now)) {
      any = true;
      if (ring.kind === RETIRE) this.el2.retired(this.cpus[ring.word()]!, ring.word(), null);
      else this.hear(ring);
    }
    return any;
  }

  private hasRoom(): boolean {
    for (const ring of this.toOrder) if (ring.backlog > 0) return false;
    return true;
  }

  /** The hypervisor says something that is for the protocol's half. */
  protected hear(ring: LiveRingReader): void {
    const from = ring.word();
    const ask = ring.kind >= ASK_WRITE ? ring.word() : -1;
    this.agent.deliver(takeMessage(ring), ask, from);
  }

  /** Lets tasks go on: all, or that of one core. Returns whether any did. */
  protected advance(only: number): boolean {
    let any = false;
    for (const cpu of this.cpus) {
      if (only >= 0 && cpu.cpu !== only) continue;
      if (cpu.task === null) {
        if (only !== -2 || cpu.taskQueue.length === 0) continue;
        cpu.task = new TaskRun(cpu.taskQueue.shift()!());
        cpu.ready = true;
      }
      if (!cpu.ready && !cpu.polls) continue;
      const polled = cpu.polls;
      cpu.ready = false;
      cpu.overMs = 0;
      if (cpu.task.resume() === null) {
        cpu.task = null;
        cpu.masked = false;
        any = true;
      } else if (!polled || !cpu.polls) any = true;
    }
    return any;
  }

  /** Lets cores walk as far as duty allows, and probes writes in flight. Returns whether there is more of it to do at once. */
  protected walkSome(now: number): boolean {
    if (this.walkMs > this.duty * (now - this.startMs) || !isRunning(Atomics.load(this.words, PHASE))) return false;
    const cpu = this.cpus[this.nextWalker]!;
    this.nextWalker = this.nextWalker + 1 === this.cpus.length ? 0 : this.nextWalker + 1;
    const begun = this.now();
    if (cpu.task === null && cpu.waitsForPage < 0) this.walk.run(cpu, WALK_GROUPS);
    const ended = this.now();
    this.walkMs += ended - begun;
    return this.walkMs <= this.duty * (ended - this.startMs);
  }

  /** A core that walks fetches the word of one of the last writes, as a jump to it would. */
  protected probe(): void {
    const numbered = Atomics.load(this.words, NUMBERED);
    if (numbered === 0) return;
    const { recent } = this.shared;
    const number = numbered - this.random.below(Math.min(numbered, PROBED_WRITES));
    const word = Atomics.load(recent, number & (recent.length - 1));
    const cpu = this.cpus[this.random.below(this.cpus.length)]!;
    if (cpu.task !== null || cpu.waitsForPage >= 0 || this.onlyCpu() !== -2) return;
    this.probes++;
    this.fetch.group(cpu, (word * 4) & ~15);
  }

  protected rest(): void {
    const { words, own, waiting, fromHypervisor, toHypervisor } = this;
    // The hypervisor is at what this node sent, and the thread has run no longer than its slice.
    if (this.order !== null && waiting.spinAlone(this.isBrought)) return;
    if (this.order === null && !toHypervisor.isTaken && this.now() - this.sliceMs <= SLICE_MS) {
      if (waiting.spin(this.isBrought, this.isAnswered)) return;
    }
    let sent = this.order?.sent ?? 0;
    for (const ring of this.toOrder) sent += ring.sent;
    Atomics.store(words, own + SENT, sent);
    Atomics.store(words, own + TAKEN, fromHypervisor.taken + (this.order?.taken ?? 0));
    Atomics.store(words, own + IDLE, this.isIdle ? 1 : 0);
    Atomics.store(words, own + FINITE, this.writers.finiteDone ? 1 : 0);
    this.watchTraps();
    const ms = this.napMs();
    if (ms > 0 && waiting.wait(this.hasWork, ms)) this.sliceMs = this.now();
    else if (!fromHypervisor.hasMore && waiting.isWanted) {
      // What it waits for may be up to a core of the node that waits for this permit.
      waiting.yieldTurn();
      this.sliceMs = this.now();
    }
    Atomics.store(words, own + IDLE, 0);
  }

  private readonly isBrought = (): boolean => this.hasMail() || this.order?.hasMail() === true;

  /** Whether something was brought to this node. */
  protected hasMail(): boolean {
    return this.fromHypervisor.hasMore;
  }

  /** What this node has sent has been taken, with all that can come of it at once. */
  private readonly isAnswered = (): boolean => this.toHypervisor.isTaken;

  /** For how long nothing is to be done here unless somebody wakes the thread. */
  protected napMs(): number {
    const now = this.now();
    const due = this.fromHypervisor.nextDue();
    const order = this.order?.nextMs() ?? Infinity;
    let ms = Math.min(NAP_MS, this.agent.nextMs() - now, this.writers.nextMs() - now, due - now, order - now);
    if (this.cpus.some((cpu) => cpu.polls)) ms = Math.min(ms, 1);
    const { duty } = this;
    if (duty > 0 && isRunning(Atomics.load(this.words, PHASE))) {
      ms = Math.min(ms, Math.max(WALK_NAP_MS, this.walkMs / duty - (now - this.startMs)));
    }
    return ms;
  }

  protected get isIdle(): boolean {
    return (
      this.agent.isIdle &&
      !this.fromHypervisor.hasMore &&
      this.hasRoom() &&
      this.order?.isIdle !== false &&
      this.writers.finiteDone &&
      this.cpus.every((cpu) => cpu.task === null && cpu.taskQueue.length === 0)
    );
  }

  private watchTraps(): void {
    if (this.stuck) return;
    const now = this.now();
    for (const cpu of this.cpus) {
      if (cpu.trappedTick < 0 || now - cpu.trappedMs < TRAP_BOUND_MS) continue;
      this.stuck = true;
      this.checks.report(
        'L1',
        `CPU ${cpu.cpu} trapped with a store ${Math.round(now - cpu.trappedMs)} ms ago and still waits`,
      );
    }
  }
}
