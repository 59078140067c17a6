import { type Judgement, judgeLive, judgeTables, type TimedWrite } from '@numalab/checkers';
import { GRANULES, NodeMemory } from '@numalab/machine';
import {
  type Finding,
  imageWords,
  type LiveCopy,
  type LiveNodeReport,
  layOut,
  liveCopyOf,
  type MachineSpec,
  type NodeReport,
  numberOfCell,
  wordOfCell,
} from '@numalab/node-worker';
import type { CheckOptions } from '../engine/run-machine.ts';
import type { LiveRun } from './live-run.ts';

const PS_PER_MS = 1e9;
const FINDINGS_KEPT = 8;

/** Moments of ticks in picoseconds since the run began, strictly later for a later tick. */
const timesOf = ({ hypervisor, beganMs, ticksAreNs }: LiveRun): ((tick: number) => number) => {
  if (ticksAreNs) return (tick) => Math.round((tick - beganMs * 1e6) * 1000);
  const { tickMs } = hypervisor;
  const times = new Float64Array(tickMs.length);
  for (let tick = 1; tick < times.length; tick++) {
    if (tickMs[tick] === 0) {
      times[tick] = times[tick - 1]! + 1;
      continue;
    }
    times[tick] = Math.max(times[tick - 1]! + 1, Math.round((tickMs[tick]! - beganMs) * PS_PER_MS));
  }
  const last = times.length - 1;
  return (tick) => (tick <= last ? times[tick]! : times[last]! + (tick - last));
};

const writesOf = (run: LiveRun, timeOf: (tick: number) => number): TimedWrite[] => {
  const ends = new Map<number, number>();
  for (const { times } of run.nodes) for (const { number, end } of times) ends.set(number, end);
  return run.hypervisor.record.map(({ write, core, begin }) => {
    const end = ends.get(write.number);
    return {
      number: write.number,
      word: write.word,
      words: write.words,
      begin: timeOf(begin),
      end: end === undefined ? Infinity : timeOf(end),
      node: write.origin,
      core,
    };
  });
};

/** Compares every mapped copy with the reference, word and number (R1). */
const compareCopies = (spec: MachineSpec, run: LiveRun): { diverged: Finding[]; compared: number } => {
  const layout = layOut(spec);
  const { reference } = run.shared;
  const diverged: Finding[] = [];
  let compared = 0;
  const page = GRANULES[spec.granule].bytes;
  const copies = spec.strategy === 'none' ? run.nodes.filter(({ id }) => id === 0) : run.nodes;
  for (const { id, pages } of copies) {
    const memory = NodeMemory.attach(run.shared.memories[id]!);
    const copy = liveCopyOf(memory.textAt(layout.copyPa[id]!)!);
    const unmapped = new Set(pages.map((entry) => entry.page));
    for (const { start, end, kind } of spec.kernel.ranges) {
      if (kind === 'hole' || (kind === 'shared' && id > 0)) continue;
      for (let offset = start; offset < end; offset += 4) {
        if (unmapped.has(Math.floor(offset / page))) continue;
        const at = (offset - layout.spanStart) / 4;
        if (numberOfCell(reference[at]!) > 0) compared++;
        if (copy.cells[at] === reference[at] || diverged.length === FINDINGS_KEPT) continue;
        diverged.push({ id: 'R1', message: difference(id, offset, copy, reference, at), timePs: 0 });
      }
    }
  }
  return { diverged, compared };
};

const difference = (node: number, offset: number, copy: LiveCopy, reference: Float64Array, at: number): string => {
  const text = (cell: number): string => `0x${wordOfCell(cell).toString(16)} of write ${numberOfCell(cell)}`;
  return `node ${node}, word ${offset / 4}: holds ${text(copy.cells[at]!)}, the reference ${text(reference[at]!)}`;
};

/** A node's report as the judge of tables knows it. */
const tableReport = (run: LiveRun, { id, tables, tableFindings, tableEdits, pages }: LiveNodeReport): NodeReport =>
  ({ id, memory: run.shared.memories[id]!, tables, tableFindings, tableEdits, pages }) as unknown as NodeReport;

/** Judges what a live run left. */
export const judgeLiveRun = (spec: MachineSpec, run: LiveRun, checks: CheckOptions): Judgement => {
  const layout = layOut(spec);
  const image = imageWords(spec, layout);
  const timeOf = timesOf(run);
  const tables =
    run.rested && spec.strategy !== 'none'
      ? judgeTables(
          spec,
          run.nodes.map((node) => tableReport(run, node)),
        )
      : { findings: [], evidence: {} };
  const copies = run.rested ? compareCopies(spec, run) : { diverged: [], compared: 0 };
  return judgeLive({
    spec,
    nodes: run.nodes,
    writes: writesOf(run, timeOf),
    timeOf,
    valueAtBoot: (word) => image[word - (layout.spanStart >> 2)] ?? 0,
    diverged: copies.diverged,
    comparedWords: copies.compared,
    numbered: run.hypervisor.numbered,
    retired: run.hypervisor.retired,
    orphaned: run.hypervisor.orphaned,
    lostFindings: run.lostFindings,
    tableFindings: tables.findings,
    tableEvidence: tables.evidence,
    minEvidence: checks.minEvidence,
    expect: checks.expect,
    interrupted: run.interrupted,
    rested: run.rested,
    cellsTorn: run.cellsTorn,
  });
};
