import type { Guarantee } from '@numalab/protocols';
import type { JudgedRun } from '../engine/run-machine.ts';
import { causeOf } from './cause.ts';
import type { RunTally } from './tally.ts';

/** Situations that a campaign should have reached before its passing says much, and how to see that a run reached one. */
const MARKS: Readonly<Record<string, (run: JudgedRun) => boolean>> = {
  'write retired': ({ raw }) => raw.hypervisor.journal.some(({ retired }) => retired >= 0),
  'write refused': ({ raw }) => raw.nodes.some(({ counts }) => counts.refused > 0),
  'store without effect': ({ raw }) => raw.hypervisor.withoutEffect > 0,
  'memory mapped lazily': ({ raw }) => raw.nodes.some(({ counts }) => counts.lazyFaults > 0),
  'abort injected': ({ raw }) => raw.nodes.some(({ counts }) => counts.injected > 0),
  'TLB invalidated': ({ raw }) => raw.nodes.some(({ counts }) => counts.tlbis > 0),
  'message sent again': ({ raw }) => raw.nodes.some(({ counts }) => counts.retransmitted > 0),
  'fault fired': ({ faults }) => faults.some(({ fired }) => fired > 0),
  'fault repaired': ({ faults }) => faults.some(({ repaired }) => repaired > 0),
  'old word compared': ({ raw }) => raw.nodes.some(({ comparisons }) => comparisons.length > 0),
  'fetch during a write': ({ judgement }) => judgement.evidence.atomic > 0,
  'fetch after a write': ({ judgement }) => judgement.evidence.completed > 0,
};

/** The marks that a campaign looks out for. */
export const MARK_NAMES: readonly string[] = Object.keys(MARKS);

const NO_EVIDENCE: Readonly<Record<Guarantee, number>> = { eventual: 0, ordered: 0, completed: 0, atomic: 0 };

const marksOf = (run: JudgedRun): string[] => {
  const marks: string[] = [];
  for (const [name, isReached] of Object.entries(MARKS)) if (isReached(run)) marks.push(name);
  return marks;
};

/** What failed, and in which run. */
const failureOf = ({ judgement }: JudgedRun, seed: number, events: number, expect: readonly string[]) => {
  if (judgement.verdict !== 'fail') return null;
  const broken = judgement.violations.find(({ id }) => !expect.includes(id));
  const invariant = broken?.id ?? 'expect';
  const message = broken?.message ?? judgement.reason;
  return { cause: causeOf(invariant, message), invariant, message, seed, events };
};

/** What a judged run adds to a tally. */
export const tallyOf = (run: JudgedRun, seed: number, expect: readonly string[]): RunTally => {
  const { raw, judgement } = run;
  let { events } = raw.hypervisor;
  const maintainedPs: number[] = [];
  for (const node of raw.nodes) {
    events += node.events;
    for (const { begin, maintained } of node.times) if (maintained >= 0) maintainedPs.push(maintained - begin);
  }
  const writeLatencyPs: number[] = [];
  for (const { begin, end } of judgement.writes) {
    // Where the order is broken, a write may seem to end before it begins: that is no time to be summed up.
    if (end >= begin && end < Infinity && begin > -Infinity) writeLatencyPs.push(end - begin);
  }
  return {
    verdict: judgement.verdict,
    failure: failureOf(run, seed, events, expect),
    sums: { events, virtualTimePs: raw.endPs, writes: writeLatencyPs.length },
    evidence: judgement.evidence,
    rules: judgement.rules,
    faults: run.faults,
    marks: marksOf(run),
    times: { writeLatencyPs, maintainedPs },
  };
};

/** What a run adds that numalab could not end. */
export const tallyOfError = (error: unknown, seed: number): RunTally => {
  const { name, message, stack } = error instanceof Error ? error : new Error(String(error));
  const at = stack?.split('\n').find((line) => /^\s+at .*packages\//.test(line));
  const place = at === undefined ? '' : ` ${at.trim().replace(/^at (.*) \(.*packages\/(.*?)(:\d+)?\)$/, 'at $1 ($2)')}`;
  return {
    verdict: 'error',
    failure: {
      cause: `${causeOf('bug', `${name}: ${message}`)}`,
      invariant: 'bug',
      message: `${name}: ${message}${place}`,
      seed,
      events: 0,
    },
    sums: {},
    evidence: NO_EVIDENCE,
    rules: [],
    faults: [],
    marks: [],
    times: { writeLatencyPs: [], maintainedPs: [] },
  };
};
