/**
 * What the threads of a live run share beside memory and rings: 32-bit words, read and written by Atomics, and each on a
 * line of its own where several threads write it. Every thread is a node, or the hypervisor, which comes after them.
 */

const LINE = 16;

/** What the run as a whole does; see the PHASE_ codes. */
export const PHASE: number = 0;
/** Pools of permits to run: node n is of pool n modulo this. */
export const POOLS: number = LINE;
/** Number of the last write of the order. Stored before any copy can hold it. */
export const NUMBERED: number = 2 * LINE;
/** Ticks: counts the events of the order. What two threads read of it tells which read came first. */
export const TICK: number = 3 * LINE;
/** Writes of the order that are over: their cores have left EL2. */
export const ENDED: number = 4 * LINE;
/** Broadcast TLBIs so far: every fetch reads it. Then of each kind. */
export const TLBI: number = 5 * LINE;
export const TLBI_ALL: number = TLBI + 1;
export const TLBI_STAGE2: number = TLBI + 2;
export const TLBI_VA: number = TLBI + 3;
/** IC IALLUIS so far. */
export const IC_ALL: number = TLBI + 4;
/** kick_all_cpus_sync: the number of the last one; every core takes it. */
export const KICK: number = 6 * LINE;
/** stop_machine: the core (plus 1) that stops all others, 0 if none does. */
export const STOPPER: number = 7 * LINE;
/** Stops so far: tells one from the next. */
export const STOPS: number = STOPPER + 1;
/** The kernel's locks: the holding core plus 1. */
export const LOCKS: number = 8 * LINE;
/** Cores that wait for a lock, a kick, or for others to stop: whoever changes one of these wakes everybody. */
export const WAITERS: number = 12 * LINE;
/** The row of the recorded trace that comes next. */
export const NEXT_ROW: number = 13 * LINE;
/** Agents of synthetic writers that may write: as many as there are, or one; negative while what others had begun ends. */
export const AGENTS: number = 14 * LINE;
/** 1: a thread has failed, and no other goes on. */
export const FAILED: number = 15 * LINE;
/** Number of the last write that is recorded. */
export const RECORD_LIMIT: number = 16 * LINE;
/** Threads that are ready to begin. */
export const READY: number = 17 * LINE;
/** Changes of who is there: the hypervisor looks at OFFLINE when it is another. */
export const CHANGES: number = 18 * LINE;
/** The last of them that the hypervisor has looked at: who was down then is buried. */
export const CHANGES_SEEN: number = CHANGES + 1;
/** Not 0: a thread of a node makes the order, by itself (see MemoryOrder) or with its EL2 (see OrderPart). */
export const ORDER_LOCK: number = 19 * LINE;
const THREADS: number = 20 * LINE;
/** Words of each thread: a line that others read and write all the time, and one that is mostly its own. */
const THREAD_WORDS: number = 2 * LINE;

/** Of each thread, from {@link threadWord} on: the hypervisor's is 1 while it sleeps, a node's becomes 1 when it may run. */
export const SLEEPING = 0;
/** 1: nothing is under way here. */
export const IDLE: number = LINE;
/** Records sent and taken. */
export const SENT: number = LINE + 1;
export const TAKEN: number = LINE + 2;
/** The last kick that all cores of the node have taken. */
export const KICKED = 4;
/** The stopper for whom all cores of the node have stopped. */
export const STOPPED = 5;
/** Turns of its loop: that it lives. */
export const TURNS: number = LINE + 3;
/** Writes retired (the hypervisor), or over (a node). */
export const DONE: number = LINE + 4;
/** 1: the finite work of a node is over. */
export const FINITE: number = LINE + 5;
/** 1: a node's thread has something to do and no permit to run. */
export const WANTS = 9;
/** 1: it runs, and looks at everything that is brought to it before it stops. */
export const RUNS = 10;
/** Of a node: see the OFFLINE_ codes. */
export const OFFLINE = 11;
/** Of a node: how many of its lives the hypervisor knows to be over. */
export const BURIED = 12;
/** Number of the worker thread that runs it. */
export const THREAD_ID = 13;
/** Of a node: 1 plus the place in the plan of the crash that is due, by its own count. */
export const CRASHES = 14;
/** Of the node with the number of a pool: permits of that pool that no thread holds. */
export const FREE = 15;

/** EL2 runs; it is gone, and its cores stand still; it is back, and wants to know what it missed. */
export const OFFLINE_UP = 0;
export const OFFLINE_DOWN = 1;
export const OFFLINE_JOINS = 2;

export const PHASE_BOOT = 0;
/** Everything runs, and is checked, but nothing is measured: engines compile what is hot in each thread. */
export const PHASE_WARM = 1;
export const PHASE_RUN = 2;
/** The duration is over: only finite writers go on. */
export const PHASE_FINITE = 3;
/** Nothing new is begun. */
export const PHASE_DRAIN = 4;
export const PHASE_END = 5;

/** How many agents may write. */
export const allowedAgents = (words: Int32Array): number => Math.abs(Atomics.load(words, AGENTS));

/** Whether endless writers write, and cores walk. */
export const isRunning = (phase: number): boolean => phase === PHASE_WARM || phase === PHASE_RUN;

/** Words of a run with `threads` threads. */
export const sharedWordCount = (threads: number): number => THREADS + threads * THREAD_WORDS;

/** How many nodes' threads run at a time on so many processors: one is the hypervisor's, if it has anything to do. */
export const permitsOf = (cores: number, hasOrder: boolean): number => Math.max(1, hasOrder ? cores - 1 : cores);

/** Index of a thread's words. */
export const threadWord = (thread: number): number => THREADS + thread * THREAD_WORDS;

/** Wakes the hypervisor if it sleeps. */
export const wakeHypervisor = (words: Int32Array, nodes: number): void => {
  const own = threadWord(nodes) + SLEEPING;
  if (Atomics.load(words, own) === 1 && Atomics.compareExchange(words, own, 1, 0) === 1) Atomics.notify(words, own, 1);
};

/** Where the free permits of a node's pool are counted. */
export const freeWord = (words: Int32Array, node: number): number => threadWord(node % words[POOLS]!) + FREE;

/** Gives free permits to nodes of `from`'s pool that want to run, the first from it on first. */
export const dispatch = (words: Int32Array, nodes: number, from: number): void => {
  const at = freeWord(words, from);
  for (;;) {
    const free = Atomics.load(words, at);
    if (free <= 0) return;
    if (Atomics.compareExchange(words, at, free, free - 1) !== free) continue;
    if (grantNext(words, nodes, from)) continue;
    Atomics.add(words, at, 1);
    // Who began to want meanwhile may have found no permit free.
    if (!somebodyWants(words, nodes, from, -1)) return;
  }
};

/** Whether a node of `of`'s pool wants to run that is not `except`. */
export const somebodyWants = (words: Int32Array, nodes: number, of: number, except: number): boolean => {
  const pools = words[POOLS]!;
  for (let node = of % pools; node < nodes; node += pools) {
    if (node !== except && Atomics.load(words, threadWord(node) + WANTS) === 1) return true;
  }
  return false;
};

/** Hands a permit to the first node of `from`'s pool, from it on, that wants one. False if none does. */
export const grantNext = (words: Int32Array, nodes: number, from: number): boolean => {
  const pools = words[POOLS]!;
  const first = from % pools;
  for (let node = from, i = first; i < nodes; i += pools, node = node + pools < nodes ? node + pools : first) {
    const at = threadWord(node);
    if (Atomics.load(words, at + WANTS) === 0 || Atomics.compareExchange(words, at + WANTS, 1, 0) === 0) continue;
    Atomics.store(words, at + SLEEPING, 1);
    Atomics.notify(words, at + SLEEPING, 1);
    return true;
  }
  return false;
};

/** The node of `node`'s pool that comes after it. */
export const nextInPool = (words: Int32Array, nodes: number, node: number): number => {
  const pools = words[POOLS]!;
  return node + pools < nodes ? node + pools : node % pools;
};

/** Something was brought to a node: it runs as soon as there is a permit. */
export const wakeNode = (words: Int32Array, nodes: number, node: number): void => {
  const at = threadWord(node);
  if (Atomics.load(words, at + RUNS) === 1) return;
  Atomics.store(words, at + WANTS, 1);
  dispatch(words, nodes, node);
};

/** Wakes all threads. */
export const wakeAll = (words: Int32Array, nodes: number): void => {
  for (let node = 0; node < nodes; node++) wakeNode(words, nodes, node);
  wakeHypervisor(words, nodes);
};

/** A node of another process: nobody here wakes it, or gives it a permit. */
export const markElsewhere = (words: Int32Array, node: number): void => {
  Atomics.store(words, threadWord(node) + RUNS, 1);
};

/** A lock or a stop of all others that cores of a node held which is gone is given back. */
const releaseLocks = (
  words: Int32Array,
  isOwn: (cpu: number) => boolean,
  stopperOf: (stopper: number) => number,
): void => {
  for (let lock = LOCKS; lock < WAITERS; lock += LINE) {
    const holder = Atomics.load(words, lock);
    if (holder > 0 && isOwn(holder - 1)) Atomics.compareExchange(words, lock, holder, 0);
  }
  const stopper = Atomics.load(words, STOPPER);
  if (isOwn(stopperOf(stopper))) Atomics.store(words, STOPPER, 0);
};

/** A node is down, whatever its process: nobody waits for its cores, and what they held is given back. */
export const takeDown = (
  words: Int32Array,
  node: number,
  isOwn: (cpu: number) => boolean,
  stopperOf: (stopper: number) => number,
): void => {
  Atomics.store(words, threadWord(node) + OFFLINE, OFFLINE_DOWN);
  releaseLocks(words, isOwn, stopperOf);
};

/** Who is there has changed. */
export const announceChange = (words: Int32Array, nodes: number): void => {
  Atomics.add(words, CHANGES, 1);
  wakeAll(words, nodes);
};

/**
 * A node's thread has ended in the middle of whatever it did. What it held that others wait for is given back: its permit, the
 * locks of its cores `[firstCpu, endCpu)`, and a stop of all others. Whether it held a permit cannot be known, so one is
 * given back unless all are free: one too many only lets one more thread run at a time.
 */
export const releaseNode = (
  words: Int32Array,
  { nodes, node, permits }: { readonly nodes: number; readonly node: number; readonly permits: number },
  isOwn: (cpu: number) => boolean,
  stopperOf: (stopper: number) => number,
): void => {
  const at = threadWord(node);
  // So nobody wakes it, or gives it a permit, until it begins anew.
  Atomics.store(words, at + RUNS, 1);
  Atomics.store(words, at + WANTS, 0);
  Atomics.store(words, at + SLEEPING, 0);
  Atomics.store(words, at + SENT, 0);
  Atomics.store(words, at + TAKEN, 0);
  Atomics.store(words, at + IDLE, 1);
  Atomics.store(words, at + FINITE, 1);
  takeDown(words, node, isOwn, stopperOf);
  const free = freeWord(words, node);
  if (Atomics.load(words, free) < permits) Atomics.add(words, free, 1);
  dispatch(words, nodes, nextInPool(words, nodes, node));
  announceChange(words, nodes);
};
