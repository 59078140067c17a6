import { Random, type Task, WAIT } from '@numalab/base';
import * as link from '@numalab/interconnect';
import {
  type PatchWriter,
  placeInside,
  type RecordedWriter,
  type SyntheticWriter,
  storeRecorded,
  storeSynthetic,
  switchItem,
} from '@numalab/kernel';
import { CoreCpu } from './core-cpu.ts';
import type { NodeProcess } from './node.ts';

/** Whether a writer performs its `k`-th action. */
const performs = ({ only }: PatchWriter | SyntheticWriter, k: number): boolean => only === null || only.includes(k);
/** Behind its last action. */
const endOf = ({ only }: PatchWriter | SyntheticWriter): number => (only === null ? Infinity : (only.at(-1) ?? -1) + 1);

const MAX_AGENTS = 4096;
/** Random choices of one synthetic store: form, place, offset. */
const DRAWS = 3;
/** By then every node knows that the writers begin: longer than any message between nodes. */
const NEWS_PS = 10_000_000;

/** How far an agent of a synthetic writer is. */
interface AgentState {
  done: number;
  readonly own: number;
  readonly random: Random;
}

/**
 * Starts the writers' actions on this node's cores: which action runs where and when follows from the plan alone, so every
 * node finds its own. Knows when this node's share of the finite work is done, and on node 0 when everybody's is.
 */
export class WriterDriver {
  private readonly node: NodeProcess;
  private readonly cores: CoreCpu[] = [];
  /** Next action of each patch writer that is this node's. */
  private readonly nextAction: number[] = [];
  /** Finite actions of this node that are not over. */
  private outstanding = 0;
  private durationOver = false;
  private reported = false;
  private nodesDone = 0;
  private nodesTraced = 0;
  private rowsLeft = 0;
  /** When the writers began, and when the endless ones end. */
  private origin = 0;
  private end = 0;
  private readonly agents = new Map<number, AgentState>();
  private readonly doneRows = new Set<number>();
  /** Actions finished. */
  actions = 0;

  constructor(node: NodeProcess) {
    this.node = node;
  }

  begin(): void {
    const { node } = this;
    const { spec } = node;
    for (let core = 0; core < spec.coresPerNode; core++) this.cores.push(new CoreCpu(node, node.cpus[core]!));
    const recorded = spec.writers.findIndex((writer) => writer.kind === 'recorded');
    if (recorded < 0) this.beginOthers(0);
    else node.postLocal(0, link.BEGIN_TRACE, recorded, 0);
  }

  /** Begins all writers but the recorded one, and the duration, at `origin`: after the trace, which comes first as at boot. */
  private beginOthers(origin: number): void {
    const { node } = this;
    const { spec } = node;
    this.origin = origin;
    this.end = origin + spec.workload.durationPs;
    for (const [index, writer] of spec.writers.entries()) {
      this.nextAction.push(-1);
      if (writer.kind === 'recorded') continue;
      if (writer.kind === 'synthetic') this.beginSynthetic(index, writer);
      else {
        if (writer.actions !== null) this.outstanding += this.ownActions(writer);
        this.scheduleNext(index, writer, 0);
      }
    }
    node.postLocal(this.end, link.DURATION_OVER, 0, 0);
  }

  private isOwn(vcpu: number): boolean {
    const { coresPerNode } = this.node.spec;
    return Math.floor(vcpu / coresPerNode) === this.node.id;
  }

  private coreOf(vcpu: number): number {
    return vcpu % this.node.spec.coresPerNode;
  }

  private ownActions(writer: PatchWriter): number {
    let count = 0;
    for (let k = 0; k < writer.actions!; k++) {
      if (this.isOwn(writer.items[k % writer.items.length]!.cpu) && performs(writer, k)) count++;
    }
    return count;
  }

  /** Finds this node's next action of a patch writer and schedules it, not before `now`. */
  private scheduleNext(index: number, writer: PatchWriter, now: number): void {
    const { items, actions, intervalPs, startPs } = writer;
    let k = this.nextAction[index]! + 1;
    const end = Math.min(actions ?? Infinity, writer.only === null ? k + items.length : endOf(writer));
    while (k < end && !(this.isOwn(items[k % items.length]!.cpu) && performs(writer, k))) k++;
    if (k >= end) return;
    this.nextAction[index] = k;
    const time = Math.max(now, this.origin + startPs + k * intervalPs);
    if (actions === null && time >= this.end) return;
    this.node.postLocal(time, link.BEGIN_ACTION, index, k);
  }

  private beginAction(index: number, k: number, at: number): void {
    const { node } = this;
    const writer = node.spec.writers[index] as PatchWriter | SyntheticWriter;
    if (writer.kind === 'synthetic') {
      const own = this.coreOf(writer.agents[k]!);
      node.startTask(node.cpus[own]!, () => this.runSynthetic(index, writer, k, own), at);
      return;
    }
    const item = writer.items[k % writer.items.length]!;
    const round = Math.floor(k / writer.items.length);
    const core = this.coreOf(item.cpu);
    node.startTask(node.cpus[core]!, () => this.runPatch(index, writer, item, round, core), at);
    if (writer.intervalPs > 0) this.scheduleNext(index, writer, at);
  }

  private *runPatch(
    index: number,
    writer: PatchWriter,
    item: PatchWriter['items'][number],
    round: number,
    core: number,
  ): Task {
    const { node } = this;
    // An endless writer's action that was put off beyond the duration is not begun.
    if (writer.actions === null && node.cpus[core]!.time >= this.end) return;
    yield switchItem(this.cores[core]!, writer.kind, item, round % 2 === 0, round === 0);
    this.finished(writer.actions !== null);
    if (writer.intervalPs === 0) this.scheduleNext(index, writer, node.cpus[core]!.time);
  }

  private beginSynthetic(index: number, writer: SyntheticWriter): void {
    const { agents, actions, startPs, intervalPs } = writer;
    for (const [agent, vcpu] of agents.entries()) {
      const own = actions === null ? Infinity : Math.floor((actions - agent + agents.length - 1) / agents.length);
      if (!this.isOwn(vcpu) || own <= 0) continue;
      for (let done = 0; actions !== null && done < own; done++) {
        if (performs(writer, done * agents.length + agent)) this.outstanding++;
      }
      const random = new Random(this.node.spec.seed, 'synthetic', index * MAX_AGENTS + agent);
      const state = { done: 0, own, random };
      this.agents.set(index * MAX_AGENTS + agent, state);
      if (!this.skip(writer, agent, state)) continue;
      const due = this.origin + startPs + Math.floor((state.done + agent / agents.length) * intervalPs);
      this.node.postLocal(due, link.BEGIN_ACTION, index, agent);
    }
  }

  /** Leaves out what an agent does not perform, with the choices that it would have made. False: nothing is left. */
  private skip(writer: SyntheticWriter, agent: number, state: AgentState): boolean {
    const count = writer.agents.length;
    const end = endOf(writer);
    for (;;) {
      const k = state.done * count + agent;
      if (state.done >= state.own || k >= end) return false;
      if (performs(writer, k)) return true;
      for (let draw = 0; draw < DRAWS; draw++) state.random.next();
      state.done++;
    }
  }

  /** One store of an agent; its next is scheduled when it is over. */
  private *runSynthetic(index: number, writer: SyntheticWriter, agent: number, core: number): Task {
    const { node } = this;
    const cpu = node.cpus[core]!;
    const state = this.agents.get(index * MAX_AGENTS + agent)!;
    if (state.own === Infinity && cpu.time >= this.end) return;
    const { random } = state;
    const form = writer.forms[random.below(writer.forms.length)]!;
    const place = writer.places[random.below(writer.places.length)]!;
    const offset = place + placeInside(writer, form, random);
    const data = new Uint8Array(64);
    // Every value is different: which agent, which of its writes, which byte group.
    for (let b = 0; b < data.length; b += 4) {
      data[b] = state.done;
      data[b + 1] = state.done >> 8;
      data[b + 2] = agent + (b << 4);
      data[b + 3] = 0x40 + (b >> 2);
    }
    yield storeSynthetic(this.cores[core]!, form, offset, data, writer.sync);
    state.done++;
    this.finished(state.own !== Infinity);
    if (!this.skip(writer, agent, state)) return;
    const due =
      this.origin + writer.startPs + Math.floor((state.done + agent / writer.agents.length) * writer.intervalPs);
    const next = Math.max(due, cpu.time);
    if (state.own !== Infinity || next < this.end) node.postLocal(next, link.BEGIN_ACTION, index, agent);
  }

  private beginRecorded(index: number, writer: RecordedWriter): void {
    const { node } = this;
    let own = 0;
    for (const vcpu of writer.cpus) if (this.isOwn(vcpu)) own++;
    this.rowsLeft = own;
    if (own === 0) {
      node.sendMemory(0, link.TRACE_DONE, 0, 0, 0, null, 0);
      return;
    }
    if (writer.spread) {
      for (let core = 0; core < node.spec.coresPerNode; core++) {
        node.startTask(node.cpus[core]!, () => this.runSpread(writer, core), 0);
      }
    } else if (this.isOwn(writer.cpus[0]!)) node.postLocal(0, link.HAND_OVER, index, 0);
  }

  /** Rows in order: this core's run of them, then the next core's turn. */
  private *runRows(index: number, writer: RecordedWriter, first: number): Task {
    const { node } = this;
    const vcpu = writer.cpus[first]!;
    const core = this.coreOf(vcpu);
    let k = first;
    for (; k < writer.rows.length && writer.cpus[k] === vcpu; k++) {
      yield storeRecorded(this.cores[core]!, writer.trace, writer.rows[k]!);
      this.rowFinished(core);
    }
    if (k === writer.rows.length) return;
    const to = Math.floor(writer.cpus[k]! / node.spec.coresPerNode);
    node.sendMemory(to, link.HAND_OVER, index, k, 0, null, node.cpus[core]!.time);
  }

  private *runSpread(writer: RecordedWriter, core: number): Task {
    const { node } = this;
    const cpu = node.cpus[core]!;
    for (let k = 0; k < writer.rows.length; k++) {
      if (writer.cpus[k] !== cpu.cpu) continue;
      const before = writer.after[k]!;
      while (before >= 0 && !this.doneRows.has(before)) yield WAIT;
      yield storeRecorded(this.cores[core]!, writer.trace, writer.rows[k]!);
      this.doneRows.add(k);
      const later = writer.after.indexOf(k, k);
      if (later >= 0) {
        const to = Math.floor(writer.cpus[later]! / node.spec.coresPerNode);
        node.sendMemory(to, link.ROW_DONE, k, this.coreOf(writer.cpus[later]!), 0, null, cpu.time);
      }
      this.rowFinished(core);
    }
  }

  private rowFinished(core: number): void {
    this.actions++;
    this.rowsLeft--;
    const { node } = this;
    if (this.rowsLeft === 0) node.sendMemory(0, link.TRACE_DONE, 0, 0, 0, null, node.cpus[core]!.time);
  }

  private finished(finite: boolean): void {
    this.actions++;
    if (finite) this.outstanding--;
    this.maybeReport();
  }

  private maybeReport(): void {
    if (!this.durationOver || this.outstanding > 0 || this.reported) return;
    this.reported = true;
    const { node } = this;
    node.sendMemory(0, link.WORK_DONE, 0, 0, 0, null, node.time);
  }

  onMessage(message: link.Message): void {
    const { node } = this;
    const { kind, a, b, time } = message;
    if (kind === link.BEGIN_ACTION) this.beginAction(a, b, time);
    else if (kind === link.BEGIN_WRITERS) this.beginOthers(Math.max(a, time));
    else if (kind === link.BEGIN_TRACE) this.beginRecorded(a, node.spec.writers[a] as RecordedWriter);
    else if (kind === link.TRACE_DONE) {
      this.nodesTraced++;
      if (this.nodesTraced < node.spec.nodes) return;
      const origin = time + NEWS_PS;
      for (let to = 0; to < node.spec.nodes; to++) node.sendMemory(to, link.BEGIN_WRITERS, origin, 0, 0, null, time);
    } else if (kind === link.DURATION_OVER) {
      this.durationOver = true;
      this.maybeReport();
    } else if (kind === link.HAND_OVER) {
      const writer = node.spec.writers[a] as RecordedWriter;
      node.startTask(node.cpus[this.coreOf(writer.cpus[b]!)]!, () => this.runRows(a, writer, b), time);
    } else if (kind === link.ROW_DONE) {
      this.doneRows.add(a);
      node.wake(b, time);
    } else if (kind === link.WORK_DONE) {
      this.nodesDone++;
      if (this.nodesDone < node.spec.nodes) return;
      for (let to = 0; to < node.spec.nodes; to++) node.sendMemory(to, link.STOP, 0, 0, 0, null, time);
    }
  }
}
