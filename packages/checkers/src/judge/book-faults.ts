import { collect } from '@numalab/base';
import {
  type FaultCounts,
  type FaultKind,
  type FaultPlan,
  type FaultSpec,
  type FaultTally,
  joinTallies,
} from '@numalab/interconnect';
import type { Finding } from '@numalab/node-worker';
import type { Judgement } from './judge.ts';

/**
 * What became of a planned fault. `masked`: it hit something, and nobody needed to notice. `detected`: something in the
 * machine noticed. `repaired`: and undid it. `silent`: it did damage that only the judges saw. `fatal`: the run never came to
 * its end.
 */
export type FaultOutcome = 'not fired' | 'masked' | 'detected' | 'repaired' | 'silent' | 'fatal';

/** One planned fault in a run's result. */
export interface FaultResult {
  readonly name: string;
  readonly kind: FaultKind;
  /** Of what the machine is built to survive: a rule that is broken is the machine's fault, or the protocol's. */
  readonly survivable: boolean;
  readonly outcome: FaultOutcome;
  readonly fired: number;
  /** When it hit first; null: never. */
  readonly timePs: number | null;
  readonly detected: number;
  readonly repaired: number;
  /** Rules that it broke, where that is nobody else's fault. */
  readonly broke: readonly string[];
}

/** Kinds that cost something which has been done again by the end, or the run would not have come to it. */
const MADE_GOOD: ReadonlySet<string> = new Set(['drop', 'corrupt', 'flip-message', 'partition', 'crash']);

/** Rules that a fault which nothing survives can break. */
const BREAKS: Readonly<Partial<Record<FaultKind, readonly string[]>>> = {
  'tlbi-lost': ['R1', 'R3', 'R4', 'R5', 'R6', 'X1', 'K1', 'T4', 'T5', 'L1'],
  'maint-lost': ['R3', 'R4', 'R5', 'R6', 'X1', 'K1', 'T5'],
  'flip-replica': ['R1', 'R3', 'R4', 'R5', 'R6', 'X1', 'K1', 'E1', 'T5', 'L1'],
  'flip-descriptor': [
    'R1',
    'R2',
    'R3',
    'R4',
    'R5',
    'R6',
    'X1',
    'K1',
    'E1',
    'T1',
    'T2',
    'T3',
    'T4',
    'T5',
    'T6',
    'L1',
    'M1',
  ],
  'flip-tlb': ['R1', 'R2', 'R3', 'R4', 'R5', 'R6', 'X1', 'K1', 'E1', 'T4', 'T5', 'L1'],
  'flip-l1i': ['R3', 'R4', 'R5', 'R6', 'X1', 'T5'],
  'hyp-crash': ['R1', 'R2', 'R5', 'X1', 'L1'],
  'flip-journal': ['R1', 'R2', 'R5', 'X1', 'L1'],
};

/**
 * Where copies are scrubbed, what flipped in one is right again at the end, or the scrubber is wrong. A flip in the journal
 * breaks what it does only if somebody says that it cannot be made good: else its damage was not noticed, or not well repaired.
 * A finding of L1, or of R2 about a write that is never over, has the moment from which somebody waits, which may be before the fault
 * that keeps him waiting.
 */
const explains = (
  fault: FaultSpec,
  { firstPs, detected, repaired }: FaultCounts,
  { id, timePs }: Finding,
  scrubbed: boolean,
): boolean =>
  !fault.survivable &&
  (BREAKS[fault.kind]?.includes(id) ?? false) &&
  !(scrubbed && fault.kind === 'flip-replica' && id === 'R1') &&
  !(fault.kind === 'flip-journal' && detected === repaired) &&
  (id === 'L1' || id === 'R2' || timePs <= 0 || timePs >= firstPs);

const outcomeOf = (
  { kind }: FaultSpec,
  counts: { readonly fired: number; readonly detected: number; readonly repaired: number },
  broke: readonly string[],
  hangs: boolean,
  isStuck: boolean,
): FaultOutcome => {
  if (counts.fired === 0) return 'not fired';
  if (broke.includes('L1') || hangs) return 'fatal';
  // It never came back, and somebody waited for it.
  if (kind === 'hyp-crash' && counts.repaired < counts.fired && isStuck) return 'fatal';
  if (broke.length > 0) return counts.detected > 0 ? 'detected' : 'silent';
  if (counts.repaired > 0 || MADE_GOOD.has(kind)) return 'repaired';
  return counts.detected > 0 ? 'detected' : 'masked';
};

/**
 * Accounts for every planned fault. Rules broken by faults that no protocol is asked to survive are booked to them: they are
 * no violations of the run any more, unless the scenario expects some. Broken rules that no such fault explains stay. `scrubbed`:
 * copies of the text are compared with the order, and repaired.
 */
export const bookFaults = (
  plan: FaultPlan | null,
  tallies: readonly FaultTally[],
  judgement: Judgement,
  expect: readonly string[],
  scrubbed = false,
): { readonly judgement: Judgement; readonly faults: readonly FaultResult[] } => {
  if (plan === null) return { judgement, faults: [] };
  const tally = joinTallies(tallies);
  const broken = new Map<string, Set<string>>();
  const left: Finding[] = [];
  for (const finding of judgement.violations) {
    const culprits = plan.faults.filter((fault) => {
      const counts = tally.get(fault.name);
      return counts !== undefined && counts.fired > 0 && explains(fault, counts, finding, scrubbed);
    });
    if (culprits.length === 0) left.push(finding);
    for (const { name } of culprits) broken.set(name, (broken.get(name) ?? new Set()).add(finding.id));
  }
  const isStuck = judgement.violations.some(({ id }) => id === 'L1');
  const hangs = left.some(({ id }) => id === 'L1');
  const faults = collect(plan.faults, (fault): FaultResult => {
    const { name, kind, survivable } = fault;
    const counts = tally.get(name) ?? { fired: 0, detected: 0, repaired: 0, firstPs: -1 };
    const broke = [...(broken.get(name) ?? [])].sort();
    const { fired, detected, repaired, firstPs } = counts;
    const outcome = outcomeOf(fault, counts, broke, hangs, isStuck);
    return { name, kind, survivable, outcome, fired, timePs: fired > 0 ? firstPs : null, detected, repaired, broke };
  });
  if (expect.length > 0 || left.length === judgement.violations.length) return { judgement, faults };
  const by = faults
    .filter(({ broke }) => broke.length > 0)
    .map(({ name, broke }) => `${name} broke ${broke.join(', ')}`);
  const booked: Judgement =
    left.length > 0
      ? { ...judgement, violations: left, reason: `${left[0]!.id}: ${left[0]!.message}` }
      : {
          ...judgement,
          violations: left,
          verdict: 'pass',
          reason: `no rule was broken but by faults: ${by.join('; ')}`,
        };
  return { judgement: booked, faults };
};
