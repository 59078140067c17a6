import { alignUp, InputError } from '@numalab/base';
import {
  descriptorKind,
  KIND_TABLE,
  NodeMemory,
  outputAddress,
  type Stage2Config,
  Stage2Walker,
  type WordMemory,
} from '@numalab/machine';
import { buildTables, layOut, type MachineSpec, nodeBase } from '@numalab/node-worker';
import { InlineMachine } from '../engine/inline.ts';
import { loadProtocol } from '../engine/protocol-ref.ts';
import type { Scenario } from '../scenario/scenario.ts';
import { buildSpec, type PreparedMachine } from './build-spec.ts';
import { fieldOf } from './place.ts';

/** The stage-2 tables of one node, and the memory that holds them. */
export interface NodeTables {
  readonly memory: WordMemory;
  readonly tables: ReturnType<typeof buildTables>;
}

/** A run of table pages. */
export interface TableSegment {
  readonly pa: number;
  readonly bytes: number;
}

/** A node's tables as they are at the end of boot; no other part of the machine is built. */
export const bootNodeTables = (spec: MachineSpec, node: number): NodeTables => {
  const memory = new NodeMemory(nodeBase(spec, node), spec.memoryPerNode, spec.arenaBytes);
  return { memory, tables: buildTables(node, spec, layOut(spec), memory) };
};

/** {@link buildSpec} for a scenario whose tables are asked for. Throws InputError if it has no stage 2, too. */
export const buildSpecWithTables = (scenario: Scenario, seed: number): PreparedMachine => {
  const prepared = buildSpec(scenario, seed);
  const { strategy } = prepared.spec;
  if (strategy !== 'stage2') {
    throw new InputError(fieldOf(scenario, 'replication.strategy'), `is ${strategy}, which has no stage-2 tables`);
  }
  return prepared;
};

/** The tables of `node` at the end of boot, or after a whole run; null if that was interrupted through `signal`. */
export const nodeTablesAt = async (
  { spec, watch }: PreparedMachine,
  node: number,
  at: 'boot' | 'end',
  signal: () => AbortSignal,
): Promise<NodeTables | null> => {
  if (at === 'boot') return bootNodeTables(spec, node);
  const machine = new InlineMachine(spec, loadProtocol(spec.protocol), watch, null);
  const { interrupted } = await machine.run(signal());
  const { memory, tables } = machine.nodes[node]!;
  return interrupted ? null : { memory, tables: tables! };
};

/** PAs of all pages of tables that a walk can reach, ascending; the root counts as its pages. */
export const tablePages = ({ tables }: NodeTables): number[] => {
  const { config, editor } = tables;
  const pages: number[] = [];
  const rootBytes = alignUp(config.rootBytes, config.granule.bytes);
  for (let at = 0; at < rootBytes; at += config.granule.bytes) pages.push(config.rootPa + at);
  editor.forEachEntry((_entry, lo, hi, level) => {
    if (descriptorKind(config, lo, hi, level) === KIND_TABLE) pages.push(outputAddress(config, lo, hi, level));
  });
  return pages.sort((a, b) => a - b);
};

/** Pages joined where they are adjacent. */
export const tableSegments = (pages: readonly number[], pageBytes: number): TableSegment[] => {
  const segments: { pa: number; bytes: number }[] = [];
  for (const pa of pages) {
    const last = segments.at(-1);
    if (last !== undefined && last.pa + last.bytes === pa) last.bytes += pageBytes;
    else segments.push({ pa, bytes: pageBytes });
  }
  return segments;
};

/** A segment as raw little-endian memory. */
export const segmentBytes = (memory: WordMemory, { pa, bytes }: TableSegment): Uint8Array => {
  const out = new DataView(new ArrayBuffer(bytes));
  for (let at = 0; at < bytes; at += 4) out.setUint32(at, memory.load32(pa + at), true);
  return new Uint8Array(out.buffer);
};

/** The hardware's view of a node's tables. */
export const walkerOf = ({ memory, tables }: NodeTables): Stage2Walker => new Stage2Walker(memory, tables.config);

/** The registers that point hardware at a node's tables. */
export const registersOf = ({ tables }: NodeTables): Pick<Stage2Config, 'vtcr' | 'vttbr'> => tables.config;
