import { INTERRUPTED, IPI_PARK, RESUME_CORE } from '@numalab/interconnect';
import type { NodeProcess } from './node.ts';
import { MODE_PARKED, MODE_WALK, type Vcpu } from './vcpu.ts';

/** An interrupt that one core sent to all others: the node answers when the last of its cores has taken it. */
interface Group {
  readonly from: number;
  readonly core: number;
  readonly purpose: number;
  missing: number;
}

/**
 * Inter-processor interrupts on one node. A core that walks or sleeps takes one at once; a core in a task takes it when
 * interrupts are not masked. It is parked, as by stop_machine's stopper thread, only when it runs no task: what numalab
 * takes for a task spins or has preemption off, and one that sleeps in a mutex does not run.
 */
export class Interrupts {
  private readonly node: NodeProcess;
  private readonly pending = new Map<Vcpu, Group[]>();

  constructor(node: NodeProcess) {
    this.node = node;
  }

  onInterrupt(from: number, purpose: number, core: number, at: number): void {
    const { cpus, agentCpu, id } = this.node;
    const targets = cpus.filter((cpu) => cpu !== agentCpu && (from !== id || cpu.core !== core));
    const group: Group = { from, core, purpose, missing: targets.length };
    if (targets.length === 0) this.answer(group, at);
    for (const cpu of targets) this.offer(cpu, group, at);
  }

  private offer(cpu: Vcpu, group: Group, at: number): void {
    const mayAct = this.node.mayActAt(cpu.core, at);
    if (mayAct === at && this.canTake(cpu, group)) this.take(cpu, group, at);
    else {
      if (mayAct > at) this.node.postLocal(mayAct, RESUME_CORE, 0, cpu.core);
      const waiting = this.pending.get(cpu);
      if (waiting === undefined) this.pending.set(cpu, [group]);
      else waiting.push(group);
    }
  }

  private canTake(cpu: Vcpu, { purpose, from, core }: Group): boolean {
    if (cpu.halted) return false;
    if (cpu.mode === MODE_WALK) return true;
    // Parked cores turn interrupts off when the last has arrived. From then on only the one that parked them runs.
    if (cpu.mode === MODE_PARKED) return purpose !== IPI_PARK && cpu.parkedBy !== this.cpuOf(from, core);
    return purpose !== IPI_PARK && !cpu.masked;
  }

  private cpuOf(node: number, core: number): number {
    return node * this.node.spec.coresPerNode + core;
  }

  private take(cpu: Vcpu, group: Group, at: number): void {
    const { node } = this;
    const sleeps = cpu.asleep || cpu.blocked || cpu.time === Infinity;
    const done = (sleeps ? Math.max(at, cpu.notBefore) : Math.max(at, cpu.time)) + node.latencies.ipiHandlePs;
    cpu.notBefore = done;
    cpu.synchroniseContext();
    if (group.purpose === IPI_PARK) {
      cpu.resumeTime = sleeps ? cpu.time : done;
      cpu.mode = MODE_PARKED;
      cpu.parkedAt = done;
      cpu.parkedBy = this.cpuOf(group.from, group.core);
      cpu.time = Infinity;
    } else if (!sleeps) cpu.time = done;
    this.answer(group, done);
  }

  private answer(group: Group, at: number): void {
    group.missing--;
    if (group.missing <= 0) this.node.sendInterrupt(group.from, INTERRUPTED, 0, group.core, at);
  }

  /** A core's state has changed so that what waits may be taken. */
  deliverPending(cpu: Vcpu, at: number): void {
    const waiting = this.pending.get(cpu);
    if (waiting === undefined || waiting.length === 0) return;
    for (const group of waiting.splice(0)) this.offer(cpu, group, at);
  }

  /** Core `cpu` of this node has not taken the interrupts of these cores. */
  notTaken(cpu: Vcpu): readonly { readonly from: number; readonly core: number }[] {
    return this.pending.get(cpu) ?? [];
  }

  /** stop_machine is over: every parked core leaves its loop through an ISB. */
  onResume(_from: number, _core: number, at: number): void {
    for (const cpu of this.node.cpus) {
      if (cpu.mode !== MODE_PARKED) continue;
      cpu.mode = MODE_WALK;
      cpu.parkedAt = -1;
      cpu.parkedBy = -1;
      cpu.synchroniseContext();
      const now = at + this.node.latencies.isbPs;
      const asleep = cpu.resumeTime === Infinity || this.node.stopped;
      cpu.schedule(asleep ? Infinity : Math.max(now, cpu.resumeTime));
      this.node.afterResume(cpu, now);
      this.deliverPending(cpu, now);
    }
  }
}
