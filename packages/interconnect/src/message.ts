import type { Instant } from '@numalab/base';

/**
 * What is delivered to a process (a node or the hypervisor) at a moment: a message of another process, or something it
 * scheduled for itself. Plain numbers and one body, so that it crosses threads as it is.
 */
export interface Message {
  /** When it takes effect. */
  readonly time: Instant;
  /** Place among the messages of one moment: class, sender, sequence number; see {@link orderOf}. */
  readonly order: number;
  /** Receiving process. */
  readonly to: number;
  /** Sending process. */
  readonly from: number;
  /** What it is: a constant of the receiver's vocabulary. */
  readonly kind: number;
  /** Operands; their meaning depends on the kind. */
  readonly a: number;
  readonly b: number;
  readonly c: number;
  /** Anything else: a line of memory, a protocol's message. Never changed after it is sent. */
  readonly body: unknown;
}

/** Classes, in the order in which messages of one moment take effect. */
export const CLASS_MEMORY = 0;
export const CLASS_MAINTENANCE = 1;
export const CLASS_PROTOCOL = 2;
export const CLASS_INTERRUPT = 3;
export const CLASS_LOCAL = 4;

const SEQUENCE_LIMIT = 2 ** 40;

/**
 * One number that sorts by (class, sending process, sequence number). Sequence numbers are the sender's own count of what it
 * sent, so the order of two messages never depends on when or where they were carried over.
 */
export const orderOf = (messageClass: number, from: number, sequence: number): number =>
  (messageClass * 256 + from) * SEQUENCE_LIMIT + sequence;
