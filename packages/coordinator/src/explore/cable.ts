import { RETIRE } from '@numalab/interconnect';

/** One direction of a link between two sessions. Messages by their numbers; see `Messages`. */
interface Lane {
  /** Sent in an earlier life of the sender: each may still arrive, in order, until its hello does. */
  readonly stale: readonly number[];
  /** The sender has begun anew and says so: what is fresh comes after. */
  readonly hello: boolean;
  readonly fresh: readonly number[];
}

/**
 * Everything that is under way between the hypervisor and one node, and between that node and the primary's: values, never
 * changed. Sessions deliver in order and once within a pair of incarnations; hardware in order, and never loses anything.
 */
export interface Cable {
  readonly toNode: Lane;
  readonly toOrder: Lane;
  /** What the hypervisor sends now reaches the node's present life; and the other way round. */
  readonly orderKnows: boolean;
  readonly nodeKnows: boolean;
  /** Stores and maintenance of the hypervisor's core, and their answers. */
  readonly operations: readonly number[];
  readonly performed: readonly number[];
  /** What the platform's controller has to say to the hypervisor about this node. */
  readonly platform: readonly number[];
  /** Reads of the primary's line by this node, and what came of them. */
  readonly reads: readonly number[];
  readonly lines: readonly number[];
}

const EMPTY: Lane = { stale: [], hello: false, fresh: [] };

/** As boot leaves it. */
export const IDLE_CABLE: Cable = {
  toNode: EMPTY,
  toOrder: EMPTY,
  orderKnows: true,
  nodeKnows: true,
  operations: [],
  performed: [],
  platform: [],
  reads: [],
  lines: [],
};

/** Queues of a cable that hardware uses. */
export type HardwareQueue = 'operations' | 'performed' | 'platform' | 'reads' | 'lines';

/** `cable` with `message` at the end of a queue. */
const pushed = (cable: Cable, queue: HardwareQueue, message: number): Cable => ({
  ...cable,
  [queue]: [...cable[queue], message],
});

/** `cable` without the first of a queue. */
const shifted = (cable: Cable, queue: HardwareQueue): Cable => ({ ...cable, [queue]: cable[queue].slice(1) });

const added = (lane: Lane, message: number): Lane => ({ ...lane, fresh: [...lane.fresh, message] });
const begunAnew = ({ stale, fresh }: Lane): Lane => ({ stale: [...stale, ...fresh], hello: true, fresh: [] });
const greeted = (lane: Lane): Lane => ({ ...lane, stale: [], hello: false });
/** What was for a life that is over is lost; what waits for an answer to a hello is not. */
const cut = (lane: Lane): Lane => (lane.hello ? { ...lane, stale: [] } : EMPTY);

/** What waited for an answer to its sender's hello was never sent. */
const unsent = (lane: Lane): Lane => (lane.hello ? { ...lane, fresh: [] } : lane);

/** The hypervisor sends to the node. */
const sendToNode = (cable: Cable, message: number): Cable =>
  cable.orderKnows ? { ...cable, toNode: added(cable.toNode, message) } : cable;

/** The node sends to the hypervisor. */
const sendToOrder = (cable: Cable, message: number): Cable =>
  cable.nodeKnows ? { ...cable, toOrder: added(cable.toOrder, message) } : cable;

const nodeCrashed = (cable: Cable): Cable => ({
  ...cable,
  toNode: cut(cable.toNode),
  toOrder: unsent(cable.toOrder),
  orderKnows: cable.toNode.hello,
  nodeKnows: false,
  // No core is left to take them.
  reads: [],
  lines: [],
});

const nodeRestarted = (cable: Cable): Cable => ({
  ...cable,
  toOrder: begunAnew(cable.toOrder),
  nodeKnows: true,
});

/** The hypervisor has heard that the node is down. */
const closedByOrder = (cable: Cable): Cable => ({
  ...cable,
  toOrder: cut(cable.toOrder),
  orderKnows: cable.toNode.hello,
});

const orderCrashed = (cable: Cable): Cable => ({
  ...cable,
  toOrder: cut(cable.toOrder),
  toNode: unsent(cable.toNode),
  orderKnows: false,
  nodeKnows: cable.toOrder.hello,
  // A later life takes no answers to what an earlier one has asked of hardware.
  performed: [],
});

const orderRestarted = (cable: Cable): Cable => ({
  ...cable,
  toNode: begunAnew(cable.toNode),
  orderKnows: true,
});

/** The node hears that the hypervisor has begun anew; and the other way round. */
const greetedNode = (cable: Cable): Cable => ({ ...cable, toNode: greeted(cable.toNode), nodeKnows: true });
const greetedOrder = (cable: Cable): Cable => ({ ...cable, toOrder: greeted(cable.toOrder), orderKnows: true });

/** Names of what changes a cable. */
export type Change =
  | 'sendToNode'
  | 'sendToOrder'
  | 'nodeCrashed'
  | 'nodeRestarted'
  | 'closedByOrder'
  | 'orderCrashed'
  | 'orderRestarted'
  | 'greetedNode'
  | 'greetedOrder'
  | `take${'ToNode' | 'ToOrder'}`
  | `${'push' | 'shift'}${'Operations' | 'Performed' | 'Platform' | 'Reads' | 'Lines'}`;

/** Everything that changes a cable; `message` is one's number, or where in the lane it is taken from. */
const CHANGES: Readonly<Record<Change, (cable: Cable, message: number) => Cable>> = {
  sendToNode,
  sendToOrder,
  nodeCrashed,
  nodeRestarted,
  closedByOrder,
  orderCrashed,
  orderRestarted,
  greetedNode,
  greetedOrder,
  takeToNode: (cable: Cable, at: number): Cable => ({ ...cable, toNode: taken(cable.toNode, at) }),
  takeToOrder: (cable: Cable, at: number): Cable => ({ ...cable, toOrder: taken(cable.toOrder, at) }),
  pushOperations: (cable: Cable, message: number): Cable => pushed(cable, 'operations', message),
  pushPerformed: (cable: Cable, message: number): Cable => pushed(cable, 'performed', message),
  pushPlatform: (cable: Cable, message: number): Cable => pushed(cable, 'platform', message),
  pushReads: (cable: Cable, message: number): Cable => pushed(cable, 'reads', message),
  pushLines: (cable: Cable, message: number): Cable => pushed(cable, 'lines', message),
  shiftOperations: (cable: Cable): Cable => shifted(cable, 'operations'),
  shiftPerformed: (cable: Cable): Cable => shifted(cable, 'performed'),
  shiftPlatform: (cable: Cable): Cable => shifted(cable, 'platform'),
  shiftReads: (cable: Cable): Cable => shifted(cable, 'reads'),
  shiftLines: (cable: Cable): Cable => shifted(cable, 'lines'),
};

const textOf = ({ stale, hello, fresh }: Lane): string => `${stale}${hello ? 'h' : '-'}${fresh}`;

/** Cables by number: equal ones have equal numbers. What a change makes of one is worked out once. */
export class Cables {
  private readonly values: Cable[] = [];
  private readonly numbers = new Map<string, number>();
  private readonly changed: Map<string, number>[] = [];

  value(number: number): Cable {
    return this.values[number]!;
  }

  numberOf(cable: Cable): number {
    const { toNode, toOrder, orderKnows, nodeKnows, operations, performed, platform, reads, lines } = cable;
    const lanes = `${textOf(toNode)}/${textOf(toOrder)}/${orderKnows}${nodeKnows}`;
    const key = `${lanes}/${operations}/${performed}/${platform}/${reads}/${lines}`;
    const known = this.numbers.get(key);
    if (known !== undefined) return known;
    this.numbers.set(key, this.values.length);
    this.changed.push(new Map());
    return this.values.push(cable) - 1;
  }

  after(number: number, change: Change, message: number): number {
    const key = `${change}${message}`;
    const known = this.changed[number]!.get(key);
    if (known !== undefined) return known;
    const changed = this.numberOf(CHANGES[change](this.value(number), message));
    this.changed[number]!.set(key, changed);
    return changed;
  }
}

/** A frame that can arrive next, and its place in its lane. */
export interface Arrival {
  readonly message: number;
  readonly at: number;
}

const without = (list: readonly number[], i: number): readonly number[] => [...list.slice(0, i), ...list.slice(i + 1)];

const taken = (lane: Lane, i: number): Lane =>
  lane.stale.length > 0 || lane.hello
    ? { ...lane, stale: without(lane.stale, i) }
    : { ...lane, fresh: without(lane.fresh, i) };

const current = (lane: Lane): readonly number[] => (lane.stale.length > 0 || lane.hello ? lane.stale : lane.fresh);

/** The frame that the hypervisor can take next. */
export const nextForOrder = ({ toOrder }: Cable): Arrival | null => {
  const [message] = current(toOrder);
  return message === undefined ? null : { message, at: 0 };
};

/**
 * Frames that the node can take next: the first. But while EL2's agent `waits` it would only put the first into its inbox: so
 * it may as well stay here, and a retirement behind it, which is no business of the agent's, passes.
 */
export const nextForNode = (
  { toNode }: Cable,
  waits: boolean,
  kindOf: (message: number) => number,
): readonly Arrival[] => {
  const queue = current(toNode);
  if (queue.length === 0) return [];
  const retirement = queue.findIndex((message) => kindOf(message) === RETIRE);
  const passing = retirement < 0 ? [] : [{ message: queue[retirement]!, at: retirement }];
  return retirement === 0 || waits ? passing : [{ message: queue[0]!, at: 0 }, ...passing];
};
