import { PROTOCOLS } from '@numalab/protocols';
import { type CommandContext, EXIT_PASS } from './context.ts';

/** `protocols`: what is built in. Returns the exit code. */
export const protocolsCommand = (options: { readonly json: boolean }, context: CommandContext): number => {
  const entries = Object.entries(PROTOCOLS)
    .map(([id, { guarantee, description }]) => ({ id, guarantee, description }))
    .sort((a, b) => (a.id < b.id ? -1 : 1));
  if (options.json) context.printJson(entries);
  else {
    const { bold } = context.colors;
    for (const { id, guarantee, description } of entries) {
      context.print(`${bold(id.padEnd(13))} ${guarantee.padEnd(10)} ${description}`);
    }
  }
  return EXIT_PASS;
};
