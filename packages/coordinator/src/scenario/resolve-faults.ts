import {
  DESCRIPTOR_FIELDS,
  type FaultKind,
  type FaultSpec,
  HYPERVISOR_STEPS,
  type HypervisorStep,
  MATCHES,
  MESSAGE_FAULTS,
  POINT_FAULTS,
  WINDOW_FAULTS,
} from '@numalab/interconnect';
import { didYouMean } from './problems.ts';
import type { Fault, Scenario } from './scenario.ts';
import { formatDuration } from './units.ts';

/** What the targets of faults are checked against. */
export interface FaultShape {
  readonly nodes: number;
  readonly ecc: 'secded' | 'none';
  readonly journal: boolean;
}

/** The shape of a scenario's machine. */
export const faultShape = ({ machine, hypervisor }: Pick<Scenario, 'machine' | 'hypervisor'>): FaultShape => ({
  nodes: machine.nodes,
  ecc: machine.ecc,
  journal: hypervisor.journal,
});

/** Says what is wrong with a key of a fault; never returns. */
export type FaultProblem = (key: string, message: string) => never;

/** Spans in picoseconds of what lasts, where the scenario does not say how long. */
const SPANS: Readonly<Partial<Record<FaultKind, number>>> = {
  delay: 20e6,
  reorder: 5e6,
  'slow-link': 2e6,
  pause: 50e6,
  crash: 100e6,
  'hyp-crash': 50e6,
  'tlbi-late': 5e6,
};
const SLOW_FACTOR = 4;
/** A node or hypervisor that went down is noticed before it is back. */
const MIN_OUTAGE_PS = 20e6;

interface Place {
  readonly from: number;
  readonly to: number;
  readonly bothWays: boolean;
  readonly node: number;
  readonly step: HypervisorStep | '';
  readonly field: string;
}

const ANYWHERE: Place = { from: -1, to: -1, bothWays: false, node: -1, step: '', field: '' };

const process = (text: string, nodes: number, problem: FaultProblem): number => {
  if (text === '*') return -1;
  if (text === 'hyp') return nodes;
  const node = /^\d{1,4}$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isNaN(node)) return problem('target', `${text.slice(0, 40)} is no node, nor hyp, nor *`);
  if (node >= nodes) return problem('target', `node ${node} is beyond the last of ${nodes}`);
  return node;
};

/** The link that `target` names: `0>hyp` one way, `0|hyp` both ways, `*>1`, or `1` for all links of one. */
export const linkOf = (target: string, nodes: number, problem: FaultProblem): Place => {
  const bothWays = target.indexOf('|');
  const mark = bothWays >= 0 ? bothWays : target.indexOf('>');
  if (mark < 0) {
    const node = process(target.trim(), nodes, problem);
    return { ...ANYWHERE, from: node, bothWays: true };
  }
  const from = process(target.slice(0, mark).trim(), nodes, problem);
  const to = process(target.slice(mark + 1).trim(), nodes, problem);
  if (from === to && from >= 0) problem('target', `${target.slice(0, 40)} is no link: both ends are the same`);
  return { ...ANYWHERE, from, to, bothWays: bothWays >= 0 };
};

const placeOf = ({ kind, target }: Fault, shape: FaultShape, problem: FaultProblem): Place => {
  if (target === null) return ANYWHERE;
  const text = String(target);
  if (MESSAGE_FAULTS.has(kind)) return linkOf(text, shape.nodes, problem);
  if (kind === 'hyp-crash') {
    const step = HYPERVISOR_STEPS.find((name) => name === text);
    if (step !== undefined) return { ...ANYWHERE, step };
    return problem(
      'target',
      `no step ${text.slice(0, 40)} of the hypervisor${didYouMean(text, HYPERVISOR_STEPS)}; there are ${HYPERVISOR_STEPS.join(', ')}`,
    );
  }
  if (kind === 'flip-journal') return problem('target', 'there is one journal only');
  if (kind !== 'flip-descriptor') {
    const node = process(text, shape.nodes, problem);
    if (node < shape.nodes || kind === 'queue') return { ...ANYWHERE, node };
    return problem('target', `${kind} wants a node`);
  }
  const [first = '', second] = text.split('.');
  const field = second ?? (/^\d|^\*/.test(first) ? '' : first);
  if (field !== '' && !DESCRIPTOR_FIELDS.some((name) => name === field)) {
    problem('target', `no field ${field.slice(0, 40)}${didYouMean(field, DESCRIPTOR_FIELDS)}`);
  }
  const node = field === first ? -1 : process(first, shape.nodes, problem);
  return { ...ANYWHERE, node, field };
};

/** Throws unless exactly what the kind needs says when it happens. */
const checkWhen = (fault: Fault, problem: FaultProblem): void => {
  const { kind, at, nth, match, probability, during } = fault;
  const given = [at === null ? '' : 'at', nth === null ? '' : 'nth', probability === null ? '' : 'probability'].filter(
    (key) => key !== '',
  );
  if (given.length > 1) problem(given[1]!, `excludes ${given[0]}`);
  if (during !== null && during[0] >= during[1]) problem('during', 'must end after it begins');
  if (match !== null && !MESSAGE_FAULTS.has(kind)) problem('match', `is for messages; ${kind} hits none`);
  if (match !== null && !MATCHES.some((name) => name === match)) {
    problem('match', `no message ${match.slice(0, 40)}${didYouMean(match, MATCHES)}; there are ${MATCHES.join(', ')}`);
  }
  if (nth !== null && POINT_FAULTS.has(kind) && kind !== 'crash' && kind !== 'pause') {
    problem('nth', `${kind} happens at a time`);
  }
  if (at !== null && during !== null && !WINDOW_FAULTS.has(kind)) problem('during', 'excludes at');
  if (kind === 'hyp-crash' || kind === 'pool') return;
  if (given.length === 0 && during === null) problem('kind', `${kind} needs one of at, nth, probability, during`);
};

const checkWhat = (fault: Fault, place: Place, { nodes, journal }: FaultShape, problem: FaultProblem): void => {
  const { kind, factor, memory } = fault;
  if (fault.for !== null && SPANS[kind] === undefined && !WINDOW_FAULTS.has(kind)) {
    problem('for', `${kind} lasts no time`);
  }
  if (kind === 'flip-journal' && !journal) problem('kind', 'hypervisor.journal is false: there is no journal to hit');
  if (factor !== null && kind !== 'slow-node') problem('factor', `is for slow-node, not ${kind}`);
  if (memory === 'lost' && kind !== 'crash') problem('memory', `is for crash, not ${kind}`);
  if (memory === 'lost' && (place.node === 0 || nodes === 1)) {
    problem('memory', 'the kernel itself lies in the memory of node 0: no machine survives its loss');
  }
  if ((kind === 'crash' || kind === 'hyp-crash') && fault.for !== null && fault.for < MIN_OUTAGE_PS) {
    problem('for', `an outage lasts at least ${formatDuration(MIN_OUTAGE_PS)}`);
  }
};

const survives = (kind: FaultKind, { ecc, journal }: FaultShape): boolean => {
  if (kind === 'flip-replica' || kind === 'flip-journal') return ecc === 'secded';
  if (kind === 'hyp-crash') return journal;
  return !['tlbi-lost', 'maint-lost', 'flip-descriptor', 'flip-tlb', 'flip-l1i'].includes(kind);
};

/** Kinds that such a machine can be hit by. */
export const possibleKinds = (kinds: readonly FaultKind[], { journal }: FaultShape): FaultKind[] =>
  kinds.filter((kind) => journal || kind !== 'flip-journal');

/** Kinds that `hunt` and `campaign` draw by themselves for such a machine. */
export const survivableKinds = (kinds: readonly FaultKind[], shape: FaultShape): FaultKind[] =>
  possibleKinds(kinds, shape).filter((kind) => survives(kind, shape));

/** What names a fault in reports and its random stream: all that it says, and nothing else. */
const nameOf = (fault: Fault): string => {
  const { kind, target, at, nth, match, probability, during, factor, memory } = fault;
  let name: string = kind;
  if (target !== null) name += ` ${target}`;
  if (at !== null) name += ` at ${formatDuration(at)}`;
  if (nth !== null) name += ` nth ${nth}`;
  if (match !== null) name += ` of ${match}`;
  if (probability !== null) name += ` p ${probability}`;
  if (during !== null) name += ` from ${formatDuration(during[0])} to ${formatDuration(during[1])}`;
  if (fault.for !== null) name += ` for ${formatDuration(fault.for)}`;
  if (factor !== null) name += ` times ${factor}`;
  return memory === 'lost' ? `${name} memory lost` : name;
};

/** One fault as the machine wants it; calls `problem` if it makes no sense. Draws nothing. */
export const faultSpec = (fault: Fault, shape: FaultShape, problem: FaultProblem): FaultSpec => {
  const place = placeOf(fault, shape, problem);
  checkWhen(fault, problem);
  checkWhat(fault, place, shape, problem);
  const { kind, at, nth, match, probability, during, factor, memory } = fault;
  const lasts = WINDOW_FAULTS.has(kind) && at !== null;
  const spanPs = fault.for ?? SPANS[kind] ?? 0;
  return {
    kind,
    name: nameOf(fault),
    from: place.from,
    to: place.to,
    node: place.node,
    field: place.field,
    bothWays: place.bothWays || (kind === 'partition' && place.to < 0),
    step: kind === 'hyp-crash' && place.step === '' && at === null ? 'sent' : place.step,
    atPs: lasts ? -1 : (at ?? -1),
    nth: nth ?? ((kind === 'hyp-crash' && at === null && probability === null) || kind === 'pool' ? 1 : -1),
    match: match ?? '',
    chance: probability === null ? -1 : Math.round(probability * 2 ** 32),
    fromPs: lasts ? at : (during?.[0] ?? 0),
    toPs: lasts ? at + Math.max(spanPs, 1) : (during?.[1] ?? Number.MAX_SAFE_INTEGER),
    spanPs,
    factor: factor ?? SLOW_FACTOR,
    losesMemory: memory === 'lost',
    survivable: survives(kind, shape),
  };
};
