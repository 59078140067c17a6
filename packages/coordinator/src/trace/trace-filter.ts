import { type Frame, type NumberedBody, SUBMIT, TRACE_NUMBERED, TRACE_TRAP } from '@numalab/interconnect';
import { type TraceEvent, TraceFolder } from './trace-folder.ts';
import { kindName, writesOf } from './trace-text.ts';

/** Which events are wanted; empty lists and null: all. */
export interface TraceFilter {
  /** Nodes; the number of nodes is the hypervisor. */
  readonly processes: readonly number[];
  readonly kinds: readonly string[];
  /** In [fromPs, toPs]. */
  readonly fromPs: number;
  readonly toPs: number;
  readonly writes: readonly number[];
}

/** Who handed a write in: what happened before it had its number is known by that. */
interface Origin {
  readonly node: number;
  readonly core: number;
  readonly serial: number;
}

const originsOf = (folder: string, writes: readonly number[]): readonly Origin[] => {
  const origins: Origin[] = [];
  if (writes.length === 0) return origins;
  for (const { kind, a, c, body } of new TraceFolder(folder).events()) {
    if (kind !== TRACE_NUMBERED || !writes.includes(a)) continue;
    const { core, serial } = body as NumberedBody;
    origins.push({ node: c, core, serial });
  }
  return origins;
};

const isOfOrigin = (event: TraceEvent, { node, core, serial }: Origin, coresPerNode: number): boolean => {
  const { kind, process, from, a, c, body } = event;
  if (kind === TRACE_TRAP) return process === node && a === node * coresPerNode + core && c === serial;
  if (kind !== SUBMIT || from !== node) return false;
  const frame = body as Frame;
  return frame.kind === SUBMIT && frame.a === serial && frame.b === core;
};

/** The events of a trace that `filter` lets through, in order. Throws InputError for a trace that cannot be read. */
export function* filteredEvents(folder: string, filter: TraceFilter): Generator<TraceEvent, void> {
  const { processes, kinds, fromPs, toPs, writes } = filter;
  const origins = originsOf(folder, writes);
  const trace = new TraceFolder(folder);
  const { coresPerNode } = trace.header;
  const isOfWrite = (event: TraceEvent): boolean =>
    writesOf(event).some((write) => writes.includes(write)) ||
    origins.some((origin) => isOfOrigin(event, origin, coresPerNode));
  for (const event of trace.events()) {
    if (event.time > toPs) break;
    if (event.time < fromPs || (processes.length > 0 && !processes.includes(event.process))) continue;
    if (kinds.length > 0 && !kinds.includes(kindName(event))) continue;
    if (writes.length === 0 || isOfWrite(event)) yield event;
  }
}
