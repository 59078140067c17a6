/**
 * Where the threads of a run meet after every window. The words, each on a line of its own so that they do not slow each
 * other down:
 *   ARRIVED     threads that are here; the last one sets it back to 0
 *   GENERATION  meetings that have taken place; sleepers wait on it
 *   SLEEPERS    threads that sleep or are about to: only then does the last one pay for waking
 *   STATE       RUNNING, or FAILED once any thread cannot go on
 *   WISH        1: the run should end before its time
 *   PROGRESS    microseconds of virtual time, for the thread that watches
 */
const LINE_WORDS = 16;
const ARRIVED = 0;
const GENERATION = LINE_WORDS;
const SLEEPERS = 2 * LINE_WORDS;
const STATE = 3 * LINE_WORDS;
const WISH = 4 * LINE_WORDS;
const PROGRESS = 5 * LINE_WORDS;
const CONTROL_BYTES = 6 * LINE_WORDS * 4;

const RUNNING = 0;
const FAILED = 1;

/** What a thread brings to a meeting: a line of its own in each of two boards, used in turn. SENT has a word per thread. */
const NEXT = 0;
const PENDING = 1;
const ENDING = 2;
const HORIZON = 3;
const SENT = 4;

const boardLine = (threads: number): number => Math.ceil((SENT + threads) / 8) * 8;

/**
 * How often a thread that waits looks before it sleeps: at most some 500 microseconds, because being woken took 50 to 250
 * where this was measured, and other threads are seldom later than that. While the one waited for has no core, spinning
 * only keeps it from running (measured: 2 s of work took 21 s), so after spinning in vain a thread spins less, and tries
 * again in earnest only now and then.
 */
const MAX_SPINS = 10_000;
const MIN_SPINS = 40;
const TRIAL_MEETINGS = 64;

// Newer than the library that the compiler knows; without it a spinning thread slows its hyper-thread down.
const pause: () => void = (Atomics as { pause?: () => void }).pause ?? (() => {});

/** Shared memory for the barrier of `threads` threads. */
export const barrierMemory = (threads: number): SharedArrayBuffer =>
  new SharedArrayBuffer(CONTROL_BYTES + 2 * threads * boardLine(threads) * 8);

/** The view of the main thread, which takes no part: it can watch a run and end it. */
export class RunControl {
  private readonly control: Int32Array;

  constructor(memory: SharedArrayBuffer) {
    this.control = new Int32Array(memory, 0, CONTROL_BYTES / 4);
  }

  /** All threads end the run after the same window, with what there is by then. */
  end(): void {
    Atomics.store(this.control, WISH, 1);
  }

  /** A thread is lost: the others must not wait for it. */
  fail(): void {
    Atomics.store(this.control, STATE, FAILED);
    // Sleepers wait for the generation to change, so it has to.
    Atomics.add(this.control, GENERATION, 1);
    Atomics.notify(this.control, GENERATION);
  }

  /** Changes with every meeting. */
  get meetings(): number {
    return Atomics.load(this.control, GENERATION);
  }

  /** Virtual time reached, in picoseconds. */
  progressPs(): number {
    return Atomics.load(this.control, PROGRESS) * 1e6;
  }

  get hasFailed(): boolean {
    return Atomics.load(this.control, STATE) === FAILED;
  }
}

/**
 * A meeting of all threads that takes one barrier: everybody writes down what it knows, waits until all are here, and reads
 * what the others wrote. There are two boards, because a fast thread may write for the next meeting while a slow one still
 * reads of this one; it cannot write for the meeting after that, since that one's barrier needs the slow thread. What a thread wrote
 * anywhere in shared memory before a meeting can be read by all after it: the atomic operations order the plain ones.
 */
export class WindowBarrier {
  /** Results of the last meeting. When each thread acts next, what is on its way to it included; */
  readonly nexts: Float64Array;
  /** the earliest of these; */
  first = 0;
  /** the most that any thread has still to send of what it began; */
  pending = 0;
  /** whether anybody saw that the run should end; */
  ending = false;
  /** and until when nothing can come from outside, as thread 0 says. */
  horizon = 0;
  /** Meetings so far: the number of the exchange that the next one ends. */
  meetings = 0;
  private readonly control: Int32Array;
  private readonly board: Float64Array;
  private readonly lineWords: number;
  private readonly threads: number;
  private readonly thread: number;
  private readonly ownCore: boolean;
  private spins: number;

  /** Only threads that have a core of their own may spin while they wait: else they keep others from arriving. */
  constructor(memory: SharedArrayBuffer, threads: number, thread: number, ownCore: boolean) {
    this.nexts = new Float64Array(threads);
    this.control = new Int32Array(memory, 0, CONTROL_BYTES / 4);
    this.board = new Float64Array(memory, CONTROL_BYTES);
    this.lineWords = boardLine(threads);
    this.threads = threads;
    this.thread = thread;
    this.ownCore = ownCore;
    this.spins = ownCore ? MAX_SPINS : 0;
  }

  /**
   * Meets the others. `next` is when this thread acts next, `sent` by thread the earliest arrival of what was sent to it and
   * not yet taken, `horizon` what thread 0 tells the others. False if one of them cannot go on: nothing else is known then.
   */
  meet(next: number, pending: number, sent: Float64Array, horizon: number): boolean {
    const { board, control, threads, lineWords } = this;
    const start = (this.meetings & 1) * threads * lineWords;
    const line = start + this.thread * lineWords;
    board[line + NEXT] = next;
    board[line + PENDING] = pending;
    board[line + ENDING] = Atomics.load(control, WISH);
    board[line + HORIZON] = horizon;
    for (let to = 0; to < threads; to++) board[line + SENT + to] = sent[to]!;
    this.arrive();
    this.meetings++;
    if (Atomics.load(control, STATE) !== RUNNING) return false;
    this.read(start);
    return true;
  }

  private read(start: number): void {
    const { board, threads, nexts, lineWords } = this;
    this.pending = 0;
    this.ending = false;
    this.horizon = board[start + HORIZON]!;
    for (let thread = 0, at = start; thread < threads; thread++, at += lineWords) {
      nexts[thread] = board[at + NEXT]!;
      if (board[at + PENDING]! > this.pending) this.pending = board[at + PENDING]!;
      if (board[at + ENDING]! > 0) this.ending = true;
    }
    for (let thread = 0, at = start + SENT; thread < threads; thread++, at += lineWords) {
      for (let to = 0; to < threads; to++) if (board[at + to]! < nexts[to]!) nexts[to] = board[at + to]!;
    }
    this.first = Infinity;
    for (let thread = 0; thread < threads; thread++) if (nexts[thread]! < this.first) this.first = nexts[thread]!;
  }

  /** Tells the watching thread how far the run is. */
  report(virtualPs: number): void {
    this.control[PROGRESS] = virtualPs / 1e6;
  }

  private arrive(): void {
    const { control } = this;
    // Read before arriving: afterwards the last thread may open the next generation at any moment.
    const generation = Atomics.load(control, GENERATION);
    if (Atomics.add(control, ARRIVED, 1) === this.threads - 1) {
      // Set back before the others can go: they may be here again at once.
      Atomics.store(control, ARRIVED, 0);
      Atomics.add(control, GENERATION, 1);
      if (Atomics.load(control, SLEEPERS) > 0) Atomics.notify(control, GENERATION);
      return;
    }
    if (this.spin(generation)) return;
    // Counted before the last look at the generation (wait takes it), which the last thread changes before it counts
    // sleepers: one of the two sees the other, so nobody sleeps for ever.
    Atomics.add(control, SLEEPERS, 1);

    while (Atomics.load(control, GENERATION) === generation) {
      // A failure between the first look and now has changed the generation for good.
      if (Atomics.load(control, STATE) !== RUNNING) break;
      Atomics.wait(control, GENERATION, generation);
    }
    Atomics.sub(control, SLEEPERS, 1);
  }
  /** Waits a little without sleeping. True if the meeting took place. */
  private spin(generation: number): boolean {
    const { control } = this;
    if (this.ownCore && this.meetings % TRIAL_MEETINGS === 0) this.spins = MAX_SPINS;
    for (let i = this.spins; i > 0; i--) {
      if (Atomics.load(control, GENERATION) !== generation) {
        this.spins = Math.min(MAX_SPINS, this.spins * 2);
        return true;
      }
      pause();
    }
    if (this.ownCore) this.spins = Math.max(MIN_SPINS, this.spins >> 2);
    return false;
  }
}
