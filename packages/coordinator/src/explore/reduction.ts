import { MAINTAINED, STORED } from '@numalab/interconnect';
import type { Cable } from './cable.ts';
import type { Choice, MachineState } from './choices.ts';
import type { NodeView } from './node-view.ts';

/**
 * Partial-order reduction. In a state where one choice commutes with all that can happen before it does, and nobody can see
 * whether it has happened (no fetch sees another word, no write is over, no core may do what it might not), it is taken
 * alone: whatever else can happen can happen after it, and comes to the same states ("ample sets" of one member; every
 * choice uses something up, so none is put off for ever). Each rule says why its choices commute. Two further reductions
 * are where they are made: a step of EL2's agent runs until others can notice something of it (`SmallNode`), and a frame that
 * would only wait in the agent's inbox waits in the link (`nextForNode`). `unreduced` switches off all three.
 */
export const mayGoFirst = (state: MachineState, cables: readonly Cable[], choice: Choice, uses: Uses): boolean => {
  if (choice.error !== null || choice.crashAt !== '' || choice.isOptional) return false;
  if (choice.who === state.nodes.length) {
    return (
      isHardwareAnswer(state, choice) ||
      isBookKeeping(state, cables, choice) ||
      isJoining(state, choice) ||
      isGoingOn(state, cables, choice)
    );
  }
  return (
    isIdleMaintenance(state, choice) || isUnseenStep(state, cables, choice) || isCatchingUp(state, cables, choice, uses)
  );
};

/**
 * What some process has done somewhere in the search, so that others may depend on it. A search that has reduced more than
 * this allows is done again: until the first use the reduction was right, so the first use is not missed.
 */
export interface Uses {
  /** The hypervisor stores into a node's copy or maintains it. */
  operations: boolean;
  /** A node reads the primary, or maps it. */
  primary: boolean;
}

/**
 * Maintenance of a line that this node does not have: nothing changes but that its answer is on the way. Hardware loses nothing, so
 * crashes do not matter; queues are longer at the end and shorter at the front in whatever order.
 */
const isIdleMaintenance = (state: MachineState, { who, event, next }: Choice): boolean =>
  event.type === 'hardware' && next.nodes[who] === state.nodes[who];

/** The hypervisor took note of something, and nothing else came of it. */
const isNoted = ({ order }: MachineState, { next, outputs }: Choice): boolean => {
  const [from, to] = [order.view, next.order.view];
  return (
    outputs.length === 0 &&
    from.past === to.past &&
    from.own.length === to.own.length &&
    from.journal.length === to.journal.length
  );
};

/**
 * An operation of the hypervisor's is over, and more are under way, or nobody waits for it: a count goes down by one, which
 * a hypervisor that crashes forgets.
 */
const isHardwareAnswer = (state: MachineState, choice: Choice): boolean =>
  choice.event.type === 'hardware' &&
  (choice.event.message.kind === STORED || choice.event.message.kind === MAINTAINED) &&
  isNoted(state, choice);

/** A node of which nobody will hear that it is down, or back. */
const isSteady = ({ view }: { readonly view: NodeView }, { platform, toOrder }: Cable): boolean =>
  view.isUp && platform.length === 0 && !toOrder.hello && toOrder.stale.length === 0;

/**
 * A node's answer to a question that others have still to answer, or to the hypervisor's that recovers: a set loses a member.
 * Only where that node cannot crash any more: whether its answer or the news of its end comes first matters.
 */
const isBookKeeping = (state: MachineState, cables: readonly Cable[], choice: Choice): boolean => {
  const { event } = choice;
  if (state.crashes > 0 || event.type !== 'frame' || !state.order.view.isUp) return false;
  const kind = kindOf(event);
  if (kind === 'resynced') return state.order.view.isRecovering && isNoted(state, choice);
  return kind === 'answer' && isSteady(state.nodes[event.from]!, cables[event.from]!) && isNoted(state, choice);
};

const kindOf = (event: Choice['event']): string | undefined =>
  event.type === 'frame' ? (event.message.body as { readonly kind?: string } | null)?.kind : undefined;

/**
 * After the hypervisor's crash a node wants to know what the journal says. It says the same until all nodes know, and that
 * waits for this one.
 */
const isJoining = (state: MachineState, { event }: Choice): boolean =>
  state.crashes === 0 && state.order.view.isRecovering && kindOf(event) === 'join';

/**
 * The hypervisor's half goes on after what takes its time. Whatever comes meanwhile waits in its agenda in the same order, be
 * it before or after; but not news of nodes that go or come back.
 */
const isGoingOn = (state: MachineState, cables: readonly Cable[], { event, next }: Choice): boolean =>
  event.type === 'own' &&
  state.now === next.now &&
  state.crashes === 0 &&
  state.order.view.isUp &&
  !state.order.view.isRecovering &&
  state.nodes.every((node, i) => isSteady(node, cables[i]!));

const isSame = <T>(x: readonly T[], y: readonly T[]): boolean =>
  x.length === y.length && x.every((of, i) => of === y[i]);

/**
 * A step of EL2's agent of which nobody can see anything but the messages that it sends to the hypervisor. Only where
 * neither this node nor the hypervisor will crash, or has and will say so.
 */
const isUnseenStep = (state: MachineState, cables: readonly Cable[], choice: Choice): boolean => {
  const { who, event, next, outputs } = choice;
  if (event.type !== 'step' || state.crashes > 0 || !state.order.view.isUp || cables[who]!.toNode.hello) return false;
  if (outputs.some((output) => output.type !== 'frame' || output.to !== state.nodes.length)) return false;
  const [from, to] = [state.nodes[who]!.view, next.nodes[who]!.view];
  return (
    from.sees === to.sees &&
    from.canTouch === to.canTouch &&
    from.isUp === to.isUp &&
    isSame(from.canSubmit, to.canSubmit) &&
    isSame(from.ended, to.ended) &&
    isSame(
      from.visible.map(({ number, value }) => `${number} ${value}`),
      to.visible.map(({ number, value }) => `${number} ${value}`),
    )
  );
};

/**
 * EL2 of a node whose cores stand still brings the copy up to date: nobody else touches that copy, unless the hypervisor
 * stores into it, and nobody looks, unless it is the primary.
 */
const isCatchingUp = (
  { crashes, order, nodes }: MachineState,
  cables: readonly Cable[],
  { who, event, next, outputs }: Choice,
  uses: Uses,
): boolean => {
  if ((event.type !== 'step' && event.type !== 'frame') || crashes > 0 || !order.view.isUp) return false;
  const { isUp, isDown } = nodes[who]!.view;
  if (isUp || isDown || next.nodes[who]!.view.isUp || cables[who]!.toNode.hello) return false;
  if ((uses.operations && !order.view.isRecovering) || (uses.primary && who === 0)) return false;
  return outputs.every((output) => output.type === 'frame' && output.to === nodes.length);
};
