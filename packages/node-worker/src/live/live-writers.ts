import { Random, type Task, WAIT } from '@numalab/base';
import {
  type PatchWriter,
  placeInside,
  type RecordedWriter,
  type SyntheticWriter,
  storeRecorded,
  storeSynthetic,
  switchItem,
} from '@numalab/kernel';
import type { LiveCpu } from './live-cpu.ts';
import { copyStoresOf, LiveKernelCpu } from './live-kernel.ts';
import type { LiveNode } from './live-node.ts';
import { allowedAgents, isRunning, NEXT_ROW, PHASE, PHASE_FINITE, WAITERS } from './shared-words.ts';

const MAX_AGENTS = 4096;
const PS_PER_MS = 1e9;

/** An agent of a synthetic writer that is this node's. */
interface Agent {
  readonly writer: SyntheticWriter;
  /** Its place among all agents of the writer. */
  readonly agent: number;
  readonly core: number;
  readonly random: Random;
  readonly data: Uint8Array;
  /** Writes that it makes in all. */
  readonly own: number;
  /** Where its progress is kept. */
  readonly place: number;
  done: number;
  running: boolean;
}

/** A patch writer's next action on this node. */
interface Patches {
  readonly writer: PatchWriter;
  /** Where its progress is kept: the action after the last that is over. */
  readonly place: number;
  next: number;
  dueMs: number;
  running: boolean;
  /** An earlier life of the node may have left it anywhere in its next action. */
  redoes: boolean;
}

/**
 * Starts the writers' actions on this node's cores, in real time. Which action runs on which core follows from the plan; when,
 * from rate and start, which here are real. Endless writers write until the phase changes.
 */
export class LiveWriters {
  private readonly node: LiveNode;
  private readonly kernels: LiveKernelCpu[];
  /** What writers of this node had done before it began. */
  private readonly progress: Int32Array | null;
  /** Rows of the trace before this one were over when the node began. */
  private readonly firstRow: number;
  private readonly agents: Agent[] = [];
  private readonly patches: Patches[] = [];
  private originMs = 0;
  private begun = false;
  private places = 0;
  private traceRows = 0;
  private pendingTrace = 0;
  actions = 0;

  /** `progress` has what writers have done if the node's thread may end before the run does; `isReborn`: one before this has. */
  constructor(node: LiveNode, progress: Int32Array | null, isReborn: boolean) {
    this.node = node;
    this.progress = progress;
    this.firstRow = Atomics.load(node.words, NEXT_ROW);
    const stores = copyStoresOf(node);
    this.kernels = node.cpus.map((cpu) => new LiveKernelCpu(node, cpu, stores));
    for (const [index, writer] of node.spec.writers.entries()) {
      if (writer.kind === 'synthetic') this.addAgents(index, writer);
      else if (writer.kind === 'recorded') this.addTrace(writer);
      else this.addPatches(writer, isReborn);
    }
  }

  private isOwn(vcpu: number): boolean {
    return Math.floor(vcpu / this.node.spec.coresPerNode) === this.node.id;
  }

  private coreOf(vcpu: number): number {
    return vcpu % this.node.spec.coresPerNode;
  }

  private addAgents(index: number, writer: SyntheticWriter): void {
    const { agents, actions } = writer;
    for (const [agent, vcpu] of agents.entries()) {
      const place = this.places++;
      const own = actions === null ? Infinity : Math.floor((actions - agent + agents.length - 1) / agents.length);
      if (!this.isOwn(vcpu) || own <= 0) continue;
      this.agents.push({
        writer,
        agent,
        core: this.coreOf(vcpu),
        random: new Random(this.node.spec.seed, 'synthetic', index * MAX_AGENTS + agent),
        data: new Uint8Array(64),
        own,
        place,
        done: this.progress?.[place] ?? 0,
        running: false,
      });
    }
  }

  private addPatches(writer: PatchWriter, redoes: boolean): void {
    const place = this.places++;
    const next = this.nextOwn(writer, (this.progress?.[place] ?? 0) - 1);
    this.patches.push({ writer, place, next, dueMs: 0, running: false, redoes });
  }

  private addTrace(writer: RecordedWriter): void {
    const cores = new Set<number>();
    for (const vcpu of writer.cpus) if (this.isOwn(vcpu)) cores.add(this.coreOf(vcpu));
    for (const core of cores) {
      this.pendingTrace++;
      this.node.startTask(this.node.cpus[core]!, () => this.runTrace(writer, core));
    }
    this.traceRows = Math.max(this.traceRows, writer.rows.length);
  }

  /** The next action of a patch writer that is this node's, after `k`; Infinity if there is none. */
  private nextOwn({ items, actions }: PatchWriter, k: number): number {
    const end = actions ?? k + 1 + items.length;
    for (let next = k + 1; next < end; next++) if (this.isOwn(items[next % items.length]!.cpu)) return next;
    return Infinity;
  }

  /** Begins what is due. The other writers begin when the recorded trace, if there is one, is over. */
  poll(now: number): void {
    const { words } = this.node;
    const phase = Atomics.load(words, PHASE);
    if (!isRunning(phase) && phase !== PHASE_FINITE) return;
    if (!this.begun) {
      if (Atomics.load(words, NEXT_ROW) < this.traceRows) return;
      this.begun = true;
      this.originMs = now;
    }
    const allowed = allowedAgents(words);
    for (const agent of this.agents) {
      if (phase === PHASE_FINITE && agent.own === Infinity) continue;
      if (!agent.running && agent.done < agent.own && agent.agent < allowed) this.beginAgent(agent, now);
    }
    for (const patches of this.patches) {
      if (phase === PHASE_FINITE && patches.writer.actions === null) continue;
      if (!patches.running && patches.next < Infinity) this.beginPatches(patches, now);
    }
  }

  /** When {@link poll} has something to do, if nothing else happens. */
  nextMs(): number {
    const { words } = this.node;
    const phase = Atomics.load(words, PHASE);
    if (!this.begun || (!isRunning(phase) && phase !== PHASE_FINITE)) return Infinity;
    const allowed = allowedAgents(words);
    let next = Infinity;
    for (const { dueMs, running, next: action } of this.patches) {
      if (!running && action < Infinity && dueMs < next) next = dueMs;
    }
    for (const agent of this.agents) {
      if (agent.agent < allowed && !agent.running && agent.done < agent.own)
        next = Math.min(next, this.agentDueMs(agent));
    }
    return next;
  }

  private agentDueMs({ writer, agent, done }: Agent): number {
    const { startPs, intervalPs, agents } = writer;
    return this.originMs + (startPs + (done + agent / agents.length) * intervalPs) / PS_PER_MS;
  }

  private beginAgent(agent: Agent, now: number): void {
    if (this.agentDueMs(agent) > now) return;
    agent.running = true;
    this.node.startTask(this.node.cpus[agent.core]!, () => this.runAgent(agent));
  }

  /** Writes of an agent, one after the other while they are due and nobody else wants its core. */
  private *runAgent(agent: Agent): Task {
    const { node } = this;
    const { writer, data, random, core } = agent;
    const cpu = node.cpus[core]!;
    const kernel = this.kernels[core]!;
    do {
      const form = writer.forms[random.below(writer.forms.length)]!;
      const place = writer.places[random.below(writer.places.length)]!;
      const offset = place + placeInside(writer, form, random);
      this.fillData(agent, form.bytes);
      yield storeSynthetic(kernel, form, offset, data, writer.sync);
      agent.done++;
      node.noteProgress(agent.place, agent.done);
      this.actions++;
    } while (this.mayGoOn(agent, cpu));
    agent.running = false;
  }

  /** Every value is different: which agent, which of its writes, which byte group. */
  private fillData({ data, done, agent }: Agent, bytes: number): void {
    for (let b = 0; b < bytes; b += 4) {
      data[b] = done;
      data[b + 1] = done >> 8;
      data[b + 2] = agent + (b << 4);
      data[b + 3] = 0x40 + (b >> 2) + ((done >> 16) << 4);
    }
  }

  private mayGoOn(agent: Agent, cpu: LiveCpu): boolean {
    const { words } = this.node;
    if (agent.done === agent.own || cpu.taskQueue.length > 0 || agent.writer.intervalPs > 0) return false;
    const phase = Atomics.load(words, PHASE);
    const isOpen = isRunning(phase) || (phase === PHASE_FINITE && agent.own < Infinity);
    return isOpen && agent.agent < allowedAgents(words);
  }

  private beginPatches(patches: Patches, now: number): void {
    const { writer } = patches;
    const { items, intervalPs, startPs } = writer;
    const k = patches.next;
    patches.dueMs = this.originMs + (startPs + k * intervalPs) / PS_PER_MS;
    if (patches.dueMs > now) return;
    const item = items[k % items.length]!;
    const round = Math.floor(k / items.length);
    const core = this.coreOf(item.cpu);
    const kernel = this.kernels[core]!;
    const task = function* (this: LiveWriters): Task {
      kernel.redoes = patches.redoes;
      yield switchItem(kernel, writer.kind, item, round % 2 === 0, round === 0);
      kernel.redoes = false;
      patches.redoes = false;
      this.node.noteProgress(patches.place, k + 1);
      this.actions++;
      patches.running = false;
    }.bind(this);
    patches.running = true;
    patches.next = this.nextOwn(writer, k);
    this.node.startTask(this.node.cpus[core]!, task);
  }

  /** The rows of the recorded trace that are this core's, each when all rows before it are over. */
  private *runTrace(writer: RecordedWriter, core: number): Task {
    const { node } = this;
    const cpu = node.cpus[core]!;
    for (let k = 0; k < writer.rows.length; k++) {
      if (writer.cpus[k] !== cpu.cpu || k < this.firstRow) continue;
      Atomics.add(node.words, WAITERS, 1);
      cpu.polls = true;
      cpu.preemptible = true;
      while (Atomics.load(node.words, NEXT_ROW) < k) yield WAIT;
      cpu.preemptible = false;
      cpu.polls = false;
      Atomics.sub(node.words, WAITERS, 1);
      yield storeRecorded(this.kernels[core]!, writer.trace, writer.rows[k]!);
      node.control.advance(NEXT_ROW, k);
      node.announce();
      this.actions++;
    }
    this.pendingTrace--;
  }

  /** Whether finite work of this node is over: rows of the trace, and writers that make a number of writes. */
  get finiteDone(): boolean {
    return (
      this.pendingTrace === 0 &&
      this.agents.every(({ own, done }) => own === Infinity || done >= own) &&
      this.patches.every(({ writer, next, running }) => writer.actions === null || (next === Infinity && !running))
    );
  }
}
