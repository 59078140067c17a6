import type { HypervisorReport } from '@numalab/hypervisor';
import { APPLY_STORE, type Finding, type NodeReport, type Wait } from '@numalab/node-worker';
import { ns, place } from './counter-example.ts';

/** A store stays in EL2 no longer than this, in picoseconds of virtual time. */
export const TRAP_BOUND_PS = 100_000_000_000;

const nameOf = ({ cpu, node }: Wait): string => (cpu < 0 ? `EL2 of node ${node}` : `CPU ${cpu}`);

/** The highest write that was stored into a node's copy. */
const highestStored = ({ applied }: NodeReport): number => {
  let highest = 0;
  for (const [i, kind] of applied.kinds.entries()) {
    if (kind === APPLY_STORE && applied.subjects[i]! > highest) highest = applied.subjects[i]!;
  }
  return highest;
};

/** What is wrong with a node as a whole, in words. */
const stateOf = ({ id, state, unheard }: NodeReport, hypervisor: number): string[] => [
  ...(state === 'up' ? [] : [`node ${id} is ${state}`]),
  ...unheard.map(
    ({ peer, pending }) =>
      `${peer === hypervisor ? 'the hypervisor' : `node ${peer}`} has not acknowledged messages of node ${id}: ${pending}`,
  ),
];

/** Who keeps a core waiting, as far as anybody knows. */
class Blame {
  private readonly waits: readonly Wait[];
  private readonly holders = new Map<number, number>();
  private readonly behind: string;
  /** What keeps the order and the nodes, as far as they know. */
  private readonly order: string;
  private readonly open = new Map<number, number>();

  constructor(nodes: readonly NodeReport[], { journal, waits }: HypervisorReport) {
    this.order = [...waits, ...nodes.flatMap((node) => stateOf(node, nodes.length))]
      .map((text) => `; ${text}`)
      .join('');
    this.waits = nodes.flatMap((node) => node.waits);
    for (const node of nodes) for (const { lock, cpu } of node.locks) this.holders.set(lock, cpu);
    for (const { write, retired } of journal) {
      if (retired >= 0) continue;
      for (let i = 0; i < write.words.length; i++) this.open.set(write.word + i, write.number);
    }
    const late = nodes.map((node) => ({ id: node.id, applied: highestStored(node) }));
    const most = Math.max(0, ...late.map(({ applied }) => applied));
    this.behind = late
      .filter(({ applied }) => applied < most || applied < journal.length)
      .map(({ id, applied }) => `node ${id} has applied up to write ${applied}`)
      .join(', ');
  }

  /** `the lock patch_lock, which CPU 1 holds`. */
  of(wait: Wait): string {
    const { what, lock, word, isInEl2 } = wait;
    if (lock >= 0) {
      const holder = this.holders.get(lock);
      return holder === undefined ? what : `${what}, which CPU ${holder} holds`;
    }
    if (word >= 0) {
      const number = this.open.get(word);
      if (number === undefined) return `${what}, which the order does not have${this.order}`;
      const behind = this.behind === '' ? 'every node has applied it' : this.behind;
      return `${what} (write ${number}, numbered and not retired; ${behind}${this.order})`;
    }
    if (isInEl2) return `${what}${this.order}`;
    const deaf = this.waits.filter(({ interrupters }) => interrupters.includes(wait.cpu));
    if (wait.cpu >= 0 && deaf.length > 0) return `${what}; ${deaf.map(nameOf).join(', ')} has not taken it`;
    return what;
  }
}

/**
 * Verifies L1: when nothing is left to happen no core waits, parked or in EL2 or for another core, and no store stayed in EL2
 * longer than the bound, so no vCPU starved behind one. Says who waits for whom. When: at the end of a run that was not cut
 * off. Does not verify: fairness below the bound. Linear in cores and writes.
 */
export const judgeProgress = (
  nodes: readonly NodeReport[],
  hypervisor: HypervisorReport,
): { readonly findings: readonly Finding[]; readonly tests: number } => {
  const findings: Finding[] = [];
  const waits = nodes.flatMap((node) => node.waits);
  let tests = 0;
  for (const { id, times, waits: own } of nodes) {
    tests += own.length + times.length;
    for (const { number, begin, end } of times) {
      if (end - begin <= TRAP_BOUND_PS || findings.length >= 8) continue;
      const message = `write ${number} on node ${id} trapped at ${ns(begin)} and returned only at ${ns(end)}`;
      findings.push({ id: 'L1', message, timePs: end });
    }
  }
  if (waits.length > 0) {
    const blame = new Blame(nodes, hypervisor);
    // Of a write most is known.
    const telling = [...waits].sort((x, y) => Number(y.word >= 0) - Number(x.word >= 0));
    for (const wait of telling.slice(0, 8)) {
      const since = wait.since < 0 ? '' : ` since ${ns(wait.since)}`;
      const where = wait.word < 0 ? '' : `, ${place(wait.word)}`;
      const message = `${nameOf(wait)} waits for ever${since} for ${blame.of(wait)}${where}`;
      findings.push({ id: 'L1', message, timePs: Math.max(0, wait.since) });
    }
  }
  // Who waits for whom comes first; what a node alone could say of it, behind.
  for (const node of nodes) findings.push(...node.findings.filter(({ id }) => id === 'L1'));
  return { findings, tests: Math.max(tests, nodes.length) };
};
