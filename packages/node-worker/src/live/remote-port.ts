import { assert } from '@numalab/base';
import type { LiveRingWriter } from '@numalab/interconnect';

/**
 * What a thread asks of other processes by way of its service thread. Operands are numbers. To one process, or to all others.
 */

/** IC IVAU of the line at a PA; IC IALLUIS; TLBIs. Acknowledged. */
export const REMOTE_IC_LINE = 1;
export const REMOTE_IC_ALL = 2;
export const REMOTE_TLBI_VA = 3;
export const REMOTE_TLBI_STAGE2 = 4;
export const REMOTE_TLBI_ALL = 5;
/** Cells of a node's copy: node, first cell, cells. Acknowledged. */
export const REMOTE_STORE_CELLS = 6;
/** A word of a node's memory: PA, value. Acknowledged. */
export const REMOTE_STORE_WORD = 7;
/** A node is down, joins, or is up: node, OFFLINE_ code. Acknowledged. */
export const REMOTE_STATE = 8;
/** A control word has another value: index, value. Acknowledged. */
export const REMOTE_PUBLISH = 9;
/** What is known of a watched word: which, index, number. */
export const REMOTE_RAISE = 10;
/** A write has its number: number, first word, values. */
export const REMOTE_NUMBERED = 11;
/** A writer of a node has done so much: place among LiveFaultMemory.progress, count. */
export const REMOTE_PROGRESS = 21;
/** Calls, each with an answer. Cells of a node's copy: node, first cell, count. A word of memory: PA. */
export const REMOTE_LOAD_CELLS = 12;
export const REMOTE_LOAD_WORD = 13;
/** Of a control word, where its owner has it: its value; one more; compare with 0 and exchange. Index, value. */
export const REMOTE_READ = 14;
export const REMOTE_COUNT = 15;
export const REMOTE_LOCK = 16;
/** Descriptors that a stage-1 walk passes: VA. Cells of the primary for an instruction cache: first cell, count. */
export const REMOTE_WALK = 17;
export const REMOTE_FETCH_CELLS = 18;
/** A store to text that nothing traps: see FarOrder. Its number. */
export const REMOTE_STORE_ORDERED = 19;
/** Of a control word, where its owner has it: one more than a count, unless it is no longer that. Index, count. */
export const REMOTE_ADVANCE = 20;

/** Those that are acknowledged, and calls. */
export const isAcknowledged = (kind: number): boolean => kind <= REMOTE_PUBLISH;
export const isCall = (kind: number): boolean => kind >= REMOTE_LOAD_CELLS && kind <= REMOTE_ADVANCE;

/** Instead of a process: all others. */
export const ALL_OTHERS = -1;

/** Shared by a thread and its service thread: operations that are over, and whether the call has its answer; then that. */
export const PORT_DONE = 0;
export const PORT_ANSWERED = 1;
/** Never changes: for looking again after a while. */
const PORT_ROOM = 2;
/** Operations that found no room in the outbox: with more than these the thread waits. */
const MAX_WAITING = 256;
const PORT_INTS = 16;
/** Cells that one call can bring. */
export const PORT_CELLS = 4096;
export const PORT_BYTES: number = PORT_INTS * 4 + PORT_CELLS * 8;

/** The two views of a port's memory. */
export const portViews = (
  memory: SharedArrayBuffer,
  thread: number,
): { readonly control: Int32Array; readonly answer: Float64Array } => ({
  control: new Int32Array(memory, thread * PORT_BYTES, PORT_INTS),
  answer: new Float64Array(memory, thread * PORT_BYTES + PORT_INTS * 4, PORT_CELLS),
});

/** What a port is given by its thread. */
export interface RemoteWays {
  /** Wakes the service thread. */
  readonly bell: () => void;
  readonly stamp: () => number;
  readonly sentLines: Uint8Array;
}

/** A thread's end of the way to other processes. */
export class RemotePort {
  /** What the last {@link call} brought. */
  readonly answer: Float64Array;
  /** Nanoseconds of the clock that all processes have in common. */
  readonly stamp: () => number;
  /** See LineHolders. */
  readonly sentLines: Uint8Array;
  private readonly control: Int32Array;
  private readonly outbox: LiveRingWriter;
  private readonly memberOf: Int32Array;
  private readonly member: number;
  private readonly bell: () => void;
  private posted = 0;

  /** `views` are the thread's; `memberOf` has the process of each node, and of the hypervisor. */
  constructor(
    views: ReturnType<typeof portViews>,
    outbox: LiveRingWriter,
    { memberOf, member }: { readonly memberOf: Int32Array; readonly member: number },
    { bell, stamp, sentLines }: RemoteWays,
  ) {
    this.control = views.control;
    this.answer = views.answer;
    this.outbox = outbox;
    this.memberOf = memberOf;
    this.member = member;
    this.bell = bell;
    this.stamp = stamp;
    this.sentLines = sentLines;
  }

  isElsewhere(node: number): boolean {
    return this.memberOf[node] !== this.member;
  }

  memberOfNode(node: number): number {
    return this.memberOf[node]!;
  }

  /** The process of a thread: a node's, or the hypervisor's, which comes after them. */
  memberOfThread(thread: number): number {
    return this.memberOf[thread]!;
  }

  /** Sends an operation, with what is put before the next {@link flush}. */
  post(kind: number, to: number, operands: ArrayLike<number>): void {
    const { outbox } = this;
    outbox.begin(kind, to);
    for (let i = 0; i < operands.length; i++) outbox.word(operands[i]!);
    outbox.end();
    if (isAcknowledged(kind)) this.posted = (this.posted + 1) | 0;
    if (outbox.backlog > MAX_WAITING) this.waitForRoom();
  }

  /** Another process does not take what it is sent: this thread goes no further until there is room again. */
  private waitForRoom(): void {
    while (this.outbox.backlog > 0) {
      this.flush();
      Atomics.wait(this.control, PORT_ROOM, 0, 1);
    }
  }

  /** Lets the service thread have what was put. */
  flush(): void {
    if (this.outbox.publish()) this.bell();
  }

  /** Whether all acknowledged operations are over. */
  get isComplete(): boolean {
    return Atomics.load(this.control, PORT_DONE) === this.posted;
  }

  /** Waits until they are. */
  complete(): void {
    this.flush();
    for (;;) {
      const done = Atomics.load(this.control, PORT_DONE);
      if (done === this.posted) return;
      Atomics.wait(this.control, PORT_DONE, done, 100);
      // What found no room in the outbox.
      this.flush();
    }
  }

  /** Asks one process, and waits for its answer: the first number of it; see {@link answer}. */
  call(kind: number, to: number, ...operands: number[]): number {
    const { control, answer } = this;
    assert(isCall(kind), 'only calls are answered');
    Atomics.store(control, PORT_ANSWERED, 0);
    this.post(kind, to, operands);
    this.flush();
    while (Atomics.load(control, PORT_ANSWERED) === 0) {
      Atomics.wait(control, PORT_ANSWERED, 0, 100);
      this.flush();
    }
    return answer[0]!;
  }
}
