import { Random } from '@numalab/base';
import { DESCRIPTOR_FIELDS, FAULT_KINDS, type FaultKind, HYPERVISOR_STEPS, MATCHES } from '@numalab/interconnect';
import { type FaultShape, possibleKinds, survivableKinds } from './resolve-faults.ts';
import type { Fault } from './scenario.ts';

/** What a draw depends on beside the seed. */
export interface SwarmOptions extends FaultShape {
  /** Faults with a moment get one in [0, horizonPs). */
  readonly horizonPs: number;
  /** Also kinds that no protocol is asked to survive. */
  readonly unrestricted?: boolean;
  /** Only these kinds. */
  readonly kinds?: readonly FaultKind[];
}

/** Of four runs one has a given kind, and some have none at all. */
const KIND_CHANCE = [1, 4] as const;
const CALM_CHANCE = [1, 16] as const;

/** A fault of which only a part is said. Key by key: spreading objects into one costs more than drawing the fault. */
export const faultOf = (kind: FaultKind, said: Partial<Fault>): Fault => ({
  kind,
  target: said.target ?? null,
  at: said.at ?? null,
  nth: said.nth ?? null,
  match: said.match ?? null,
  probability: said.probability ?? null,
  during: said.during ?? null,
  for: said.for ?? null,
  factor: said.factor ?? null,
  memory: said.memory ?? 'kept',
});

/** Whole nanoseconds: short to write down. */
const moment = (random: Random, horizonPs: number): number =>
  1000 * random.below(Math.max(1, Math.floor(horizonPs / 1000)));

const spanOf = (random: Random, leastUs: number, mostUs: number): number =>
  1e6 * (leastUs + random.below(mostUs - leastUs + 1));

const window = (random: Random, { horizonPs }: SwarmOptions, mostUs: number): [number, number] => {
  const from = moment(random, horizonPs);
  return [from, from + spanOf(random, 2, mostUs)];
};

const pick = <Item>(random: Random, items: readonly Item[]): Item => items[random.below(items.length)]!;

const link = (random: Random, { nodes }: SwarmOptions): string | null => {
  const node = random.below(nodes);
  return pick(random, [null, `${node}>hyp`, `hyp>${node}`, `${node}|hyp`]);
};

/** By chance all the time, by chance for a while, or one message. */
const messageFault = (random: Random, options: SwarmOptions): Partial<Fault> => {
  const target = link(random, options);
  const match = random.chance(1, 3) ? pick(random, MATCHES) : null;
  const probability = pick(random, [0.01, 0.05, 0.2, 0.5]);
  const [during, nth] = [window(random, options, 200), 1 + random.below(12)];
  return pick<Partial<Fault>>(random, [
    { target, match, probability },
    { target, match, probability, during },
    { target, match, nth },
  ]);
};

const operationFault = (random: Random, { nodes }: SwarmOptions): Partial<Fault> => {
  const [target, nth, probability] = [random.below(nodes), 1 + random.below(40), pick(random, [0.01, 0.1, 0.5])];
  return random.chance(1, 2) ? { target, nth } : { target, probability };
};

const DRAWS: Readonly<Record<FaultKind, (random: Random, options: SwarmOptions) => Partial<Fault>>> = {
  drop: messageFault,
  duplicate: messageFault,
  delay: (random, options) => ({ ...messageFault(random, options), for: spanOf(random, 1, 100) }),
  reorder: (random, options) => ({ ...messageFault(random, options), for: spanOf(random, 1, 20) }),
  corrupt: messageFault,
  'flip-message': messageFault,
  partition: (random, options) => ({ target: link(random, options), during: window(random, options, 300) }),
  'slow-link': (random, options) => ({
    target: link(random, options),
    during: window(random, options, 300),
    for: spanOf(random, 1, 10),
  }),
  pause: (random, options) => ({
    target: random.below(options.nodes),
    at: moment(random, options.horizonPs),
    for: spanOf(random, 1, 300),
  }),
  'slow-node': (random, options) => ({
    target: random.below(options.nodes),
    during: window(random, options, 200),
    factor: 2 + random.below(15),
  }),
  crash: (random, options) => {
    const target = random.below(options.nodes);
    const [at, nth, span] = [moment(random, options.horizonPs), 1 + random.below(10), spanOf(random, 20, 300)];
    const memory = target > 0 && random.chance(1, 2) ? 'lost' : 'kept';
    return random.chance(1, 2) ? { target, at, for: span, memory } : { target, nth, for: span, memory };
  },
  'hyp-crash': (random, options) => {
    const [step, nth, at] = [pick(random, HYPERVISOR_STEPS), 1 + random.below(10), moment(random, options.horizonPs)];
    const span = spanOf(random, 20, 200);
    return random.chance(3, 4) ? { target: step, nth, for: span } : { at, for: span };
  },
  'tlbi-late': (random, options) => ({ ...operationFault(random, options), for: spanOf(random, 1, 20) }),
  'tlbi-lost': operationFault,
  'maint-lost': operationFault,
  queue: operationFault,
  pool: (random, { nodes }) => ({ target: random.below(nodes), nth: 1 + random.below(8) }),
  'flip-replica': (random, options) => ({
    target: random.below(options.nodes),
    at: moment(random, options.horizonPs),
  }),
  'flip-descriptor': (random, options) => ({
    target: `${random.below(options.nodes)}.${pick(random, DESCRIPTOR_FIELDS)}`,
    at: moment(random, options.horizonPs),
  }),
  'flip-tlb': (random, options) => ({ target: random.below(options.nodes), at: moment(random, options.horizonPs) }),
  'flip-l1i': (random, options) => ({ target: random.below(options.nodes), at: moment(random, options.horizonPs) }),
  'flip-journal': (random, options) => ({ at: moment(random, options.horizonPs) }),
};

/** The name of each kind's stream. */
const STREAMS = Object.fromEntries(FAULT_KINDS.map((kind) => [kind, `swarm ${kind}`])) as Readonly<
  Record<FaultKind, string>
>;

/**
 * The faults that `seed` draws: each run its own subset of kinds, with its own rates, targets and moments, as entries that a
 * scenario file can hold. Each kind has a stream of its own. Without `unrestricted` only what the machine is built to survive,
 * and at most one node and the hypervisor go down.
 */
export const drawFaults = (options: SwarmOptions, seed: number): readonly Fault[] => {
  if (new Random(seed, 'swarm').chance(...CALM_CHANCE)) return [];
  const all = possibleKinds(options.kinds ?? FAULT_KINDS, options);
  const kinds = options.unrestricted === true ? all : survivableKinds(all, options);
  const faults: Fault[] = [];
  for (const kind of kinds) {
    const random = new Random(seed, STREAMS[kind]);
    if (!random.chance(...KIND_CHANCE)) continue;
    const isSingle = kind === 'crash' || kind === 'hyp-crash';
    const count = isSingle ? 1 : 1 + random.below(2);
    for (let i = 0; i < count; i++) faults.push(faultOf(kind, DRAWS[kind](random, options)));
  }
  return faults;
};
