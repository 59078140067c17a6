import type { Pause, Step, Task } from '@numalab/base';
import type { Message, SessionLayer } from '@numalab/interconnect';
import type { Latencies, NodeMemory, TableOp } from '@numalab/machine';
import type { Agent } from './agent.ts';
import type { ApplyLog } from './apply-log.ts';
import type { Submission } from './el2.ts';
import type { TableWatcher } from './hardware.ts';
import type { MachineLayout } from './layout.ts';
import type { NodeLife } from './node-life.ts';
import type { Scrubber } from './scrubber.ts';
import type { MachineSpec } from './spec.ts';
import type { TextPages } from './text-pages.ts';
import type { Vcpu } from './vcpu.ts';
import type { Wire } from './wire.ts';

/** What EL2's software knows of the core that it runs on, or that waits for it. */
export type AgentCpu = Pick<Vcpu, 'core' | 'time' | 'replyNumber' | 'abandonTask' | 'loseCaches'>;

/** Stores of EL2's agent, and what it reads. */
interface AgentCoherence {
  storeOwnText(cpu: AgentCpu, pa: number, words: readonly number[], number: number): Step<void>;
  load32(cpu: AgentCpu, pa: number): Step<number>;
  readLine(pa: number, out: Uint32Array, at: number, fetch: boolean): void;
  cleanAll(): void;
  dropDirty(): void;
}

interface AgentMaintenance {
  cleanInvalidate(cpu: AgentCpu, pa: number, bytes: number): Step<void>;
  cleanLine(cpu: AgentCpu, pa: number): Pause;
  invalidateLine(cpu: AgentCpu, pa: number): Pause;
  broadcast(cpu: AgentCpu, operation: number, address: number): Pause;
  dsb(cpu: AgentCpu): Pause;
  tlbiStage2(cpu: AgentCpu, ipa: number): Step<void>;
  perform<Result>(cpu: AgentCpu, edit: Generator<TableOp, Result>): Step<Result>;
}

interface AgentTables {
  readonly editor: {
    map(ipa: number, bytes: number, pa: number, attrs: number): Generator<TableOp, number>;
    unmap(ipa: number, bytes: number): Generator<TableOp, number>;
    writeProtect(ipa: number, bytes: number): Generator<TableOp, number>;
    getLeaf(ipa: number): number;
    readonly leafEntryPa: number;
    readonly leafLo: number;
  };
  readonly host: { unmapMmio(): Generator<TableOp, number> };
}

interface AgentEl2 {
  readonly isLocked: boolean;
  lock(cpu: AgentCpu): Step<void>;
  unlock(cpu: AgentCpu): void;
  wakeWaiting(at: number): void;
  forgetWaiting(cpu: AgentCpu): void;
}

/**
 * What EL2's agent on a node, its crashes and returns, and the pages of the text need of the machine around them: a
 * `NodeProcess`, or the one line of memory that an exhaustive search has instead of it.
 */
export interface AgentHost {
  readonly id: number;
  readonly spec: MachineSpec;
  readonly layout: MachineLayout;
  readonly latencies: Pick<Latencies, 'handlePs' | 'storePs' | 'ipiHandlePs'>;
  readonly cpus: readonly AgentCpu[];
  readonly agentCpu: AgentCpu;
  readonly agent: Agent;
  readonly life: NodeLife | null;
  readonly textPages: TextPages;
  /** Null where copies are not scrubbed. */
  readonly scrubber: Scrubber | null;
  readonly applyLog: ApplyLog;
  readonly sessions: Pick<SessionLayer, 'resume' | 'close' | 'restart'>;
  readonly coherence: AgentCoherence;
  readonly maintenance: AgentMaintenance;
  readonly memory: Pick<NodeMemory, 'textAt' | 'reloadText' | 'loseText' | 'store32'>;
  readonly tables: AgentTables | null;
  readonly tableOps: TableWatcher | null;
  readonly el2: AgentEl2;
  readonly submitted: ReadonlyMap<number, Submission>;
  readonly scratchLine: Uint32Array;
  readonly isHalted: boolean;
  copyOf(offset: number): number;
  primaryOf(offset: number): number;
  isShared(offset: number): boolean;
  isReplicated(offset: number): boolean;
  transmit(to: number, wire: Wire, at: number): void;
  submit(core: number, submission: Submission, at: number): void;
  startTask(cpu: AgentCpu, task: () => Task, at: number): void;
  /** See NodeProcess. Never where what others could do at every yield is what is searched. */
  passes(cpu: AgentCpu, pause: Pause): boolean;
  setTimer(at: number, generation: number, tag: number): void;
  postLocal(at: number, kind: number, a: number, b: number): void;
  wakeLater(cpu: AgentCpu, at: number): void;
  halt(at: number): void;
  release(at: number): void;
  unhalt(at: number): void;
  countStanding(at: number): void;
  tellPlatform(kind: number, a: number, at: number): void;
  receive(message: Message): void;
  dispatch(message: Message): void;
}
