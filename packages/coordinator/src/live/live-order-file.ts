import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { InputError } from '@numalab/base';
import type { Verdict } from '@numalab/checkers';
import { NodeMemory } from '@numalab/machine';
import { imageWords, layOut, type MachineSpec } from '@numalab/node-worker';
import type { JudgedRun } from '../engine/run-machine.ts';
import { runWithMachine } from '../result/run-scenario.ts';
import { loadScenario } from '../scenario/load.ts';
import type { LiveRun } from './live-run.ts';

/** The file of a live run's folder that holds its order, as a trace that the `recorded` writer reads. */
export const ORDER_FILE = 'order.csv';
/** What the order left: the words that differ from the image at boot, and the verdict. */
export const MEMORY_FILE = 'memory.json';

/** The words that writes changed, by offset from `_text` in words, as they were left. */
type Memory = readonly (readonly [word: number, value: number])[];

const hex = (value: number): string => value.toString(16).padStart(8, '0');

/** A live run's order as a trace: one row for each word of each write, in order. Null if the record is not complete. */
export const orderCsv = (spec: MachineSpec, { hypervisor }: LiveRun): string | null => {
  if (hypervisor.numbered > hypervisor.record.length) return null;
  const layout = layOut(spec);
  const image = imageWords(spec, layout);
  const now = new Map<number, number>();
  const rows = ['seq,vcpu,writer,offset,size,old,new,table'];
  for (const { write, core } of hypervisor.record) {
    const vcpu = write.origin * spec.coresPerNode + core;
    for (const [i, value] of write.words.entries()) {
      const word = write.word + i;
      const old = now.get(word) ?? image[word - (layout.spanStart >> 2)]!;
      const offset = (word * 4).toString(16).padStart(7, '0');
      rows.push([rows.length, vcpu, 'live', offset, 4, hex(old), hex(value), 'live'].join(','));
      now.set(word, value);
    }
  }
  return `${rows.join('\n')}\n`;
};

/** What the order of a live run left in memory, for {@link MEMORY_FILE}. */
export const orderMemory = ({ hypervisor }: LiveRun, verdict: Verdict): { memory: Memory; verdict: Verdict } => {
  const now = new Map<number, number>();
  for (const { write } of hypervisor.record) {
    for (const [i, value] of write.words.entries()) now.set(write.word + i, value);
  }
  return { memory: [...now].sort(([a], [b]) => a - b), verdict };
};

/** A live order, run again in virtual time. */
export interface ReplayedOrder {
  readonly rows: number;
  readonly live: Verdict;
  readonly sim: Verdict;
  readonly reason: string;
  /** Words whose last values differ, at most some of them. */
  readonly differences: readonly string[];
}

const read = (directory: string, name: string): string => {
  try {
    return readFileSync(join(directory, name), 'utf8');
  } catch {
    throw new InputError(directory, `is no folder of a live run whose whole order is on record: it has no ${name}`);
  }
};

const isMemory = (value: unknown): value is ReturnType<typeof orderMemory> => {
  const { memory, verdict } = (value ?? {}) as Partial<ReturnType<typeof orderMemory>>;
  const isWord = (entry: unknown): boolean =>
    Array.isArray(entry) && entry.length === 2 && entry.every((number) => Number.isSafeInteger(number));
  return typeof verdict === 'string' && Array.isArray(memory) && memory.every(isWord);
};

const readMemory = (directory: string): ReturnType<typeof orderMemory> => {
  const text = read(directory, MEMORY_FILE);
  let memory: unknown;
  try {
    memory = JSON.parse(text);
  } catch {
    memory = null;
  }
  if (isMemory(memory)) return memory;
  throw new InputError(join(directory, MEMORY_FILE), 'is damaged: it is not what the order of a live run left');
};

/** The words that writes changed in virtual time: as the order has them, or where nothing traps as the one copy has. */
const writtenWords = (spec: MachineSpec, { raw }: JudgedRun): ReadonlyMap<number, number> => {
  if (spec.strategy !== 'none') return raw.hypervisor.reference;
  const { copyPa, spanStart } = layOut(spec);
  const { cells } = NodeMemory.attach(raw.nodes[0]!.memory).textAt(copyPa[0]!)!;
  const words = new Map<number, number>();
  for (let i = 0; 2 * i < cells.length; i++) if (cells[2 * i + 1] !== 0) words.set((spanStart >> 2) + i, cells[2 * i]!);
  return words;
};

/**
 * Feeds the order that a live run recorded to the simulator, store by store, and compares what both left. Throws InputError if
 * `directory` holds no whole order.
 */
export const replayFromLive = async (directory: string, seed: number): Promise<ReplayedOrder> => {
  const { memory, verdict } = readMemory(directory);
  const rows = read(directory, ORDER_FILE).split('\n').length - 2;
  const writer = `{ kind: recorded, file: ${JSON.stringify(join(directory, ORDER_FILE))} }`;
  const scenario = loadScenario(join(directory, 'scenario.yaml'), {
    set: [`kernel.writers=[${writer}]`, 'interconnect.latencyScale=1', 'workload.duration=10us', 'comparison=false'],
  });
  const { result, judged, prepared } = await runWithMachine(scenario, { seed });
  const reference = writtenWords(prepared.spec, judged);
  const differences: string[] = [];
  for (const [word, value] of memory) {
    const found = reference.get(word);
    if (found !== value && differences.length < 8) {
      differences.push(
        `word ${word}: 0x${hex(value)} live, ${found === undefined ? 'not written' : `0x${hex(found)}`} in sim`,
      );
    }
  }
  if (reference.size !== memory.length)
    differences.push(`${memory.length} words changed live, ${reference.size} in sim`);
  return { rows, live: verdict, sim: result.verdict, reason: result.reason, differences };
};
