/**
 * What processes say to each other and to themselves. `from` is always the sender; operands are `a`, `b`, `c` and `body`.
 */

/** A line of the receiver's memory is wanted. a: PA, b: core. Answered by {@link LINE}. */
export const READ_LINE = 1;
/** Contents of a line. a: PA, b: core, body: Uint32Array of 16 (word, number) pairs. */
export const LINE = 2;
/** Store to the receiver's memory. a: PA, b: core, c: size in bytes, body: words. Answered by {@link STORED}. */
export const STORE = 3;
/** A store was performed everywhere. b: core, c: its number, if it was to the kernel's text. */
export const STORED = 4;
/** The receiver must drop its coherent copy of a line. a: PA, b: the store that waits. Answered by {@link DROPPED}. */
export const DROP_LINE = 5;
export const DROPPED = 6;
/** DC CVAU of a line of the receiver's memory. a: PA, b: core. Answered by {@link MAINTAINED}. */
export const CLEAN_LINE = 7;
/** Distributed maintenance (TLBI, IC): a: operation, b: core, c: address operand. Answered by {@link MAINTAINED}. */
export const MAINTAIN = 8;
export const MAINTAINED = 9;
/** Inter-processor interrupt to core `b` of the receiver. a: purpose, c: sending core. */
export const INTERRUPT = 10;
/** Core `c` of the receiver: one core has taken the interrupt (or is parked). */
export const INTERRUPTED = 11;
/** End of a stop_machine: every core of the receiver resumes. */
export const RESUME = 12;
/** A kernel lock: a: lock, b: core. Node 0 keeps them. */
export const LOCK = 13;
export const GRANTED = 14;
export const UNLOCK = 15;
/** The recorded writer's turn goes over. a: row. */
export const HAND_OVER = 16;
/** Row a of the recorded writer is done, and rows on the receiver wait for it. */
export const ROW_DONE = 17;
/** Word a of the kernel is being written: a core of the receiver should fetch it. */
export const PROBE = 18;
/** A trapped write for the order. b: core, body: what EL2 decoded. */
export const SUBMIT = 19;
/** The write of core b is over. a: its number, body: words as they were before. */
export const RETIRE = 20;
/** A frame of the session layer. body: the frame. */
export const FRAME = 21;
/** What a node that caught up must store, or that it goes on: see `Resync`. */
export const RESYNC = 26;
/** The platform's controller says that the sending node's EL2 is gone; a: its life. Hardware: it is never lost. */
export const NODE_DOWN = 27;
/** {@link STORE} of one word unless its number is another than c: a newer write has come. Answered by {@link STORED}. */
export const MEND = 28;
/** The sender's rows of the recorded writer are all done. */
export const TRACE_DONE = 24;
/** Everybody's are: the other writers, and the duration, begin at moment a. */
export const BEGIN_WRITERS = 25;
/** All finite work of the sending node is done. */
export const WORK_DONE = 22;
/** The measured phase is over: walks and endless writers end. */
export const STOP = 23;

/** To itself: a core's wait is over. b: core, c: which wait. */
export const WAKE = 32;
/** To itself: writer a begins its next action. */
export const BEGIN_ACTION = 33;
/** To itself: timer a of the protocol's half; b: its tag. */
export const TIMER = 34;
/** To itself: a timer of the session layer. a: peer, b: which timer. */
export const SESSION_TIMER = 35;
/** To itself: the duration of endless work is over. */
export const DURATION_OVER = 36;
/** To itself: the recorded writer, number a, begins. */
export const BEGIN_TRACE = 37;
/** To itself: see whether a trapped store waits for too long. */
export const WATCHDOG = 38;
/** To itself: EL2's interrupt stops all cores; and lets them go on. */
export const HALT = 39;
export const RELEASE = 40;
/** To itself: planned fault a is due; b: what for. a is -1: see whether the node can stand still. */
export const FAULT = 41;
/** To itself: core b, which a schedule held up, may take interrupts again. */
export const RESUME_CORE = 42;
/** To itself: the next pages of the scrubber's a-th beginning are due. */
export const SCRUB = 43;
/** To itself, the hypervisor: a record of the journal is safe. a: its life. */
export const JOURNALLED = 44;

export const KIND_NAMES: Readonly<Record<number, string>> = {
  1: 'read-line',
  2: 'line',
  3: 'store',
  4: 'stored',
  5: 'drop-line',
  6: 'dropped',
  7: 'clean-line',
  8: 'maintain',
  9: 'maintained',
  10: 'interrupt',
  11: 'interrupted',
  12: 'resume',
  13: 'lock',
  14: 'granted',
  15: 'unlock',
  16: 'hand-over',
  17: 'row-done',
  18: 'probe',
  19: 'submit',
  20: 'retire',
  21: 'frame',
  22: 'work-done',
  23: 'stop',
  24: 'trace-done',
  25: 'begin-writers',
  26: 'resync',
  27: 'node-down',
  28: 'mend',
  32: 'wake',
  33: 'begin-action',
  34: 'timer',
  35: 'session-timer',
  36: 'duration-over',
  37: 'begin-trace',
  38: 'watchdog',
  39: 'halt',
  40: 'release',
  41: 'fault',
  42: 'resume-core',
  43: 'scrub',
  44: 'journalled',
};

/** Operations of {@link MAINTAIN}. */
export const TLBI_VAAE1IS = 1;
export const TLBI_IPAS2E1IS = 2;
export const TLBI_VMALLE1IS = 3;
export const TLBI_VMALLS12E1IS = 4;
export const IC_IVAU = 5;
export const IC_IALLUIS = 6;

/** Purposes of {@link INTERRUPT}. */
export const IPI_CALL = 1;
export const IPI_PARK = 2;

/** Locks of the kernel: patching.c's patch_lock, the mutex around text users, stop_machine's. */
export const LOCK_PATCH = 1;
export const LOCK_TEXT = 2;
export const LOCK_STOP = 3;
