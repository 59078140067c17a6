import type { Duration, Instant, Step, Task } from '@numalab/base';

/**
 * What a protocol promises about fetches, each level including those before it:
 * `eventual`: when writes stop, all replicas equal the reference;
 * `ordered`: what is applied to a mapped replica is always a prefix of the order;
 * `completed`: no fetch issued after a write ended sees an earlier number;
 * `atomic`: fetches are linearizable.
 */
export type Guarantee = 'eventual' | 'ordered' | 'completed' | 'atomic';

/** The levels, weakest first. */
export const GUARANTEES: readonly Guarantee[] = ['eventual', 'ordered', 'completed', 'atomic'];

/** Node whose copy of the text is the primary. */
export const PRIMARY_NODE = 0;

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
 * A task of EL2 that takes time: it yields a number of picoseconds to let pass, or -1 to wait for what it asked for.
 * Protocols only ever `yield*` the tasks that their context gives them.
 */
export type Steps = Task;

/** Which copy of the text a node's stage 2 maps: its own, or the primary on node 0. */
export type CopyName = 'own' | 'primary';

/** What both halves can do. */
export interface ProtocolContext {
  /** Now, in picoseconds. */
  readonly now: Instant;
  /** The protocol's options, defaults filled in; see {@link Protocol.options}. */
  readonly options: Readonly<Record<string, unknown>>;
  /** What survives a crash and restart of this half. Variables of the half itself do not. */
  readonly durable: Map<string, unknown>;
  /** Calls the half's `onTimer` with `tag` after `delay` picoseconds. */
  setTimer(delay: Duration, tag: number): void;
  /** The pages (stage-2 granules, counted from the one with `_text`) that a write touches, ascending. */
  pagesOf(write: Write): readonly number[];
}

/** What the hypervisor's half can do. */
export interface HypervisorContext extends ProtocolContext {
  /** The nodes that are up, by number: none, if all have crashed. Each holds a replica, or the primary. */
  readonly nodes: readonly number[];
  /** Sends `body` to the node's half on `node`. The session layer delivers it once and in order. */
  send(node: number, body: unknown): void;
  /** Sends `body` to every node's half: with the option `multicast` one message per socket, passed on inside it. */
  broadcast(body: unknown): void;
  /** {@link send}s `body` to `nodes`, and is over when the half of each of them that is still up has handled it. */
  ask(nodes: readonly number[], body: unknown): Steps;
  /** EL2's own store of a write into the copy of `node`. {@link dsb} waits for it. Nothing is cleaned or invalidated. */
  storeCopy(node: number, write: Write): Steps;
  /**
   * DC CVAU (unless CTR_EL0.IDC), DSB, and IC IVAU (unless CTR_EL0.DIC) on the lines of a write in the copy of `node`. EL2
   * maps every copy, so its maintenance by VA reaches each ([arm64 reference 0.9]). {@link dsb} waits for it.
   */
  maintainCopy(node: number, write: Write): Steps;
  /** DSB ISH: all stores and all maintenance of this half are over. */
  dsb(): Steps;
  /** Ends a write: the store's core goes on behind it. */
  retire(write: Write): void;
}

/** What a node's half can do. All of it happens on this node's memory and tables, by this node's EL2. */
export interface NodeContext extends ProtocolContext {
  readonly node: number;
  /** Sends `body` to the hypervisor's half. */
  send(body: unknown): void;
  /** Stores a write into the node's copy. Nothing is cleaned or invalidated. */
  store(write: Write): Steps;
  /**
   * Makes the words of a write visible to instruction fetches of every core: {@link clean}, {@link invalidate}, ISB ([arm64
   * reference 5.4]).
   */
  maintain(write: Write): Steps;
  /** DC CVAU on each line of the write in the node's copy, unless CTR_EL0.IDC; DSB ISH. */
  clean(write: Write): Steps;
  /** IC IVAU on each line of the write in the node's copy, unless CTR_EL0.DIC; DSB ISH. */
  invalidate(write: Write): Steps;
  /** DSB ISH. */
  dsb(): Steps;
  /**
   * Unmaps a page of the replicated range: invalid leaf, TLBI, DSB; a block is split first. Cores that touch it wait until it
   * is mapped. Nothing happens if it is unmapped.
   */
  unmap(page: number): Steps;
  /**
   * Maps a page of the range read-only onto a copy, and lets waiting cores go on. If it is mapped onto the other copy, by
   * break-before-make. A page that the range shares with EL2 is always mapped onto the primary.
   */
  map(page: number, copy?: CopyName): Steps;
  /** Copies a page from the primary with the numbers of its words, and makes it visible to fetches. */
  copyPage(page: number): Steps;
  /** Whether the node's copy of a page equals the primary. */
  verifyPage(page: number): Step<boolean>;
  /** TLBI by IPA of a page for both stages, and DSB. The other operations do their own. */
  tlbi(page: number): Steps;
  /** Takes write permission from a page's leaf, TLBI included. The range is never mapped writable, so this repairs. */
  writeProtect(page: number): Steps;
  /** Stops every core of the node. One that waits in EL2 for its store counts as stopped. */
  park(): Steps;
  /** Lets them go on, through a context synchronisation. */
  resume(): Steps;
}

/**
 * The half that runs where the order is made. Events are handled one after the other: while the steps that a handler
 * returned are under way, the next event waits.
 */
export interface HypervisorHalf {
  /**
   * Every write is treated by itself: nothing is kept that concerns two of them, and a node's half only sends what answers the
   * message that it handles. In `live` without latencies each node then has an instance of this half for the writes that
   * trap there, and runs it on its own thread, as EL2 on the trapping core would; the order is made under a lock.
   */
  readonly independentWrites?: boolean;
  /** The next write of the order. After a restart of the hypervisor: every write that was not retired, again. */
  onWrite(context: HypervisorContext, write: Write): Steps | undefined;
  /** A node's half sent `body`. */
  onMessage?(context: HypervisorContext, node: number, body: unknown): Steps | undefined;
  onTimer?(context: HypervisorContext, tag: number): Steps | undefined;
  /** A node has failed; nothing it sent before will arrive any more. `epoch` counts its lives, from 1. */
  onNodeDown?(context: HypervisorContext, node: number, epoch: number): Steps | undefined;
  /** A node is back, in its `epoch`th life, its copy caught up with all writes numbered so far. */
  onNodeBack?(context: HypervisorContext, node: number, epoch: number): Steps | undefined;
}

/** The half that runs on every node. Events are handled one after the other. */
export interface NodeHalf {
  onMessage(context: NodeContext, body: unknown): Steps | undefined;
  /** A core has touched an unmapped page of the range, and waits until it is mapped. Told once until it is. */
  onFault?(context: NodeContext, page: number): Steps | undefined;
  onTimer?(context: NodeContext, tag: number): Steps | undefined;
}

/**
 * What one write costs: counted for a write of one word to a page that every node maps as such. The first write to a block of
 * pages splits it where pages are unmapped, which takes more TLBIs.
 */
export interface ProtocolCost {
  /** Messages between the halves; what the session layer adds is not counted. */
  messages(nodes: number): number;
  /** Broadcast TLBIs. */
  tlbis(nodes: number): number;
  /** Who can be kept from executing by somebody else's write, and how long, in words. */
  readonly stall: string;
  /**
   * The longest that a core was kept from executing, in nanoseconds: on four nodes with four cores each, Kunpeng 920, without
   * jitter, one write of one word at a time, to a page that all cores but the writer touch without a pause.
   */
  readonly stallNs?: number;
}

/** An update protocol: how a numbered write reaches every copy of the text. */
export interface Protocol {
  readonly name: string;
  /** One line for people. */
  readonly description: string;
  readonly guarantee: Guarantee;
  /** Writes of several words are seen whole: no core executes a mixture of old and new ones (R6). */
  readonly wholeWrites?: boolean;
  /**
   * Options and their defaults. Every protocol has `multicast` too: {@link HypervisorContext.broadcast}. In `live`, and where a
   * crash is planned, each node is sent a message of its own.
   */
  readonly options?: Readonly<Record<string, unknown>>;
  readonly cost?: ProtocolCost;
  /**
   * A fresh hypervisor's half; its state lives in the closure. `bugs`: known bugs that are switched on, by their numbers in the
   * catalogue; only protocols that are built in have any.
   */
  hypervisor(bugs?: readonly string[]): HypervisorHalf;
  /** A fresh node's half. */
  node(bugs?: readonly string[]): NodeHalf;
}
