import { liveTallyBytes } from '@numalab/interconnect';
import { LINE_BYTES, NodeMemory } from '@numalab/machine';
import {
  cellOf,
  imageWords,
  type LiveFaultMemory,
  type LiveShared,
  layOut,
  MAINTENANCE_BYTES,
  type MachineSpec,
  progressPlaces,
  type WatchedWords,
  type WatchMap,
  watchedWords,
  watchedWordsBytes,
  shared as word,
} from '@numalab/node-worker';

/** Writes numbered last whose words are at hand for probes. A power of two. */
const RECENT_WRITES = 1024;

/** Numbers the watched words: by word 0 if it is not watched, else its index plus 1. */
const indexWatched = (watch: WatchMap): { index: Int32Array; count: number } => {
  const index = new Int32Array(new SharedArrayBuffer(watch.length * 4 * 4));
  let count = 0;
  for (let group = 0; group < watch.length; group++) {
    const bits = watch[group]!;
    if (bits === 0) continue;
    for (let i = 0; i < 4; i++) if ((bits & (1 << i)) !== 0) index[group * 4 + i] = ++count;
  }
  return { index, count };
};

const watchedOf = (watch: WatchMap): WatchedWords => {
  const { index, count } = indexWatched(watch);
  return watchedWords(index, count, new SharedArrayBuffer(Math.max(LINE_BYTES, watchedWordsBytes(count))));
};

/** Everything that the threads of a live run share: memories with their copies of the text, words, the reference. */
export const buildShared = (
  spec: MachineSpec,
  watch: WatchMap,
  options: {
    readonly scale: number;
    readonly cores: number;
    readonly recordLimit: number;
    /** See LiveShared. */
    readonly ordersOnNodes?: boolean;
    /** Whether a node is of this process; of others only the addresses are needed. */
    readonly isHere?: (node: number) => boolean;
  },
): LiveShared => {
  const { isHere = () => true, ordersOnNodes = false } = options;
  const layout = layOut(spec);
  const image = imageWords(spec, layout);
  const memories = Array.from({ length: spec.nodes }, (_, id) => {
    const memory = new NodeMemory(spec.base + id * spec.memoryPerNode, spec.memoryPerNode, spec.arenaBytes);
    if (id === 0 || spec.strategy !== 'none') memory.addText(layout.copyPa[id]!, image, isHere(id));
    return memory.share();
  });
  const reference = new Float64Array(new SharedArrayBuffer(image.length * 8));
  for (let i = 0; i < image.length; i++) reference[i] = cellOf(image[i]!, 0);
  const words = new Int32Array(new SharedArrayBuffer(4 * word.sharedWordCount(spec.nodes + 1)));
  words[word.RECORD_LIMIT] = options.recordLimit;
  words[word.AGENTS] = 2 ** 30;
  const permits = word.permitsOf(options.cores, spec.strategy !== 'none' && !ordersOnNodes);
  // A thread that makes the order is waited for and never waits its turn, so the system may move nodes' threads between the other
  // cores. Without one they wait for each other: each keeps to a core, and those of one core take turns.
  const pools = ordersOnNodes ? Math.min(permits, spec.nodes) : 1;
  words[word.POOLS] = pools;
  for (let pool = 0; pool < pools; pool++) words[word.threadWord(pool) + word.FREE] = Math.floor(permits / pools);
  return {
    spec,
    watch,
    memories,
    words,
    maintenance: new SharedArrayBuffer(MAINTENANCE_BYTES),
    watched: watchedOf(watch),
    reference,
    recent: new Int32Array(new SharedArrayBuffer(RECENT_WRITES * 4)),
    scale: options.scale,
    cores: options.cores,
    permits,
    ordersOnNodes,
    faults: faultMemory(spec),
  };
};

/** Which cores of the machine are a node's. */
export const isCoreOf =
  ({ coresPerNode }: MachineSpec, node: number): ((cpu: number) => boolean) =>
  (cpu) =>
    cpu >= 0 && Math.floor(cpu / coresPerNode) === node;

/** The accounts of all threads, and of the one that watches them. */
export const faultThreads = (spec: MachineSpec): number => spec.nodes + 2;

const faultMemory = (spec: MachineSpec): LiveFaultMemory | null =>
  spec.faults === null
    ? null
    : {
        tally: new SharedArrayBuffer(liveTallyBytes(spec.faults, faultThreads(spec))),
        beganMs: new Float64Array(new SharedArrayBuffer(8)).fill(Infinity),
        progress: new Int32Array(new SharedArrayBuffer(4 * spec.nodes * progressPlaces(spec))),
      };

/** What threads do: {@link threadsOf}. `over`: writes of nodes that are over. */
export interface ThreadsStatus {
  readonly idle: boolean;
  readonly finite: boolean;
  readonly sent: number;
  readonly taken: number;
  readonly over: number;
}

/** Writes that are done: retired, or over where no thread retires all. */
export const doneWrites = ({ spec, words, ordersOnNodes }: LiveShared, { over }: ThreadsStatus): number =>
  spec.strategy === 'none' || ordersOnNodes ? over : Atomics.load(words, word.threadWord(spec.nodes) + word.DONE);

/** What those threads do that `isHere` has, nodes and the hypervisor behind them. */
export const threadsOf = (words: Int32Array, nodes: number, isHere: (thread: number) => boolean): ThreadsStatus => {
  let [idle, finite, sent, taken, over] = [true, true, 0, 0, 0];
  for (let thread = 0; thread <= nodes; thread++) {
    if (!isHere(thread)) continue;
    const at = word.threadWord(thread);
    if (Atomics.load(words, at + word.IDLE) === 0) idle = false;
    if (thread < nodes && Atomics.load(words, at + word.FINITE) === 0) finite = false;
    if (thread < nodes) over += Atomics.load(words, at + word.DONE);
    sent += Atomics.load(words, at + word.SENT);
    taken += Atomics.load(words, at + word.TAKEN);
  }
  return { idle, finite, sent, taken, over };
};
