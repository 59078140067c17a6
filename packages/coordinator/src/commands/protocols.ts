import { PROTOCOLS, type ProtocolCost } from '@numalab/protocols';
import { formatTime } from '../result/format.ts';
import { type CommandContext, EXIT_PASS } from './context.ts';
import { wrap } from './text.ts';

/** Machine for which messages and TLBIs are listed. */
const NODES = 4;

/** What a write of one word costs on {@link NODES} nodes; null where a protocol does not say. */
const costOf = (
  cost: ProtocolCost | undefined,
): {
  readonly nodes: number;
  readonly messages: number | null;
  readonly tlbis: number | null;
  readonly stall: string | null;
  readonly stallNs: number | null;
} => ({
  nodes: NODES,
  messages: cost?.messages(NODES) ?? null,
  tlbis: cost?.tlbis(NODES) ?? null,
  stall: cost?.stall ?? null,
  stallNs: cost?.stallNs ?? null,
});

/** `protocols`: what is built in. Returns the exit code. */
export const protocolsCommand = (options: { readonly json: boolean }, context: CommandContext): number => {
  const entries = Object.entries(PROTOCOLS)
    .map(([id, { guarantee, description, cost }]) => ({
      id,
      guarantee,
      description,
      ...costOf(cost),
    }))
    .sort((a, b) => (a.id < b.id ? -1 : 1));
  if (options.json) context.printJson(entries);
  else {
    const { bold } = context.colors;
    const head = `of one write of one word, on ${NODES} nodes: messages, broadcast TLBIs, and the longest that a core was kept from executing where all cores touch the page without a pause (Kunpeng 920, 4 cores a node, no jitter)`;
    context.print(...wrap(head, context.columns), '');
    for (const { id, guarantee, description, messages, tlbis, stall, stallNs } of entries) {
      const figures = `${messages ?? '?'} messages, ${tlbis ?? '?'} TLBIs`;
      const indented = (text: string): string[] => wrap(text, context.columns - 4).map((line) => `    ${line}`);
      context.print(`${bold(id.padEnd(13))} ${guarantee.padEnd(10)} ${figures}`, ...indented(description));
      const longest = stallNs === null || stallNs === 0 ? '' : `${formatTime(stallNs * 1000)}: `;
      context.print(...indented(`stall: ${longest}${stall ?? 'not said'}`));
    }
  }
  return EXIT_PASS;
};
