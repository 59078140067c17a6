import { assert, collect, InputError } from '@numalab/base';
import type { Stall } from '@numalab/interconnect';
import {
  type KernelImage,
  keepRows,
  planPatchWriter,
  planSyntheticWriter,
  type WriterRequest,
  type WriterSpec,
} from '@numalab/kernel';
import { GRANULES, type LatencyProfile } from '@numalab/machine';
import { layOut, type MachineSpec, nodeBase, type Strategy, type WatchMap } from '@numalab/node-worker';
import type { Guarantee, Protocol } from '@numalab/protocols';
import { loadProtocol } from '../engine/protocol-ref.ts';
import { scenarioLatencies } from '../scenario/latencies.ts';
import { stallsOf } from '../scenario/resolve-schedule.ts';
import type { Caches, Fault, Scenario, ScheduleChoice, Writer } from '../scenario/scenario.ts';
import { formatSize } from '../scenario/units.ts';
import { boundWrites } from './bound-writes.ts';
import { faultPlan } from './fault-plan.ts';
import { fieldOf } from './place.ts';
import { type PreparedKernel, preparedKernel } from './prepared-kernel.ts';
import type { RecordedSummary, WordStores } from './recorded-trace.ts';
import { arenaBytes, checkPool } from './table-estimate.ts';
import { remarkWatched, watchMap } from './watch-map.ts';

/** What differs from the scenario: for the run that a run is compared with, and for protocols that users load. */
export interface SpecOverrides {
  readonly strategy?: Strategy;
  /** Declared level of a protocol that is not built in. */
  readonly guarantee?: Guarantee;
  /** What breaks, instead of what the scenario says: for faults that a seed draws. */
  readonly faults?: readonly Fault[];
  /** Who gets less time, instead of what the scenario says: for choices that a seed draws. */
  readonly schedule?: readonly ScheduleChoice[];
  /** What writes, and how much the cores do, instead of what the scenario says: for runs that leave a part of it out. */
  readonly writers?: readonly Writer[];
  readonly workload?: Scenario['workload'];
}

/** A machine that is ready to be built, and what a report must say about it. */
export interface PreparedMachine {
  readonly spec: MachineSpec;
  readonly image: KernelImage;
  /** The words that writers may store to at run time. */
  readonly watch: WatchMap;
  /** What was assumed, for the report. */
  readonly notes: readonly string[];
  /** Boot stores to words outside the replicated span, in order; those inside are `spec.bootStores`. */
  readonly outsideStores: WordStores;
  readonly recorded?: RecordedSummary;
}

type MachinePart = Omit<MachineSpec, 'seed' | 'writers' | 'faults' | 'schedule'>;

/** What is the same for all seeds of one scenario and strategy. */
interface Prepared {
  readonly kernel: PreparedKernel;
  readonly machine: MachinePart;
  readonly outsideStores: WordStores;
  /** What messages about each of the kernel's writers begin with. */
  readonly fields: readonly string[];
}

/**
 * The profile with the scenario's caches. A last-level cache that a socket shares is dealt out to its nodes, because only its owner
 * may touch what belongs to a node.
 */
const withCaches = (profile: LatencyProfile, caches: Caches, sockets: readonly number[]): LatencyProfile => {
  const sharers = caches.llc.sharedBy === 'socket' ? sockets.filter((socket) => socket === sockets[0]).length : 1;
  const source = 'machine.caches';
  const { l1i, l2, llc, tlbEntries, walkCacheEntries } = profile.caches;
  return {
    ...profile,
    caches: {
      l1i: { ...l1i, ...caches.l1i },
      l2: { ...l2, ...caches.l2 },
      llc: { ...llc, ...caches.llc, bytes: Math.floor(caches.llc.bytes / sharers) },
      tlbEntries: caches.tlbEntries === tlbEntries[0] ? tlbEntries : [caches.tlbEntries, source],
      walkCacheEntries:
        caches.walkCacheEntries === walkCacheEntries[0] ? walkCacheEntries : [caches.walkCacheEntries, source],
    },
  };
};

const guaranteeOf = (scenario: Scenario, strategy: string, overrides: SpecOverrides): Guarantee | null => {
  if (strategy !== 'stage2') return null;
  return overrides.guarantee ?? loadProtocol(scenario.replication.protocol).guarantee;
};

/** The protocol's options with their defaults. Throws InputError for one that it does not have, or of another type. */
export const optionsOf = (scenario: Scenario, protocol: Protocol): Readonly<Record<string, unknown>> => {
  const defaults: Record<string, unknown> = { multicast: false, ...protocol.options };
  const given = scenario.replication.protocolOptions;
  for (const [key, value] of Object.entries(given)) {
    const field = fieldOf(scenario, `replication.protocolOptions.${key.slice(0, 40)}`);
    if (!Object.hasOwn(defaults, key)) {
      throw new InputError(field, `the protocol has no such option; there are ${Object.keys(defaults).join(', ')}`);
    }
    if (typeof value !== typeof defaults[key]) throw new InputError(field, `must be a ${typeof defaults[key]}`);
  }
  return { ...defaults, ...given };
};

/** Throws InputError unless image, pool, copy and the kernel's own tables find room in every node. */
const checkRoom = (scenario: Scenario, spec: MachineSpec): void => {
  const layout = layOut(spec);
  const fits = Array.from({ length: spec.nodes }, (_, node) =>
    node === 0
      ? layout.stage1Pa[0]! + layout.stage1Bytes <= layout.poolPa[0]!
      : layout.ramEnd[node]! >= nodeBase(spec, node),
  );
  if (fits.every(Boolean)) return;
  const copyBytes = layout.spanEnd - layout.spanStart;
  throw new InputError(
    fieldOf(scenario, 'machine.memoryPerNode'),
    `${formatSize(spec.memoryPerNode)} is too small: kernel.image takes ${formatSize(spec.kernel.imageBytes)} of node 0 behind its first 2MiB, a copy of it ${formatSize(copyBytes)} of every other, and EL2's pool for the tables of machine.nodes ${spec.nodes} ${formatSize(layout.poolBytes)} of each`,
  );
};

/** Splits boot stores into those inside [start, end) and the others, both in order. */
const splitStores = ({ words, values }: WordStores, start: number, end: number): [WordStores, WordStores] => {
  const pick = (inside: boolean): WordStores => {
    const chosen = [...words.keys()].filter((i) => (words[i]! * 4 >= start && words[i]! * 4 < end) === inside);
    return {
      words: Int32Array.from(chosen, (i) => words[i]!),
      values: Uint32Array.from(chosen, (i) => values[i]!),
    };
  };
  return [pick(true), pick(false)];
};

const NO_STORES: WordStores = { words: new Int32Array(0), values: new Uint32Array(0) };

const prepare = (scenario: Scenario, overrides: SpecOverrides): Prepared => {
  const { machine, replication, hypervisor, interconnect, workload } = scenario;
  const strategy = overrides.strategy ?? replication.strategy;
  const kernel = preparedKernel(scenario);
  const { topology, profile } = scenarioLatencies(scenario);
  const { ranges } = kernel.text;
  const stores = kernel.trace?.bootStores ?? NO_STORES;
  const [bootStores, outsideStores] = splitStores(stores, ranges[0]!.start, ranges.at(-1)!.end);
  const part: Omit<MachinePart, 'arenaBytes'> = {
    nodes: machine.nodes,
    coresPerNode: machine.coresPerNode,
    memoryPerNode: machine.memoryPerNode,
    base: machine.base,
    topology,
    profile: withCaches(profile, machine.caches, topology.sockets),
    jitter: interconnect.jitter1024 / 1024,
    granule: machine.stage2.granule,
    ipaBits: machine.stage2.ipaBits,
    lpa2: machine.stage2.lpa2,
    population: machine.stage2.population,
    idc: machine.ctr.idc,
    dic: machine.ctr.dic,
    kernel: kernel.text,
    bootStores,
    strategy,
    protocol: replication.protocol,
    protocolOptions: strategy === 'stage2' ? optionsOf(scenario, loadProtocol(replication.protocol)) : {},
    guarantee: guaranteeOf(scenario, strategy, overrides),
    wholeWrites: strategy !== 'none' && loadProtocol(replication.protocol).wholeWrites === true,
    hypervisorNode: hypervisor.node,
    serialisation: hypervisor.serialisation,
    journal: hypervisor.journal,
    recordPs: hypervisor.recordTime,
    scrubPs: strategy === 'stage2' ? (hypervisor.scrub ?? 0) : 0,
    bugs: overrides.strategy === 'none' ? [] : scenario.bugs,
    nestedTlb: machine.caches.nested,
    fetchAhead: machine.caches.fetchAhead > 0,
    workload,
  };
  const full: MachineSpec = {
    ...part,
    arenaBytes: arenaBytes(part),
    seed: 0,
    writers: [],
    faults: null,
    schedule: null,
  };
  checkRoom(scenario, full);
  checkPool(scenario, full);
  const { seed: _, writers: __, faults: ___, schedule: ____, ...ready } = full;
  const fields = scenario.kernel.writers.map((__, index) => fieldOf(scenario, `kernel.writers.${index}`));
  return { kernel, machine: ready, outsideStores, fields };
};

const known = new WeakMap<Scenario, Map<string, Prepared>>();

const prepared = (scenario: Scenario, overrides: SpecOverrides): Prepared => {
  const ofScenario = known.get(scenario) ?? new Map<string, Prepared>();
  known.set(scenario, ofScenario);
  const { strategy, guarantee } = overrides;
  const key = strategy === undefined && guarantee === undefined ? '' : `${strategy} ${guarantee}`;
  const found = ofScenario.get(key) ?? prepare(scenario, overrides);
  ofScenario.set(key, found);
  return found;
};

/** A writer of a scenario as planning wants it; store forms are spelt with underscores there. */
const requestOf = (writer: Exclude<Writer, { kind: 'recorded' }>): WriterRequest =>
  writer.kind === 'synthetic' ? { ...writer, forms: writer.forms.map((form) => form.replaceAll(' ', '_')) } : writer;

const planWriters = (
  scenario: Scenario,
  { kernel, fields }: Pick<Prepared, 'kernel' | 'fields'>,
  seed: number,
): readonly WriterSpec[] => {
  const { machine, workload } = scenario;
  const vcpus = machine.nodes * machine.coresPerNode;
  const plans = collect(scenario.kernel.writers, (writer, index): WriterSpec => {
    if (writer.kind === 'recorded') {
      const { writer: all } = kernel.trace!;
      return writer.only === null ? all : keepRows(all, writer.only);
    }
    const where = fields[index] ?? fieldOf(scenario, `kernel.writers.${index}`);
    const pageBytes = GRANULES[machine.stage2.granule].bytes;
    const context = { image: kernel.planned, ranges: kernel.text.ranges, vcpus, pageBytes, seed, where, index };
    if (writer.kind === 'synthetic') return planSyntheticWriter(context, requestOf(writer));
    return planPatchWriter(context, requestOf(writer), writer.kind);
  });
  return workload.writes === null ? plans : boundWrites(plans, workload.writes, workload.durationPs);
};

/** Rows of a trace that are performed. */
const rowsOf = (writers: readonly WriterSpec[]): number =>
  writers.reduce((sum, writer) => sum + (writer.kind === 'recorded' ? writer.rows.length : 0), 0);

/** The choices of a schedule as the machine wants them; null: none. */
const scheduleOf = (scenario: Scenario, choices: readonly ScheduleChoice[]): readonly Stall[] | null => {
  if (choices.length === 0) return null;
  return choices.flatMap((choice) =>
    stallsOf(choice, scenario.machine, (key, message) => assert(false, `${key}: ${message}`) as never),
  );
};

/**
 * Everything that a run of `scenario` with `seed` depends on. What does not depend on the seed is worked out once per scenario
 * object. Throws InputError naming file and field: an image that cannot be replicated, too little memory, a trace that does
 * not fit, a writer without a place to write to. `spent` is what this gave for another seed of the same scenario and is
 * needed no more: its watch map is used again, which makes a spec for the next seed cheap.
 */
export const buildSpec = (
  scenario: Scenario,
  seed: number,
  overrides: SpecOverrides = {},
  spent: PreparedMachine | null = null,
): PreparedMachine => {
  const ready = prepared(scenario, overrides);
  const { kernel, machine, outsideStores } = ready;
  const { workload = scenario.workload } = overrides;
  const wanted: Scenario = {
    ...scenario,
    workload,
    kernel: { ...scenario.kernel, writers: overrides.writers ?? scenario.kernel.writers },
  };
  const writers = planWriters(wanted, ready, seed);
  // What is run for comparison is what it would be if nothing broke.
  const faults = overrides.strategy === 'none' ? null : faultPlan(wanted, overrides.faults ?? scenario.faults, seed);
  const stalls = overrides.strategy === 'none' ? null : scheduleOf(scenario, overrides.schedule ?? scenario.schedule);
  const reusable = spent !== null && spent.image === kernel.image;
  if (reusable) remarkWatched(spent.watch, spent.spec.writers, writers);
  return {
    spec: { ...machine, workload, seed, writers, faults, schedule: stalls },
    image: kernel.image,
    watch: reusable ? spent.watch : watchMap(kernel.image.words.length, writers),
    notes: kernel.notes,
    outsideStores,
    ...(kernel.trace === undefined ? {} : { recorded: { ...kernel.trace.summary, trapped: rowsOf(writers) } }),
  };
};
