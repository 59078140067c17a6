import type { Instant } from '@numalab/base';
import * as link from '@numalab/interconnect';
import { homeOf } from '@numalab/node-worker';
import { Automaton, type LocalState, type LocalStep } from './automaton.ts';
import * as cable from './cable.ts';
import { fingerprint, Interner } from './fingerprint.ts';
import type { LocalEvent, Output, Sent } from './local-event.ts';
import type { NodeView } from './node-view.ts';
import { mayGoFirst, type Uses } from './reduction.ts';
import { type HypervisorView, SmallHypervisor } from './small-hypervisor.ts';
import type { SmallMachine } from './small-machine.ts';
import { SmallNode } from './small-node.ts';

/** The machine as a whole at one moment: never changed. */
export interface MachineState {
  readonly order: LocalState<HypervisorView>;
  readonly nodes: readonly LocalState<NodeView>[];
  /** By node: the number of its cable. */
  readonly cables: readonly number[];
  /** Moves when a timer fires. */
  readonly now: number;
  /** Crashes and timers that there may still be. */
  readonly crashes: number;
  readonly timers: number;
  readonly earlyTimers: number;
}

/** One thing that can happen next. */
export interface Choice {
  /** Process: a node, or the hypervisor, whose number is that of the nodes. */
  readonly who: number;
  readonly event: LocalEvent;
  /** Step of it at which the hypervisor crashes; '': none. */
  readonly crashAt: string;
  /** It need not happen: a crash, a touch. */
  readonly isOptional: boolean;
  readonly outputs: readonly Output[];
  readonly next: MachineState;
  readonly error: string | null;
}

/** Everything that the search may not exceed. */
export interface Bounds {
  readonly crashes: number;
  readonly timers: number;
  /** Timers that may fire although something else can happen. */
  readonly earlyTimers: number;
}

/**
 * What can happen in each state of a machine, found out by running its processes: which message comes next on which link,
 * whose EL2 goes on, who crashes where. Processes share nothing and speak through cables alone.
 */
export class Choices {
  readonly order: Automaton<HypervisorView>;
  readonly nodes: readonly Automaton<NodeView>[];
  readonly messages: Interner<Sent> = new Interner();
  private readonly cables = new cable.Cables();
  private readonly machine: SmallMachine;
  /** What was assumed not to happen, and what has. */
  private readonly uses: Readonly<Uses>;
  readonly used: Uses = { operations: false, primary: false };
  /** Transitions by kind of fault. */
  readonly faults: Record<string, number> = { 'hyp-crash': 0, crash: 0 };

  constructor(machine: SmallMachine, uses: Readonly<Uses>) {
    this.machine = machine;
    this.uses = uses;
    const { spec, protocol } = machine;
    const numberOf = (message: Sent): number => this.messages.number(fingerprint(message), message);
    this.order = new Automaton(() => new SmallHypervisor(spec, protocol), numberOf);
    this.nodes = Array.from(
      { length: spec.nodes },
      (_, id) => new Automaton(() => new SmallNode(machine, id), numberOf),
    );
  }

  first({ crashes, timers, earlyTimers }: Bounds): MachineState {
    const idle = this.cables.numberOf(cable.IDLE_CABLE);
    return {
      order: this.order.first,
      nodes: this.nodes.map(({ first }) => first),
      cables: this.nodes.map(() => idle),
      now: 0,
      crashes,
      timers,
      earlyTimers,
    };
  }

  cableOf(state: MachineState, node: number): cable.Cable {
    return this.cables.value(state.cables[node]!);
  }

  /**
   * Everything that can happen in `state`; or, if it makes no difference when one of these things does, that one alone, see
   * `reduction.ts`. Timers fire only when nothing else can.
   */
  from(state: MachineState): readonly Choice[] {
    const choices: Choice[] = [];
    this.ofOrder(state, choices);
    for (let node = 0; node < state.nodes.length; node++) this.ofNode(state, node, choices);
    if (choices.every(({ isOptional }) => isOptional)) this.ofTimers(state, choices);
    else if (state.earlyTimers > 0) {
      this.ofTimers({ ...state, earlyTimers: state.earlyTimers - 1 }, choices);
      return choices;
    }
    if (this.machine.unreduced) return choices;
    const cables = state.nodes.map((_, node) => this.cableOf(state, node));
    const alone = choices.find((choice) => mayGoFirst(state, cables, choice, this.uses));
    return alone === undefined ? choices : [alone];
  }

  /** Whether timers wait that are not allowed to fire any more. */
  isCutOff(state: MachineState): boolean {
    return state.timers === 0 && this.timersOf(state).length > 0;
  }

  // ---- the hypervisor ---------------------------------------------------------------------------------------------------------

  private ofOrder(state: MachineState, out: Choice[]): void {
    const { isUp, own } = state.order.view;
    const isDrained = state.nodes.every((_, node) => this.cableOf(state, node).operations.length === 0);
    for (const [index, { kind, a }] of own.entries()) {
      if (kind === link.TIMER || (kind === link.FAULT && !isDrained)) continue;
      this.orderStep(state, `own${index}:${kind}:${a}`, { type: 'own', index }, out);
    }
    if (!isUp) return;
    for (let node = 0; node < state.nodes.length; node++) this.arrivals(state, node, out);
    if (state.crashes > 0) this.orderStep(state, 'crash', { type: 'crash', losesMemory: false }, out);
  }

  /** What the hypervisor can take from a node. */
  private arrivals(state: MachineState, node: number, out: Choice[]): void {
    const from = this.cableOf(state, node);
    const frame = cable.nextForOrder(from);
    if (frame !== null) {
      const message = this.messages.value(frame.message);
      const event: LocalEvent = { type: 'frame', from: node, message };
      const before = this.changed(state, node, 'takeToOrder', frame.at);
      this.orderStep(before, `f${node}:${frame.message}`, event, out);
    }
    for (const [queue, change] of FROM_HARDWARE) {
      const number = from[queue][0];
      if (number === undefined) continue;
      const event: LocalEvent = { type: 'hardware', from: node, message: this.messages.value(number) };
      this.orderStep(this.changed(state, node, change, 0), `h${node}:${number}`, event, out);
    }
    if (!from.toOrder.hello || from.platform.length > 0) return;
    const next = this.changed(state, node, 'greetedOrder', 0);
    const event: LocalEvent = { type: 'hello', from: node };
    out.push({ who: state.nodes.length, event, crashAt: '', isOptional: false, outputs: [], next, error: null });
  }

  /** An event of the hypervisor, and the same with a crash at each step that it passes. */
  private orderStep(state: MachineState, name: string, event: LocalEvent, out: Choice[]): void {
    const now = state.now as Instant;
    const step = this.order.step(state.order, name, event, now);
    const isCrash = event.type === 'crash';
    this.addOrderStep(state, event, step, '', isCrash, out);
    if (isCrash || state.crashes === 0 || step.error !== null) return;
    for (const [i, reached] of step.reached.entries()) {
      const crashed = this.order.step(state.order, name, event, now, i + 1);
      this.addOrderStep(state, event, crashed, reached, true, out);
    }
  }

  private addOrderStep(
    state: MachineState,
    event: LocalEvent,
    step: LocalStep<HypervisorView>,
    crashAt: string,
    isCrash: boolean,
    out: Choice[],
  ): void {
    if (isCrash) this.faults['hyp-crash']!++;
    const who = state.nodes.length;
    let next: MachineState = { ...state, order: step.to, crashes: state.crashes - (isCrash ? 1 : 0) };
    for (const output of step.outputs) next = this.routeOfOrder(next, output);
    out.push({ who, event, crashAt, isOptional: isCrash, outputs: step.outputs, next, error: step.error });
  }

  private routeOfOrder(state: MachineState, output: Output): MachineState {
    if (output.type === 'restart') return this.allChanged(state, output.peers, 'orderRestarted');
    if (output.type === 'close' && output.peer < 0) {
      return this.allChanged(state, [...state.cables.keys()], 'orderCrashed');
    }
    if (output.type === 'close') return this.changed(state, output.peer, 'closedByOrder', 0);
    if (output.type === 'hardware') this.used.operations = true;
    return this.changed(state, output.to, output.type === 'frame' ? 'sendToNode' : 'pushOperations', output.number!);
  }

  // ---- nodes ------------------------------------------------------------------------------------------------------------------

  private ofNode(state: MachineState, node: number, out: Choice[]): void {
    const { view } = state.nodes[node]!;
    if (view.canStep) this.nodeStep(state, node, 'step', { type: 'step' }, false, out);
    for (const core of view.canSubmit) this.nodeStep(state, node, `s${core}`, { type: 'submit', core }, false, out);
    if (view.isDown) this.nodeStep(state, node, 'restart', { type: 'restart' }, false, out);
    else this.frames(state, node, view, out);
    this.hardware(state, node, 'operations', node, out);
    this.hardware(state, node, 'lines', node, out);
    for (const asking of state.nodes.keys()) {
      const read = this.cableOf(state, asking).reads[0];
      const isMine = read !== undefined && homeOf(this.machine.spec, this.messages.value(read).a) === node;
      if (isMine) this.hardware(state, asking, 'reads', node, out);
    }
    if (view.canTouch) this.nodeStep(state, node, 'touch', { type: 'touch' }, true, out);
    if (state.crashes === 0 || view.isDown) return;
    this.nodeStep(state, node, 'crash', { type: 'crash', losesMemory: false }, true, out);
    // Node 0 holds what the kernel itself cannot do without.
    if (node !== 0) this.nodeStep(state, node, 'crash!', { type: 'crash', losesMemory: true }, true, out);
  }

  private frames(state: MachineState, node: number, view: NodeView, out: Choice[]): void {
    const from = this.cableOf(state, node);
    const { unreduced, spec } = this.machine;
    const who = state.nodes.length;
    // Where a core may fault meanwhile it matters what is in the agent's inbox before that; and some bugs are in the inbox.
    const waits =
      !unreduced && spec.bugs.length === 0 && !view.isIdle && !(view.wantsFaults && view.page === 'unmapped');
    const kindOf = unreduced ? () => 0 : (number: number) => this.messages.value(number).kind;
    for (const { message, at } of cable.nextForNode(from, waits, kindOf)) {
      const event: LocalEvent = { type: 'frame', from: who, message: this.messages.value(message) };
      this.nodeStep(this.changed(state, node, 'takeToNode', at), node, `f${message}`, event, false, out);
    }
    if (!from.toNode.hello) return;
    const greeted = this.changed(state, node, 'greetedNode', 0);
    this.nodeStep(greeted, node, 'hello', { type: 'hello', from: who }, false, out);
  }

  /** The first of a queue of the cable of node `at` reaches `node`. */
  private hardware(
    state: MachineState,
    at: number,
    queue: 'operations' | 'lines' | 'reads',
    node: number,
    out: Choice[],
  ): void {
    const from = this.cableOf(state, at);
    const number = from[queue][0];
    if (number === undefined) return;
    const sender = queue === 'reads' ? at : queue === 'lines' ? 0 : state.nodes.length;
    const event: LocalEvent = { type: 'hardware', from: sender, message: this.messages.value(number) };
    const before = this.changed(state, at, TAKEN[queue], 0);
    this.nodeStep(before, node, `h${sender}:${number}`, event, false, out);
  }

  private nodeStep(
    state: MachineState,
    node: number,
    name: string,
    event: LocalEvent,
    isOptional: boolean,
    out: Choice[],
  ): void {
    const step = this.nodes[node]!.step(state.nodes[node]!, name, event, state.now as Instant);
    const isCrash = event.type === 'crash';
    if (isCrash) this.faults.crash!++;
    if (step.to.view.sees === 'primary' && node !== 0) this.used.primary = true;
    const nodes = state.nodes.map((local, i) => (i === node ? step.to : local));
    let next: MachineState = { ...state, nodes, crashes: state.crashes - (isCrash ? 1 : 0) };
    for (const output of step.outputs) next = this.routeOfNode(next, node, output);
    out.push({ who: node, event, crashAt: '', isOptional, outputs: step.outputs, next, error: step.error });
  }

  private routeOfNode(state: MachineState, node: number, output: Output): MachineState {
    if (output.type === 'restart') return this.changed(state, node, 'nodeRestarted', 0);
    if (output.type === 'close') return this.changed(state, node, 'nodeCrashed', 0);
    const number = output.number!;
    if (output.type === 'frame') return this.changed(state, node, 'sendToOrder', number);
    const { kind } = output.message;
    if (kind === link.READ_LINE) this.used.primary = true;
    if (kind === link.LINE) return this.changed(state, output.to, 'pushLines', number);
    const change = kind === link.READ_LINE ? 'pushReads' : kind === link.NODE_DOWN ? 'pushPlatform' : 'pushPerformed';
    return this.changed(state, node, change, number);
  }

  // ---- timers -------------------------------------------------------------------------------------------------------------------

  private timersOf(state: MachineState): { readonly at: number; readonly who: number; readonly index: number }[] {
    const who = state.nodes.length;
    return [
      ...[...state.order.view.own.entries()]
        .filter(([, { kind }]) => kind === link.TIMER)
        .map(([index, { time }]) => ({ at: time, who, index })),
      ...state.nodes.flatMap(({ view }, node) => view.timers.map(({ at }, index) => ({ at, who: node, index }))),
    ];
  }

  /** The earliest; all of those that are due at one moment. */
  private ofTimers(state: MachineState, out: Choice[]): void {
    if (state.timers === 0) return;
    const due = this.timersOf(state);
    const first = Math.min(...due.map(({ at }) => at));
    for (const { at, who, index } of due) {
      if (at !== first) continue;
      const later = { ...state, now: Math.max(state.now, at), timers: state.timers - 1 };
      const event: LocalEvent = { type: 'own', index };
      if (who < state.nodes.length) this.nodeStep(later, who, `t${index}`, event, false, out);
      else this.orderStep(later, `t${index}`, event, out);
    }
  }

  // ---- cables -------------------------------------------------------------------------------------------------------------------

  private changed(state: MachineState, node: number, change: cable.Change, message: number): MachineState {
    const cables = state.cables.slice();
    cables[node] = this.cables.after(cables[node]!, change, message);
    return { ...state, cables };
  }

  private allChanged(state: MachineState, nodes: readonly number[], change: cable.Change): MachineState {
    return nodes.reduce((at, node) => this.changed(at, node, change, 0), state);
  }
}

const FROM_HARDWARE = [
  ['platform', 'shiftPlatform'],
  ['performed', 'shiftPerformed'],
] as const;
const TAKEN = { operations: 'shiftOperations', lines: 'shiftLines', reads: 'shiftReads' } as const;

/** The state in short: equal texts, equal states. */
export const keyOf = ({ order, nodes, cables, now, crashes, timers, earlyTimers }: MachineState): string =>
  `${order.id},${nodes.map(({ id }) => id)},${cables},${now},${crashes},${timers},${earlyTimers}`;
