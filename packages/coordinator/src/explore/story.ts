import * as link from '@numalab/interconnect';
import type { MachineState } from './choices.ts';
import type { Sent } from './local-event.ts';
import type { MachineStep } from './machine-model.ts';

const isWrite = (body: unknown): body is { readonly number: number } =>
  typeof body === 'object' && body !== null && 'number' in body && 'word' in body;

/** What a protocol's message says, in few words. */
const bodyText = (body: unknown): string => {
  if (isWrite(body)) return `write ${body.number}`;
  const text = JSON.stringify(body, (_key, value) => (isWrite(value) ? `write ${value.number}` : value)) ?? 'nothing';
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
};

const wireText = (body: unknown): string => {
  const wire = body as { readonly kind?: string; readonly body?: unknown; readonly resync?: { readonly upTo: number } };
  if (wire.kind === 'tell') return bodyText(wire.body);
  if (wire.kind === 'ask') return `the question ${bodyText(wire.body)}`;
  if (wire.kind === 'answer') return 'an answer';
  if (wire.kind === 'join') return 'that it wants to know what it missed';
  if (wire.kind === 'resync') return `the order up to write ${wire.resync!.upTo}`;
  if (wire.kind === 'resynced') return 'that it has caught up';
  return 'that its cores may go on';
};

const messageText = ({ kind, body }: Sent): string => {
  if (kind === link.SUBMIT) return 'a store that trapped';
  if (kind === link.RETIRE) return 'that a write is over';
  return wireText(body);
};

const taking = (message: Sent): string => {
  const text = messageText(message);
  return text.startsWith('that') ? `hears ${text}` : `takes ${text}`;
};

const OPERATIONS: Readonly<Record<number, string>> = {
  [link.STORE]: 'the hypervisor’s store reaches it',
  [link.CLEAN_LINE]: 'the hypervisor’s clean reaches it',
  [link.MAINTAIN]: 'the hypervisor’s maintenance reaches it',
  [link.READ_LINE]: 'its line is read by another node',
  [link.LINE]: 'a line of the primary comes in',
};

const OWN: Readonly<Record<number, string>> = {
  [link.WAKE]: 'goes on',
  [link.GRANTED]: 'has the lock',
  [link.JOURNALLED]: 'has the record of a write safe',
  [link.TIMER]: 'has a timer that fires',
  [link.FAULT]: 'is back, from its journal',
};

const ofOrder = (choice: MachineStep, before: MachineState): string => {
  const { event } = choice;
  if (event.type === 'crash') return 'crashes';
  if (event.type === 'own') return OWN[before.order.view.own[event.index]!.kind]!;
  if (event.type === 'hello') return `hears that node ${event.from} has begun anew`;
  if (event.type === 'frame') return `${taking(event.message)} from node ${event.from}`;
  if (event.type !== 'hardware') return event.type;
  if (event.message.kind === link.NODE_DOWN) return `hears that node ${event.from} is down`;
  return `hears that an operation on node ${event.from} is over`;
};

const ofNode = ({ event }: MachineStep): string => {
  switch (event.type) {
    case 'frame':
      return taking(event.message);
    case 'hello':
      return 'hears that the hypervisor has begun anew';
    case 'hardware':
      return OPERATIONS[event.message.kind]!;
    case 'own':
      return 'has a timer that fires';
    case 'step':
      return 'goes on';
    case 'touch':
      return 'has a core that touches the page, which is not mapped';
    case 'submit':
      return 'has a core that stores: the store traps';
    case 'crash':
      return event.losesMemory ? 'crashes and loses its memory' : 'crashes';
    default:
      return 'is back';
  }
};

const list = (cells: readonly { readonly number: number }[]): string =>
  [...new Set(cells.map(({ number }) => number))].join(' or ');

/** What a choice has changed that somebody can notice. */
const effectsOf = ({ who, before, after, outputs }: MachineStep): string[] => {
  const effects: string[] = [];
  if (who === before.nodes.length) {
    const [from, to] = [before.order.view, after.order.view];
    for (const { write } of to.journal.slice(from.journal.length)) effects.push(`numbers it: write ${write.number}`);
    for (const [i, { write, retired }] of to.journal.entries()) {
      if (retired >= 0 && (from.journal[i]?.retired ?? -1) < 0) effects.push(`retires write ${write.number}`);
    }
  } else {
    const [from, to] = [before.nodes[who]!.view, after.nodes[who]!.view];
    if (from.stored[0]!.number !== to.stored[0]!.number) effects.push(`its copy holds write ${to.stored[0]!.number}`);
    if (list(from.visible) !== list(to.visible)) effects.push(`a fetch from it gives write ${list(to.visible)}`);
    if (from.page !== to.page) effects.push(`its page is ${to.page}`);
    if (from.state !== to.state) effects.push(`it is ${to.state}`);
    for (const number of to.ended.slice(from.ended.length)) effects.push(`write ${number} is over`);
  }
  const sent = new Map<string, number[]>();
  for (const output of outputs) {
    if (output.type !== 'frame') continue;
    const text = messageText(output.message);
    sent.set(text, [...(sent.get(text) ?? []), output.to]);
  }
  for (const [text, to] of sent) {
    effects.push(who === before.nodes.length ? `tells node ${to.join(', ')} ${text}` : `tells the hypervisor ${text}`);
  }
  return effects;
};

/** The choices of a path, one line each: who did what, and what came of it. */
export const storyOf = (path: readonly MachineStep[]): string[] =>
  path.map((choice) => {
    const { before, who, crashAt } = choice;
    const isOrder = who === before.nodes.length;
    const subject = isOrder ? 'the hypervisor' : `node ${who}`;
    const what = isOrder ? ofOrder(choice, before) : ofNode(choice);
    const effects = effectsOf(choice);
    if (crashAt !== '') effects.push(`crashes at step '${crashAt}'`);
    return `${subject} ${what}${effects.length === 0 ? '' : `; ${effects.join('; ')}`}`;
  });
