import * as link from '@numalab/interconnect';
import {
  APPLY_COPY,
  APPLY_MAP,
  APPLY_PRIMARY,
  APPLY_RESYNC,
  APPLY_STORE,
  APPLY_UNMAP,
  type Wire,
} from '@numalab/node-worker';
import type { TraceHeader } from './trace-file.ts';
import type { TraceEvent } from './trace-folder.ts';

const hex = (value: number): string => `0x${value.toString(16)}`;
const ns = (ps: number): string => `${(ps / 1000).toFixed(3)} ns`;

/** A process as people name it. */
export const processName = (process: number, { nodes }: Pick<TraceHeader, 'nodes'>): string =>
  process === nodes ? 'hypervisor' : `node ${process}`;

/** The name of an event's kind, as `--kind` takes it. */
export const kindName = ({ kind }: Pick<TraceEvent, 'kind'>): string =>
  link.TRACE_NAMES[kind] ?? link.KIND_NAMES[kind] ?? `kind-${kind}`;

/** All names of kinds. */
export const EVENT_KINDS: readonly string[] = [...Object.values(link.KIND_NAMES), ...Object.values(link.TRACE_NAMES)];

/** Messages that carry a frame of the session layer. */
const FRAMES: ReadonlySet<number> = new Set([link.FRAME, link.SUBMIT, link.RETIRE, link.RESYNC]);

const frameOf = ({ kind, body }: TraceEvent): link.Frame | null =>
  FRAMES.has(kind) && typeof body === 'object' && body !== null ? (body as link.Frame) : null;

const numbersIn = (value: unknown, depth = 0): number[] => {
  if (typeof value !== 'object' || value === null || depth > 4) return [];
  const { number } = value as { number?: unknown };
  if (typeof number === 'number') return [number];
  return Object.values(value).flatMap((part) => numbersIn(part, depth + 1));
};

/** The writes that a wire speaks of: protocols say a write by itself or by its number. */
const writesOfWire = (wire: Wire): readonly number[] => {
  if (wire.kind === 'relay') return writesOfWire(wire.wire);
  if (wire.kind !== 'tell' && wire.kind !== 'ask') return [];
  return typeof wire.body === 'number' ? [wire.body] : numbersIn(wire.body);
};

/** The numbers of the writes that an event is about. */
export const writesOf = (event: TraceEvent): readonly number[] => {
  const { kind, a, b } = event;
  if (kind === link.TRACE_NUMBERED || kind === link.TRACE_RETIRED || kind === link.TRACE_OVER) return [a];
  if (kind === link.TRACE_APPLIED) return a === APPLY_STORE ? [b] : [];
  const frame = frameOf(event);
  if (frame === null || frame.sequence === 0) return [];
  if (frame.kind === link.RETIRE) return frame.a > 0 ? [frame.a] : [];
  return frame.kind === link.FRAME ? writesOfWire(frame.body as Wire) : [];
};

const APPLIED: Readonly<Record<number, (subject: number, number: number) => string>> = {
  [APPLY_STORE]: (write) => `write ${write} stored into this node's copy`,
  [APPLY_UNMAP]: (page) => `page ${page} unmapped`,
  [APPLY_MAP]: (page) => `page ${page} mapped onto this node's copy`,
  [APPLY_PRIMARY]: (page) => `page ${page} mapped onto the primary`,
  [APPLY_COPY]: (page, number) => `page ${page} copied from the primary, up to write ${number}`,
  [APPLY_RESYNC]: (write) => `copy brought up to write ${write}`,
};

const wireText = (wire: Wire): string => {
  const writes = writesOfWire(wire);
  const about = writes.length === 0 ? '' : ` of write ${writes.join(', ')}`;
  switch (wire.kind) {
    case 'ask':
      return `ask ${wire.ask}${about}`;
    case 'answer':
      return `answer to ask ${wire.ask}`;
    case 'relay':
      return `for nodes ${wire.to.join(', ')}: ${wireText(wire.wire)}`;
    case 'resynced':
      return `has caught up with write ${wire.upTo}`;
    case 'resync':
      return `resync up to write ${wire.resync.upTo}`;
    case 'hashes':
      return `hashes of pages ${wire.pages.join(', ')}`;
    case 'hashed':
      return wire.repairs.length === 0
        ? 'pages are as they should be'
        : `pages ${wire.repairs.map(({ page }) => page).join(', ')} are not as they should be`;
    case 'join':
      return `joins, life ${wire.epoch}`;
    default:
      return `${wire.kind}${about}`;
  }
};

const frameText = (event: TraceEvent, frame: link.Frame): string => {
  const damage = frame.flaw === '' || frame.flaw === undefined ? '' : `, damaged by ${frame.flaw}`;
  if (frame.kind === -1) return `hello, life ${frame.epoch}${damage}`;
  if (frame.sequence === 0)
    return `acknowledges frame ${frame.acknowledged}${frame.gap ? ' and misses the next' : ''}${damage}`;
  const what = ((): string => {
    if (frame.kind === link.SUBMIT) return `store ${frame.a} of core ${frame.b} is handed in`;
    if (frame.kind === link.RETIRE)
      return frame.a === 0 ? `core ${frame.b}: nothing was written` : `write ${frame.a} of core ${frame.b} is over`;
    return wireText(frame.body as Wire);
  })();
  return `frame ${frame.sequence}: ${what}${damage}${event.kind === frame.kind ? '' : ' (as another kind)'}`;
};

const MAINTENANCE: Readonly<Record<number, string>> = {
  [link.TLBI_VAAE1IS]: 'TLBI VAAE1IS',
  [link.TLBI_IPAS2E1IS]: 'TLBI IPAS2E1IS',
  [link.TLBI_VMALLE1IS]: 'TLBI VMALLE1IS',
  [link.TLBI_VMALLS12E1IS]: 'TLBI VMALLS12E1IS',
  [link.IC_IVAU]: 'IC IVAU',
  [link.IC_IALLUIS]: 'IC IALLUIS',
};

const WHAT = ['hit', 'was noticed', 'was repaired'];

/** What an event is, without its moment and place. */
const contentOf = (event: TraceEvent, { nodes, coresPerNode }: TraceHeader): string => {
  const { kind, from, process, a, b, c, body } = event;
  const cpu = (core: number): string => `CPU ${process * coresPerNode + core}`;
  switch (kind) {
    case link.TRACE_TRAP:
      return `CPU ${a} trapped with its store ${c}, to word ${b} (offset ${hex(b * 4)})`;
    case link.TRACE_NUMBERED: {
      const { core, words } = body as link.NumberedBody;
      return `write ${a} by CPU ${c * coresPerNode + core}: word ${b} (offset ${hex(b * 4)}) becomes ${words.map(hex).join(' ')}`;
    }
    case link.TRACE_APPLIED:
      return APPLIED[a]?.(b, c) ?? `change ${a}`;
    case link.TRACE_RETIRED:
      return `write ${a} retired`;
    case link.TRACE_OVER:
      return `CPU ${b} goes on behind its store, write ${a}`;
    case link.TRACE_FAULT:
      return `${String(body)} ${WHAT[a] ?? a}`;
    case link.TRACE_TABLE: {
      const [oldLo = 0, oldHi = 0, newLo = 0, newHi = 0] = body as number[];
      const word = (hi: number, lo: number): string => `0x${hi.toString(16)}${lo.toString(16).padStart(8, '0')}`;
      return `level ${a} descriptor of IPA ${hex(b)} at ${hex(c)}: ${word(oldHi, oldLo)} becomes ${word(newHi, newLo)}`;
    }
    case link.TRACE_OPERATION:
      return String(body);
    case link.TRACE_FINDING:
      return (body as string[]).join(': ');
    case link.TRACE_SYNCHRONISED:
      return `CPU ${b} has synchronised word ${a}`;
    case link.BEGIN_ACTION:
      return `writer ${a} begins action ${b}`;
    case link.MAINTAIN:
      return `from ${processName(from, { nodes })}: ${MAINTENANCE[a] ?? a} ${hex(c)}`;
    default: {
      const frame = frameOf(event);
      const sender = from === process ? '' : `from ${processName(from, { nodes })}: `;
      if (frame !== null) return sender + frameText(event, frame);
      if (kind === link.WAKE) return `${process === nodes ? 'the protocol' : cpu(b)} goes on`;
      const operands = [a, b, c].map((value, i) =>
        value === 0 ? '' : `${'abc'[i]} ${i === 0 && value > 0xffff ? hex(value) : value}`,
      );
      return `${sender}${operands.filter((text) => text !== '').join(', ')}`;
    }
  }
};

/** An event as one line. */
export const eventText = (event: TraceEvent, header: TraceHeader): string =>
  `${ns(event.time).padStart(18)}  ${processName(event.process, header).padEnd(10)}  ${kindName(event).padEnd(15)} ${contentOf(event, header)}`.trimEnd();

/** An event as JSON has it. */
export const eventJson = (event: TraceEvent, header: TraceHeader): Record<string, unknown> => {
  const { time, process, from, a, b, c, body } = event;
  const writes = writesOf(event);
  return {
    timePs: time,
    process: process === header.nodes ? 'hypervisor' : process,
    kind: kindName(event),
    from: from === header.nodes ? 'hypervisor' : from,
    a,
    b,
    c,
    ...(writes.length === 0 ? {} : { writes }),
    ...(body === null || body === undefined ? {} : { body }),
    text: contentOf(event, header),
  };
};
