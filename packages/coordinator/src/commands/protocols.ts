import { PROTOCOLS, type ProtocolCost } from '@numalab/protocols';
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
} => ({
  nodes: NODES,
  messages: cost?.messages(NODES) ?? null,
  tlbis: cost?.tlbis(NODES) ?? null,
  stall: cost?.stall ?? null,
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
    context.print(`messages and broadcast TLBIs of one write of one word, on ${NODES} nodes`, '');
    for (const { id, guarantee, description, messages, tlbis, stall } of entries) {
      const figures = `${messages ?? '?'} messages, ${tlbis ?? '?'} TLBIs`;
      const indented = (text: string): string[] => wrap(text, context.columns - 4).map((line) => `    ${line}`);
      context.print(`${bold(id.padEnd(13))} ${guarantee.padEnd(10)} ${figures}`, ...indented(description));
      context.print(...indented(`stall: ${stall ?? 'not said'}`));
    }
  }
  return EXIT_PASS;
};
