import { BUGS } from '../bugs/catalogue.ts';
import { type CommandContext, EXIT_PASS } from './context.ts';

/** `bugs`: the known bugs that can be switched on. Returns the exit code. */
export const bugsCommand = (options: { readonly json: boolean }, context: CommandContext): number => {
  if (options.json) context.printJson(BUGS);
  else {
    const { bold } = context.colors;
    for (const { id, title, rule } of BUGS) context.print(`${bold(id.padEnd(4))} ${rule.padEnd(4)} ${title}`);
  }
  return EXIT_PASS;
};
