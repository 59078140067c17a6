/**
 * What a scheduler decides, as plain data that every process of a machine is given: who gets less time than it could, and when.
 * A choice only ever adds delay, so every run under a schedule is one that the machine could have had.
 */

/** One choice. Times are picoseconds of virtual time. */
export interface Stall {
  /** Who is held up: vCPUs of a node, its EL2 agent, both, what one process sends to another, or the hypervisor. */
  readonly whom: 'cpu' | 'el2' | 'node' | 'link' | 'hyp';
  /** Node, or, of a link, the sending process; -1: any. */
  readonly from: number;
  /** Of a link: the receiving process; -1: any. */
  readonly to: number;
  /** Of a vCPU: its core on the node. */
  readonly core: number;
  /** In [fromPs, toPs). */
  readonly fromPs: number;
  readonly toPs: number;
  /** How many times slower it is; 0: it gets nothing at all. */
  readonly slow: number;
}

/** Whoever is slow runs for so long, then not for a while, and so on: about a message's time, so that order changes. */
const QUANTUM_PS = 200_000;

/** When one actor may act: a function of time alone, so that it does not matter who asks when. */
export class Pauses {
  private readonly stalls: readonly Stall[];

  constructor(stalls: readonly Stall[]) {
    this.stalls = stalls;
  }

  /** The first moment, `at` or later, at which it may act. */
  resumeAt(at: number): number {
    let time = at;
    for (let changed = true; changed; ) {
      changed = false;
      for (const stall of this.stalls) {
        const end = endOf(stall, time);
        if (end > time) {
          time = end;
          changed = true;
        }
      }
    }
    return time;
  }

  /** The first moment after `at`, when it may act, at which it may not. */
  nextPause(at: number): number {
    let next = Infinity;
    for (const { fromPs, toPs, slow } of this.stalls) {
      if (at >= toPs) continue;
      if (at < fromPs) next = Math.min(next, fromPs + (slow === 0 ? 0 : QUANTUM_PS));
      else if (slow > 0) next = Math.min(next, at - ((at - fromPs) % (slow * QUANTUM_PS)) + QUANTUM_PS);
    }
    return next;
  }
}

/** When the pause of a stall is over that `at` falls into; `at` if it falls into none. */
const endOf = ({ fromPs, toPs, slow }: Stall, at: number): number => {
  if (at < fromPs || at >= toPs) return at;
  if (slow === 0) return toPs;
  const phase = (at - fromPs) % (slow * QUANTUM_PS);
  return phase < QUANTUM_PS ? at : Math.min(toPs, at - phase + slow * QUANTUM_PS);
};

const pausesOf = (schedule: readonly Stall[] | null, applies: (stall: Stall) => boolean): Pauses | null => {
  const stalls = schedule?.filter(applies) ?? [];
  return stalls.length === 0 ? null : new Pauses(stalls);
};

/** The pauses of a vCPU; null if there are none. */
export const pausesOfCore = (schedule: readonly Stall[] | null, node: number, core: number): Pauses | null =>
  pausesOf(
    schedule,
    ({ whom, from, core: of }) => from === node && (whom === 'node' || (whom === 'cpu' && of === core)),
  );

/** The pauses of a node's EL2 agent. */
export const pausesOfEl2 = (schedule: readonly Stall[] | null, node: number): Pauses | null =>
  pausesOf(schedule, ({ whom, from }) => from === node && (whom === 'node' || whom === 'el2'));

/** The pauses of the hypervisor. */
export const pausesOfHypervisor = (schedule: readonly Stall[] | null): Pauses | null =>
  pausesOf(schedule, ({ whom }) => whom === 'hyp');

/** The stalls of what `from` sends to `to`; null if there are none. */
export const stallsOfLink = (schedule: readonly Stall[] | null, from: number, to: number): readonly Stall[] | null => {
  const stalls = schedule?.filter(
    (stall) => stall.whom === 'link' && (stall.from < 0 || stall.from === from) && (stall.to < 0 || stall.to === to),
  );
  return stalls === undefined || stalls.length === 0 ? null : stalls;
};

/** How much later a message arrives that leaves at `at` and takes `basePs`: a link that gets nothing keeps it until it does. */
export const linkDelayPs = (stalls: readonly Stall[], at: number, basePs: number): number => {
  let delay = 0;
  for (const { fromPs, toPs, slow } of stalls) {
    if (at < fromPs || at >= toPs) continue;
    delay = Math.max(delay, slow === 0 ? toPs - at : (slow - 1) * basePs);
  }
  return delay;
};
