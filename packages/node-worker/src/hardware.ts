import { assert } from '@numalab/base';
import {
  CpuRegisters,
  EmulatedStore,
  InstructionCache,
  Latencies,
  type LatencyProfile,
  LINE_CELLS,
  NO_OBSERVER,
  NodeMemory,
  type PagePoolState,
  Stage1Walk,
  type Stage2Config,
  type TableObserver,
  type TableOp,
  TagCache,
  Tlb,
} from '@numalab/machine';
import { type BootedTables, buildTables, imageWords, reopenTables } from './boot.ts';
import { layOut, type MachineLayout } from './layout.ts';
import type { MachineSpec } from './spec.ts';
import { buildStage1, type Stage1Map } from './stage1-map.ts';
import type { Vcpu } from './vcpu.ts';
import { FetchGroup } from './vcpu.ts';

/** What the cores of a node have cached of their translations, and what VAs mean: for the judge of T5. */
export interface TranslatingNode {
  readonly cpus: readonly Vcpu[];
  /** TLB entries lead from VA to IPA, and stage 2 is cached apart. */
  readonly nested: boolean;
  /** IPA of a VA of the image or of the linear map; -1 for others. */
  ipaOfVa(va: number): number;
  /** IPA of an offset from `_text`. */
  ipaOfText(offset: number): number;
}

/** Is told of a node's table edits and of the barriers and invalidations between them: for the judges of T4 and for export. */
export interface TableWatcher {
  readonly observer: TableObserver;
  /** What it found wrong so far, and how many stores to tables it judged. */
  readonly findings: readonly { readonly id: string; readonly message: string }[];
  readonly evidence: number;
  /** The acting thread (0: the node's EL2 context, 1: the hypervisor) performed `op`. */
  performed(op: TableOp, thread: number): void;
  /** The thread has taken, or gives back, the lock of these tables. At boot it is held until the tables are made. */
  locked?(thread: number): void;
  unlocked?(thread: number): void;
  /** The cores begin to run: what they cache of the tables may be looked at. */
  attach?(node: TranslatingNode): void;
  /** Cached translations that were judged; asked for after {@link findings}. */
  readonly translations?: number;
  /** One that has seen what this one has; needed where a machine is used again after boot. */
  copy?(): TableWatcher;
}

/** Makes the watcher of a node's tables, before anything is in them. */
export type TableWatcherFactory = (node: number, memory: NodeMemory, config: Stage2Config) => TableWatcher;

/** The registers, caches and translation buffers of one core. */
export class CoreHardware {
  readonly registers: CpuRegisters = new CpuRegisters();
  /** One walk each: walks of several cores, and a core's own and EL2's AT, are under way at once. */
  readonly walk: Stage1Walk = new Stage1Walk();
  readonly el2Walk: Stage1Walk = new Stage1Walk();
  readonly l1i: InstructionCache;
  readonly l2: TagCache;
  readonly tlb: Tlb;
  /** Walk cache: stage-2 leaves (IPA to PA), and where the stage-1 table of a level is, by VA, at level + 1. */
  readonly stage2Leaves: Tlb;
  readonly stage1Tables: readonly Tlb[];
  /** Where the stage-2 table of a level is, by IPA, at level + 1. */
  readonly stage2Tables: readonly Tlb[];
  /** The store that trapped on it last; decoding the next begins anew. */
  readonly store: EmulatedStore = new EmulatedStore();
  /** The two groups that were fetched last, and ahead of that. Whoever uses them empties them first. */
  readonly fetchBuffer: readonly [FetchGroup, FetchGroup] = [new FetchGroup(), new FetchGroup()];
  private stack: Int32Array = new Int32Array(0);

  constructor({ caches }: LatencyProfile) {
    this.l1i = new InstructionCache(caches.l1i.bytes, caches.l1i.ways);
    this.l2 = new TagCache(caches.l2.bytes, caches.l2.ways);
    this.tlb = new Tlb(caches.tlbEntries[0]);
    this.stage2Leaves = new Tlb(caches.walkCacheEntries[0]);
    this.stage1Tables = Array.from({ length: 5 }, () => new Tlb(16));
    this.stage2Tables = Array.from({ length: 5 }, () => new Tlb(16));
  }

  /** Room for `depth` return addresses, contents undefined. */
  callStack(depth: number): Int32Array {
    if (this.stack.length !== depth) this.stack = new Int32Array(depth);
    return this.stack;
  }

  /** As at power-on. */
  reset(): void {
    this.registers.reset();
    this.l1i.reset();
    this.l2.reset();
    this.tlb.reset();
    this.stage2Leaves.reset();
    for (const tables of this.stage1Tables) tables.reset();
    for (const tables of this.stage2Tables) tables.reset();
  }
}

/** What {@link NodeHardware.reset} goes back to. */
interface BootState {
  readonly pool: PagePoolState | null;
  readonly watcher: TableWatcher | null;
}

/**
 * What of a node is expensive to make and the same for every seed: memory with the image in it, tables, caches. Everything
 * else about a node is made anew for each run, so that nothing of the last one can be left in it.
 */
export class NodeHardware {
  readonly id: number;
  readonly layout: MachineLayout;
  readonly latencies: Latencies;
  readonly memory: NodeMemory;
  readonly stage1: Stage1Map;
  readonly cores: readonly CoreHardware[];
  readonly llc: TagCache;
  /** What EL2 compares a core with. */
  readonly scratchRegisters: CpuRegisters = new CpuRegisters();
  /** Room for a line that is looked at and then forgotten, and for one whose maintenance is checked. */
  readonly scratchLine: Uint32Array = new Uint32Array(LINE_CELLS);
  readonly checkedLine: Uint32Array = new Uint32Array(LINE_CELLS);
  private readonly lines: Uint32Array[] = [];
  private linesTaken = 0;
  /** As boot leaves them; new objects after every reset. */
  tables: BootedTables | null;
  watcher: TableWatcher | null = null;
  private readonly spec: MachineSpec;
  private boot: BootState | null = null;

  constructor(id: number, spec: MachineSpec, watcherOf: TableWatcherFactory | null) {
    this.id = id;
    this.spec = spec;
    this.layout = layOut(spec);
    this.latencies = new Latencies(spec.topology, spec.profile);
    this.memory = new NodeMemory(spec.base + id * spec.memoryPerNode, spec.memoryPerNode, spec.arenaBytes);
    if (id === 0 || spec.strategy !== 'none') {
      this.memory.addText(this.layout.copyPa[id]!, imageWords(spec, this.layout));
    }
    this.stage1 = buildStage1(spec, this.layout, id, this.memory);
    this.tables = spec.strategy === 'stage2' ? this.buildTables(watcherOf) : null;
    // The last core is EL2's agent.
    this.cores = Array.from({ length: spec.coresPerNode + 1 }, () => new CoreHardware(spec.profile));
    const { llc } = spec.profile.caches;
    this.llc = new TagCache(llc.bytes, llc.ways);
  }

  private buildTables(watcherOf: TableWatcherFactory | null): BootedTables {
    const tables = buildTables(this.id, this.spec, this.layout, this.memory, (config) => {
      this.watcher = watcherOf?.(this.id, this.memory, config) ?? null;
      return this.watcher?.observer ?? NO_OBSERVER;
    });
    this.watcher?.unlocked?.(0);
    return tables;
  }

  /** Makes {@link reset} possible. To be called before anything runs; stores cost a little more from here on. */
  checkpoint(): void {
    assert(
      this.watcher === null || this.watcher.copy !== undefined,
      'the watcher of a machine that is reset can be copied',
    );
    this.memory.checkpoint(imageWords(this.spec, this.layout));
    this.boot = { pool: this.tables?.pool.save() ?? null, watcher: this.watcher?.copy?.() ?? null };
  }

  /** Room for a line with its write numbers, contents undefined. It is taken back at the next reset. */
  takeLine(): Uint32Array {
    const line = this.lines[this.linesTaken] ?? new Uint32Array(LINE_CELLS);
    // Without resets nothing comes back: then nothing is kept either.
    if (this.boot !== null) this.lines[this.linesTaken++] = line;
    return line;
  }

  /** As at the end of boot, at the cost of what the run since then has touched. */
  reset(): void {
    assert(this.boot !== null, 'a checkpoint before a reset');
    const { pool, watcher } = this.boot;
    this.memory.rollback();
    this.linesTaken = 0;
    for (const core of this.cores) core.reset();
    this.llc.reset();
    this.watcher = watcher?.copy?.() ?? null;
    if (this.tables === null) return;
    this.tables.pool.restore(pool!);
    const observer = this.watcher?.observer ?? NO_OBSERVER;
    this.tables = reopenTables(this.tables, this.spec, this.memory, observer);
  }
}
