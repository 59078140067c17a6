import type { Duration, Task } from '@numalab/base';

/**
 * What a protocol promises about fetches, each level including those before it:
 * `eventual`: when writes stop, all replicas equal the reference;
 * `ordered`: what a replica has applied is always a prefix of the order;
 * `completed`: no fetch issued after a write ended sees an earlier number;
 * `atomic`: fetches are linearizable.
 */
export type Guarantee = 'eventual' | 'ordered' | 'completed' | 'atomic';

/** The levels, weakest first. */
export const GUARANTEES: readonly Guarantee[] = ['eventual', 'ordered', 'completed', 'atomic'];

/** A write to the kernel's text, as the order has it. Never changed once numbered. */
export interface Write {
  /** Place in the order, from 1. */
  readonly number: number;
  /** Offset of the first word from `_text`, in words. */
  readonly word: number;
  /** The new values of consecutive words: 1 to 16. */
  readonly words: readonly number[];
  /** Node on which the store trapped. */
  readonly origin: number;
}

/**
 * A task of EL2 that takes virtual time: it yields a number of picoseconds to let pass, or -1 to wait for what it asked for.
 * Protocols only ever `yield*` the tasks that their context gives them.
 */
export type Steps = Task;

/** What the hypervisor's half of a protocol can do. */
export interface HypervisorContext {
  /** The nodes that hold a replica or the primary, by number. */
  readonly nodes: readonly number[];
  /** Sends `body` to the node's half on `node`. The session layer delivers it once and in order. */
  send(node: number, body: unknown): void;
  /** Ends a write: the store's core goes on behind it. */
  retire(write: Write): void;
  /** Calls {@link HypervisorHalf.onTimer} with `tag` after `delay`. */
  setTimer(delay: Duration, tag: number): void;
}

/** What a node's half can do. All of it happens on this node's memory, by this node's EL2. */
export interface NodeContext {
  readonly node: number;
  /** Sends `body` to the hypervisor's half. */
  send(body: unknown): void;
  /** Stores a write into the node's copy. Nothing is cleaned or invalidated. */
  store(write: Write): Steps;
  /**
   * Makes the words of a write visible to instruction fetches of every core: DC CVAU on each line unless CTR_EL0.IDC,
   * DSB ISH, IC IVAU on each line unless CTR_EL0.DIC, DSB ISH ([arm64 reference 5.4]).
   */
  maintain(write: Write): Steps;
}

/** The half that runs where the order is made. */
export interface HypervisorHalf {
  /** The next write of the order. */
  onWrite(context: HypervisorContext, write: Write): void;
  /** A node's half sent `body`. */
  onMessage?(context: HypervisorContext, node: number, body: unknown): void;
  onTimer?(context: HypervisorContext, tag: number): void;
}

/** The half that runs on every node. Messages are handled one after the other. */
export interface NodeHalf {
  onMessage(context: NodeContext, body: unknown): Steps;
}

/** An update protocol: how a numbered write reaches every copy of the text. */
export interface Protocol {
  readonly name: string;
  /** One line for people. */
  readonly description: string;
  readonly guarantee: Guarantee;
  /** A fresh hypervisor's half; its state lives in the closure. */
  hypervisor(): HypervisorHalf;
  /** A fresh node's half. */
  node(): NodeHalf;
}
