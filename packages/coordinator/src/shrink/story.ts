import { TRACE_APPLIED, TRACE_FAULT, TRACE_NUMBERED, TRACE_RETIRED, TRACE_TRAP } from '@numalab/interconnect';
import { APPLY_STORE } from '@numalab/node-worker';
import { describeScenario } from '../scenario/describe.ts';
import type { Scenario } from '../scenario/scenario.ts';
import { formatDuration } from '../scenario/units.ts';
import { TraceFolder } from '../trace/trace-folder.ts';
import { eventText, processName } from '../trace/trace-text.ts';
import type { Decision } from './decisions.ts';
import type { Necessity, RunSize, Shrunk } from './shrink.ts';

const ns = (ps: number): string => `${(ps / 1000).toFixed(3)} ns`;

/** A decision as people say it; `scenario` is the one that holds it. */
export const decisionText = (decision: Decision, scenario: Scenario): string => {
  switch (decision.kind) {
    case 'action':
      return `action ${decision.action} of writer ${decision.writer} (${scenario.kernel.writers[decision.writer]?.kind})`;
    case 'fault': {
      const { faults } = describeScenario({ ...scenario, faults: [decision.fault] }) as {
        faults: [Record<string, unknown>];
      };
      const { memory, ...rest } = faults[0];
      const parts = Object.entries(memory === 'lost' ? faults[0] : rest).map(([key, value]) =>
        key === 'kind' ? '' : `${key} ${Array.isArray(value) ? value.join(' to ') : value}`,
      );
      return [`fault ${decision.fault.kind}`, ...parts.filter((part) => part !== '')].join(' ');
    }
    case 'choice': {
      const { target, during, slow } = decision.choice;
      const how = slow === null ? 'gets no time' : `is ${slow} times slower`;
      return `schedule: ${target} ${how} from ${during.map(formatDuration).join(' to ')}`;
    }
    case 'walk':
      return `vCPU ${decision.cpu} executes`;
    case 'probe':
      return 'vCPUs fetch what is being written';
  }
};

const withoutText = ({ verdict, cause }: Necessity, cause0: string): string => {
  if (cause === cause0) return 'it fails all the same: not necessary';
  if (cause !== null) return `it fails otherwise: ${cause}`;
  if (!['pass', 'unknown'].includes(verdict)) return `not known: the run was ${verdict}`;
  return verdict === 'pass' ? 'the run passes: necessary' : 'no rule is broken: necessary';
};

/** What became of one write, in the order in which it happened. */
interface WriteStory {
  readonly number: number;
  readonly text: string;
  readonly numbered: number;
  readonly node: number;
  readonly core: number;
  readonly serial: number;
  trapped: number;
  retired: number;
  readonly stored: Map<number, number>;
}

/** The writes that a finding speaks of, by number or by word, the first three. */
const isMeant = (message: string): ((number: number, word: number) => boolean) => {
  const after = (pattern: RegExp): number[] => [...message.matchAll(pattern)].map(([, digits]) => Number(digits));
  const numbers = after(/\bwrites? (\d+)/g).filter((number) => number > 0);
  const words = after(/\bword (\d+)/g);
  return (number, word) => (numbers.length > 0 ? numbers.includes(number) : words.includes(word));
};

const writesIn = (folder: string, message: string): WriteStory[] => {
  const meant = isMeant(message);
  const trace = new TraceFolder(folder);
  const writes = new Map<number, WriteStory>();
  const traps = new Map<string, number>();
  for (const event of trace.events()) {
    const { kind, time, process, a, b, c, body } = event;
    if (kind === TRACE_TRAP) traps.set(`${a} ${c}`, time);
    else if (kind === TRACE_NUMBERED && meant(a, b) && writes.size < 3) {
      const { core, serial } = body as { core: number; serial: number };
      const cpu = c * trace.header.coresPerNode + core;
      const text = eventText(event, trace.header).replace(/^.*?numbered\s+/, '');
      writes.set(a, {
        number: a,
        text,
        numbered: time,
        node: c,
        core,
        serial,
        trapped: traps.get(`${cpu} ${serial}`) ?? -1,
        retired: -1,
        stored: new Map(),
      });
    } else if (kind === TRACE_RETIRED && writes.has(a)) writes.get(a)!.retired = time;
    else if (kind === TRACE_APPLIED && a === APPLY_STORE) writes.get(b)?.stored.set(process, time);
  }
  return [...writes.values()];
};

const writeLines = ({ text, trapped, numbered, retired, stored }: WriteStory, nodes: number): string[] => {
  const times = Array.from({ length: nodes }, (_, node) => [node, stored.get(node)] as const);
  const reached = times.filter(([, at]) => at !== undefined).map(([node, at]) => `node ${node} at ${ns(at!)}`);
  const missed = times.filter(([, at]) => at === undefined).map(([node]) => `node ${node}`);
  const late = times
    .filter(([, at]) => at !== undefined && retired >= 0 && at > retired)
    .map(([node]) => `node ${node}`);
  return [
    `${text}; trapped at ${trapped < 0 ? '?' : ns(trapped)}, numbered at ${ns(numbered)}, ${retired < 0 ? 'never retired' : `retired at ${ns(retired)}`}`,
    `  stored into the copy of ${reached.length === 0 ? 'no node' : reached.join(', ')}${missed.length === 0 ? '' : `; not into that of ${missed.join(', ')}`}${late.length === 0 ? '' : `; too late on ${late.join(', ')}`}`,
  ];
};

/** What planned faults hit, the first few. */
const hitLines = (folder: string): string[] => {
  const trace = new TraceFolder(folder);
  const lines: string[] = [];
  for (const { kind, a, time, process, body } of trace.events()) {
    if (kind === TRACE_FAULT && a === 0 && lines.length < 5)
      lines.push(`fault ${String(body)} hit at ${ns(time)} on ${processName(process, trace.header)}`);
  }
  return lines;
};

const sizeText = ({ events, nodes, vcpus, actions, faults, choices }: RunSize): string =>
  `${events} events, ${nodes} nodes with ${vcpus} vCPUs, ${actions} actions of writers, ${faults} faults, ${choices} choices of the scheduler`;

/** The story of the smallest run, the cause first; `trace` is the folder of its trace. */
export const storyOf = (shrunk: Shrunk, trace: string): string[] => {
  const { scenario, message, cause, necessity, before, after, complete } = shrunk;
  const { bugs } = scenario;
  return [
    `${cause.split(':', 1)[0]}: ${message}`,
    ...writesIn(trace, message).flatMap((write) => writeLines(write, after.nodes)),
    ...hitLines(trace),
    ...(bugs.length === 0 ? [] : [`known bugs switched on: ${bugs.join(', ')}`]),
    ...necessity.map((one) => `without ${decisionText(one.decision, scenario)}: ${withoutText(one, cause)}`),
    `left of ${sizeText(before)}:`,
    `  ${sizeText(after)}${complete ? '; nothing of it can be left out by itself' : '; time ran out, so it may not be the smallest'}`,
  ];
};
