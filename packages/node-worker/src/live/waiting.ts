import {
  dispatch,
  FAILED,
  freeWord,
  grantNext,
  nextInPool,
  ORDER_LOCK,
  PHASE,
  PHASE_END,
  RUNS,
  SLEEPING,
  somebodyWants,
  threadWord,
  WANTS,
} from './shared-words.ts';

// Newer than the library that the compiler knows; without it a spinning thread slows its hyper-thread down.
const pause: () => void = (Atomics as { pause?: () => void }).pause ?? (() => {});

/**
 * The hypervisor looks this often, some milliseconds, before it sleeps: a node that is handed a permit takes tens of microseconds
 * to begin, and every write waits for the hypervisor. A node looks only while the hypervisor is at what the node sent, and
 * not for long even then: while it waits, another could run, and the hypervisor may have been taken off its core.
 */
const HYPERVISOR_SPINS = 20_000;
/** What is due within this time is over while the hypervisor still looks. */
const SOON_MS = 1;
const NODE_SPINS = 1000;

/** Looks for work `spins` times, or until `isVain`. Whether there is any. */
const lookFor = (hasWork: () => boolean, spins: number, isVain: () => boolean = () => false): boolean => {
  for (let i = spins; i > 0; i--) {
    if (hasWork()) return true;
    // What came before it was vain is there now.
    if (isVain()) return hasWork();
    pause();
  }
  return false;
};

/** Looks at the order's lock so often before sleeping: its holder handles a few writes, unless it lost its core. */
const LOCK_SPINS = 200;
const LOCK_WAIT_MS = 1;

/** Takes the lock of the order, whoever it is that orders. 2: somebody may sleep for it. */
export const lockOrder = (words: Int32Array): void => {
  for (let i = 0; i < LOCK_SPINS; i++) {
    if (Atomics.load(words, ORDER_LOCK) === 0 && Atomics.compareExchange(words, ORDER_LOCK, 0, 1) === 0) return;
    pause();
  }
  while (Atomics.exchange(words, ORDER_LOCK, 2) !== 0) Atomics.wait(words, ORDER_LOCK, 2, LOCK_WAIT_MS);
};

/** Gives it back. */
export const unlockOrder = (words: Int32Array): void => {
  if (Atomics.exchange(words, ORDER_LOCK, 0) === 2) Atomics.notify(words, ORDER_LOCK, 1);
};

/** How the hypervisor waits: it spins a little while if there is a second core, because all others wait for it, and sleeps. */
export class HypervisorWaiting {
  private readonly words: Int32Array;
  private readonly own: number;
  private readonly spins: number;
  private readonly now: () => number;

  /** `now` gives milliseconds. */
  constructor(words: Int32Array, nodes: number, cores: number, now: () => number) {
    this.words = words;
    this.now = now;
    this.own = threadWord(nodes) + SLEEPING;
    this.spins = cores > 1 ? HYPERVISOR_SPINS : 0;
  }

  /** Waits until there is work, for `ms` at most. What is due sooner than a thread wakes up is waited for awake. */
  wait(hasWork: () => boolean, ms: number): void {
    const { words, own, now } = this;
    const due = now() + ms;
    const isDue = (): boolean => now() >= due;
    if (ms < SOON_MS ? lookFor(hasWork, this.spins, isDue) || isDue() : lookFor(hasWork, this.spins)) return;
    // Said before the last look: who brings work looks at it after that, so one of the two sees the other.
    Atomics.store(words, own, 1);
    if (!hasWork()) Atomics.wait(words, own, 1, due - now());
    Atomics.store(words, own, 0);
  }
}

/** Whether the run is over: nobody needs a permit then, and one that a failed thread held is not to be had. */
const isOver = (words: Int32Array): boolean =>
  Atomics.load(words, PHASE) >= PHASE_END || Atomics.load(words, FAILED) !== 0;

/**
 * How the threads of nodes share the cores that the hypervisor leaves: there are as many permits to run as such cores, and a
 * thread that waits in vain, or has run for its slice while others want to, hands its permit on. So never more threads spin
 * than there are cores, and a thread that runs is seldom taken off its core in the middle of something. Waking a
 * thread costs 10 to 50 microseconds where this was measured, a hand-over less, because the core never stands still.
 */
export class NodeWaiting {
  private readonly words: Int32Array;
  private readonly nodes: number;
  private readonly node: number;
  private readonly at: number;

  constructor(words: Int32Array, nodes: number, node: number) {
    this.words = words;
    this.nodes = nodes;
    this.node = node;
    this.at = threadWord(node);
  }

  /** The thread begins: it waits for a permit. */
  begin(): void {
    Atomics.store(this.words, this.at + WANTS, 1);
    dispatch(this.words, this.nodes, this.node);
    this.sleep(Infinity);
  }

  /** The thread ends, and needs its permit no more. */
  end(): void {
    Atomics.store(this.words, this.at + RUNS, 1);
    this.pass();
  }

  /** Whether another node waits for a permit. */
  get isWanted(): boolean {
    return somebodyWants(this.words, this.nodes, this.node, this.node);
  }

  /** Waits a little for an answer that is under way, until it `isVain` to. Returns whether there is work. */
  spin(hasWork: () => boolean, isVain: () => boolean): boolean {
    return lookFor(hasWork, NODE_SPINS, isVain);
  }

  /** Waits for work as long as nobody else wants to run, and not for ever. Returns whether there is any. */
  spinAlone(hasWork: () => boolean): boolean {
    return lookFor(hasWork, HYPERVISOR_SPINS, () => this.isWanted);
  }

  /** Lets others run, and goes on when it is this node's turn again. */
  yieldTurn(): void {
    Atomics.store(this.words, this.at + WANTS, 1);
    this.pass();
    this.sleep(Infinity);
  }

  /**
   * Gives the permit away and sleeps until something is brought, for `ms` at most. Does nothing and returns false if
   * `hasWork`.
   */
  wait(hasWork: () => boolean, ms: number): boolean {
    const { words, at } = this;
    // Said before the last look: who brings work looks at it after that, so one of the two sees the other.
    Atomics.store(words, at + RUNS, 0);
    if (hasWork()) {
      Atomics.store(words, at + RUNS, 1);
      // Somebody may have asked for a permit on this thread's behalf: it has one.
      Atomics.store(words, at + WANTS, 0);
      if (Atomics.exchange(words, at + SLEEPING, 0) === 1) this.pass();
      return false;
    }
    this.pass();
    this.sleep(ms);
    return true;
  }

  private pass(): void {
    const { words, nodes, node } = this;
    const next = nextInPool(words, nodes, node);
    if (grantNext(words, nodes, next)) return;
    Atomics.add(words, freeWord(words, node), 1);
    dispatch(words, nodes, next);
  }

  /** Sleeps until there is a permit; after `ms` it wants one. */
  private sleep(ms: number): void {
    const { words, at, nodes, node } = this;
    const isGranted = (): boolean => Atomics.compareExchange(words, at + SLEEPING, 1, 0) === 1;
    if (ms !== Infinity && !isGranted()) {
      Atomics.wait(words, at + SLEEPING, 0, ms);
      if (isGranted()) {
        Atomics.store(words, at + RUNS, 1);
        return;
      }
      Atomics.store(words, at + WANTS, 1);
      dispatch(words, nodes, node);
    } else if (ms !== Infinity) {
      Atomics.store(words, at + RUNS, 1);
      return;
    }
    while (!isGranted() && !isOver(words)) Atomics.wait(words, at + SLEEPING, 0, 100);
    Atomics.store(words, at + RUNS, 1);
  }
}
