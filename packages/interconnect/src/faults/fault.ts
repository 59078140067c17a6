/**
 * What a run plans to break, as plain data that every process of a machine is given. Times are picoseconds of virtual time.
 * Which events a fault hits is decided where they happen, from a random stream that the fault's own name determines.
 */

/** All kinds of faults. */
export const FAULT_KINDS = [
  'drop',
  'duplicate',
  'delay',
  'reorder',
  'corrupt',
  'partition',
  'slow-link',
  'pause',
  'slow-node',
  'crash',
  'hyp-crash',
  'tlbi-late',
  'tlbi-lost',
  'maint-lost',
  'flip-replica',
  'flip-descriptor',
  'flip-tlb',
  'flip-l1i',
  'flip-message',
  'flip-journal',
  'pool',
  'queue',
] as const;

export type FaultKind = (typeof FAULT_KINDS)[number];

/** Kinds that hit messages on their way between two EL2s. */
export const MESSAGE_FAULTS: ReadonlySet<string> = new Set([
  'drop',
  'duplicate',
  'delay',
  'reorder',
  'corrupt',
  'flip-message',
  'partition',
  'slow-link',
]);

/** Kinds that last: they hit everything in their window. */
export const WINDOW_FAULTS: ReadonlySet<string> = new Set(['partition', 'slow-link', 'slow-node']);

/** Kinds that happen at one moment. */
export const POINT_FAULTS: ReadonlySet<string> = new Set([
  'pause',
  'crash',
  'flip-replica',
  'flip-descriptor',
  'flip-tlb',
  'flip-l1i',
  'flip-journal',
]);

/** Kinds that hit the n-th, or a random, operation of a node. */
export const OPERATION_FAULTS: ReadonlySet<string> = new Set(['tlbi-late', 'tlbi-lost', 'maint-lost', 'queue', 'pool']);

/** Messages that `match` can name. */
export const MATCHES = ['submit', 'retire', 'protocol', 'resync', 'acknowledgement', 'hello'] as const;

/** Places at which the hypervisor can crash, in the order in which a write passes them. */
export const HYPERVISOR_STEPS = [
  /** The submission has arrived, and is in no journal. */
  'received',
  /** It has its number and is in the journal; no node has heard of it. */
  'journalled',
  /** One more message of a broadcast, or of an answer, has left. */
  'sent',
  /** A node's message has been handled. */
  'handled',
  /** The journal says that the write is over; its core has not heard of it. */
  'retiring',
  /** Its core has been told. */
  'retired',
  /** One more node has caught up after a crash of the hypervisor. */
  'recovering',
] as const;

export type HypervisorStep = (typeof HYPERVISOR_STEPS)[number];

/** Fields of a stage-2 descriptor that `flip-descriptor` can hit. */
export const DESCRIPTOR_FIELDS = ['valid', 'oa', 's2ap', 'af', 'xn'] as const;

/** One fault. -1, Infinity and '' stand for what it does not say. */
export interface FaultSpec {
  readonly kind: FaultKind;
  /** Names it in reports, and is the name of its random stream: other faults have no say in it. */
  readonly name: string;
  /** Of message faults: sending and receiving process; -1: any. */
  readonly from: number;
  readonly to: number;
  /** Of a cut, and where a link is named by one node: the other direction too. */
  readonly bothWays: boolean;
  /** Node; -1: any. */
  readonly node: number;
  /** Where the hypervisor crashes. */
  readonly step: HypervisorStep | '';
  /** Of a descriptor. */
  readonly field: string;
  /** From this moment on, once; -1: not by time. */
  readonly atPs: number;
  /** The n-th event; -1: not by count. */
  readonly nth: number;
  /** Kind of message; '': any. */
  readonly match: string;
  /** Of 2^32; -1: not by chance. */
  readonly chance: number;
  /** Only in [fromPs, toPs). */
  readonly fromPs: number;
  readonly toPs: number;
  /** How long: a delay, a pause, an outage. */
  readonly spanPs: number;
  /** How many times slower. */
  readonly factor: number;
  /** Of a crash: the node's memory is lost. */
  readonly losesMemory: boolean;
  /** Its damage is within what the machine is built to survive. */
  readonly survivable: boolean;
}

/** What a run plans to break. */
export interface FaultPlan {
  readonly faults: readonly FaultSpec[];
  /** From this moment on nothing breaks any more. */
  readonly healPs: number;
}

/** Whether any fault of a plan is of one of `kinds`. */
export const plans = (plan: FaultPlan | null, kinds: ReadonlySet<string>): boolean =>
  plan?.faults.some(({ kind }) => kinds.has(kind)) ?? false;
