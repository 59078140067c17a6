import { alignUp, InputError } from '@numalab/base';
import type { FaultPlan, FaultSpec } from '@numalab/interconnect';
import { GRANULES, Latencies, LINE_BYTES, OPERATION_STORE } from '@numalab/machine';
import { imageWords, layOut, type MachineLayout, type MachineSpec, type Submission } from '@numalab/node-worker';
import type { Protocol } from '@numalab/protocols';

/** Every store writes the same words: two, so that one can be seen without the other. */
export const WRITE_WORDS = 2;

/** What all nodes of one search share. */
export interface SmallMachine {
  readonly spec: MachineSpec;
  readonly layout: MachineLayout;
  readonly latencies: Latencies;
  readonly protocol: Protocol;
  readonly image: Uint32Array;
  /** First of the {@link WRITE_WORDS} words that are written, and their page. */
  readonly word: number;
  readonly page: number;
  /** By node, by core: what each stores, one after the other. */
  readonly writes: readonly (readonly (readonly Submission[])[])[];
  /** Agents take one resumption at a time, and frames as soon as they come: nothing is joined. */
  readonly unreduced: boolean;
}

/** The search may not be given more. */
export const MOST_NODES = 3;
export const MOST_WRITES = 3;

const NEVER: Omit<FaultSpec, 'kind' | 'name'> = {
  from: -1,
  to: -1,
  bothWays: false,
  node: -1,
  step: 'received',
  field: '',
  atPs: -1,
  nth: Number.MAX_SAFE_INTEGER,
  match: '',
  chance: -1,
  fromPs: 0,
  toPs: Number.MAX_SAFE_INTEGER,
  spanPs: 0,
  factor: 1,
  losesMemory: false,
  survivable: true,
};

/** Everything knows that it may crash; when it does is up to the search. */
const CRASHES: FaultPlan = {
  faults: [
    { ...NEVER, kind: 'hyp-crash', name: 'explored' },
    { ...NEVER, kind: 'crash', name: 'explored too' },
  ],
  healPs: Number.MAX_SAFE_INTEGER,
};

/** Values that nothing else in the line has. */
const FIRST_VALUE = 0xd503_2000;

const bytesOf = (value: number): readonly number[] => [0, 8, 16, 24].map((shift) => (value >>> shift) & 255);

const store = (word: number, number: number, serial: number): Submission => ({
  offset: word * 4,
  size: 4 * WRITE_WORDS,
  bytes: Array.from({ length: WRITE_WORDS }, (_, i) => bytesOf(FIRST_VALUE + 16 * i + number)).flat(),
  operation: OPERATION_STORE,
  operand: [],
  expected: [],
  begin: 0,
  serial,
});

/** Stores by origin: `[0, 1]` is one of node 0 and one of node 1; a node that stands there twice stores one after the other. */
const storesOf = (nodes: number, origins: readonly number[], word: number): Submission[][][] => {
  const stores: Submission[][][] = Array.from({ length: nodes }, () => [[]]);
  for (const [i, origin] of origins.entries()) {
    const ofCore = stores[origin]![0]!;
    ofCore.push(store(word, i + 1, ofCore.length + 1));
  }
  return stores;
};

/** Shrinks a machine to one line of one page of text, stored to by the first core of each of `origins`. */
export const smallMachine = (
  spec: MachineSpec,
  protocol: Protocol,
  origins: readonly number[],
  unreduced = false,
): SmallMachine => {
  const range = spec.kernel.ranges.find(({ kind }) => kind === 'replica');
  if (range === undefined) throw new InputError('kernel.image', 'nothing of it is replicated');
  const start = alignUp(range.start, GRANULES[spec.granule].bytes);
  const ranges = [{ start, end: start + LINE_BYTES, kind: 'replica' as const }];
  const small: MachineSpec = {
    ...spec,
    kernel: { ...spec.kernel, ranges },
    bootStores: { words: new Int32Array(0), values: new Uint32Array(0) },
    writers: [],
    faults: CRASHES,
    scrubPs: 0,
    guarantee: protocol.guarantee,
  };
  const layout = layOut(small);
  const word = (start >> 2) + 2;
  return {
    spec: small,
    layout,
    latencies: new Latencies(small.topology, small.profile),
    protocol,
    image: imageWords(small, layout),
    word,
    page: Math.floor((word * 4) / GRANULES[spec.granule].bytes),
    writes: storesOf(small.nodes, origins, word),
    unreduced,
  };
};
